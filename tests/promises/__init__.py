"""What is promised in seconds; run alone, one test at a time."""
