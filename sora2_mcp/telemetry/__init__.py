"""What operators see of this program: the log and its context, spans and metrics."""
