"""By which names this server may be called, and which addresses are this machine's alone.

A web page may have a name of its own lead to this machine (DNS rebinding), and its browser then
takes the server for the page's. It sends that name as the Host. So an IP address is good, which
nobody can give another meaning, and so are names that are known not to be anybody else's.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence

LONGEST = 300  # characters; of a name in DNS, 253
_HOST = re.compile(
    r"(?:\[([\da-f:.]+(?:%[\w.-]+)?)\]|([\w-]{1,63}(?:\.[\w-]{1,63})*)\.?)(?::\d{0,5})?",
    re.ASCII | re.IGNORECASE,
)
_NAME = re.compile(r"\.?[\w-]+(\.[\w-]+)*", re.ASCII)


class Hosts:
    """The names that a server knows as its own."""

    def __init__(self, allowed: Sequence[str], listen: str) -> None:
        """allowed: names, `.example.org` for all under it, `*` for any. Raises ValueError."""
        for name in allowed:
            if name != "*" and not _NAME.fullmatch(name):
                raise ValueError(
                    f"--allow-host {name!r}: expected a name without a port, .example.org for all "
                    "under it, or *"
                )
        wanted = {name.lower() for name in allowed}
        self._takes_any = "*" in wanted
        self._ends = (".localhost", *(name for name in wanted if name.startswith(".")))
        own = {"localhost", listen.lower()}
        if not is_loopback(listen):  # else nobody needs them, and a strange network's DNS has them
            here = socket.gethostname().lower()  # not getfqdn, which may wait for DNS
            short = here.partition(".")[0]
            own |= {here, short, f"{short}.local"}
        self._names = {name.rstrip(".") for name in own | wanted}

    def knows(self, host: str) -> bool:
        """Whether the value of a Host header is one, and this server's. The port doesn't matter:
        a proxy may have another."""
        found = _HOST.fullmatch(host) if len(host) <= LONGEST else None
        if found is None:
            return False
        address, name = found.groups()
        if address is not None:
            return _is_v6(address)
        name = name.lower()
        known = self._takes_any or name in self._names or name.endswith(self._ends)
        return known or _is_v4(name)


def is_loopback(listen: str) -> bool:
    """Whether nobody but this machine can reach that address, or any that the name stands for.
    What stands for none can't be listened on, and hurts nobody."""
    try:
        found = socket.getaddrinfo(listen, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True
    addresses = [ipaddress.ip_address(str(info[4][0])) for info in found]
    return all((getattr(ip, "ipv4_mapped", None) or ip).is_loopback for ip in addresses)


def _is_v4(name: str) -> bool:
    """In any of its spellings, such as 127.1, none of which DNS is asked for."""
    try:
        socket.inet_aton(name)
    except OSError:
        return False
    return True


def _is_v6(address: str) -> bool:
    try:
        ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return False
    return True
