"""What a refresh costs, and what it survives: `python -m benchmarks.refresh`."""
