"""For Granian's worker, which imports it."""

from benchmarks.baselines import bare

app = bare.app()
