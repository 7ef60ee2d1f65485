"""A REST server for Gymnasium and Gym environments. `docs/architecture.md` shows the rooms."""

__version__ = "0.1.0"
