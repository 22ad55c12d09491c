"""What those who run this program can see of it: whose work a log line is about, spans and metrics."""
