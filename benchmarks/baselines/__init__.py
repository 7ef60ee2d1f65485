"""What gym-http is measured against, each a program of its own that prints the port it serves."""
