"""What callers have to show: read from where the settings say, and checked, once, at start.

A token is a secret. No message here has one, nor has `repr(Settings)`.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from gym_http.settings import Settings, knobs, variable_of

MOST_CHARACTERS = 1024
SHORT = 16  # characters; what has fewer can be found by trying
ROLES = ("token", "read_token")


def settled(settings: Settings) -> Settings:
    """The settings with both tokens in hand, those of files as well. Raises ValueError."""
    for name in ROLES:
        token, file = getattr(settings, name), getattr(settings, f"{name}_file")
        flag = "--" + name.replace("_", "-")
        if token and file is not None:
            raise ValueError(f"give either {flag} or {flag}-file")
        if file is not None:
            token = _read(file, f"{flag}-file {file}")
            flag += f"-file {file}"
        if not is_sane(token):
            raise ValueError(
                f"{flag}: expected at most {MOST_CHARACTERS} printable ASCII characters, no spaces"
            )
        settings = replace(settings, **{name: token, f"{name}_file": None})
    if settings.read_token and not settings.token:
        raise ValueError("--read-token is a second token: it needs --token or --token-file")
    if settings.read_token and settings.read_token == settings.token:
        raise ValueError("--token and --read-token are the same: who may watch could do anything")
    return settings


def is_sane(token: str) -> bool:
    """Whether it can be sent as it is, in a header, and is what anybody would call one word."""
    return len(token) <= MOST_CHARACTERS and all("!" <= char <= "~" for char in token)


def doubts(given: Settings, now: Settings) -> list[str]:
    """What is allowed and shouldn't be, for the log. now: `given`, settled."""
    found = []
    for name in ROLES:
        flag, file = "--" + name.replace("_", "-"), getattr(given, f"{name}_file")
        if file is not None and _others_may_read(file):
            found.append(f"{flag}-file {file} can be read by everybody here (chmod 600 it)")
        if 0 < len(getattr(now, name)) < SHORT:
            found.append(f"{flag} has fewer than {SHORT} characters, and could be guessed")
    return found


def forget_variables() -> None:
    """Take the tokens out of the environment, and a database's password with its URL, for processes
    that begin from here on, and code of environments that looks around."""
    for knob in knobs():
        if not knob.repr:  # a secret
            os.environ.pop(variable_of(knob), None)


def _read(file: Path, named: str) -> str:
    try:
        with file.open("rb") as opened:
            token = opened.read(2 * MOST_CHARACTERS).decode("latin-1").strip()
    except OSError as error:
        raise ValueError(f"{named}: {error.strerror}") from error
    if not token:
        raise ValueError(f"{named} is empty")
    return token


def _others_may_read(file: Path) -> bool:
    try:
        mode = file.stat().st_mode
    except OSError:
        return False
    return os.name == "posix" and stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)
