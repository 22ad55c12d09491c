"""Values and rules of video tasks: pure, no I/O, nothing but the standard library."""
