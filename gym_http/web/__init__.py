"""The HTTP side: the only place that knows of Flask, Granian and status codes."""
