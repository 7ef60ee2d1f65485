"""`python -m gym_http`: the command line."""

from gym_http.cli import main

main(prog_name="gym-http")
