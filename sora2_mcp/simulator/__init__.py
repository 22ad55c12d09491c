"""A stand-in for Sora2API on the local machine: same calls, same shapes, real clips, and faults on demand."""
