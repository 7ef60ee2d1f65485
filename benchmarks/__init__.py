"""What is measured, and not only tested. Run from the repository: python -m benchmarks.NAME."""
