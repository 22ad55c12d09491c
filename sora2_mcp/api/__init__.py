"""Everything specific to Sora2API, and nothing else."""
