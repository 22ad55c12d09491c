"""Where tasks are kept. ``port`` says what a store does and imports nothing heavy; ``database`` does it."""
