"""What is measured, and not only tested: python -m benchmarks, in the repository."""
