"""A server that plays scripts, with faults, for who writes a client (`conformance/README.md`).

`driving` tells a client which call to make, `player` answers its requests as the script says, and
`certifying` holds what was sent, and what the client gave its caller, against the script.
"""
