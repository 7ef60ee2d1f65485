#!/usr/bin/env python3
"""The server: `python gym_http_server.py [-l HOST] [-p PORT]`.

Imported, it gives `app`, a Flask app like any other, with `app.run(host, port)`.
"""

from typing import Any

from gym_http.cli import read_settings
from gym_http.cli import serve as main


def __getattr__(name: str) -> Any:
    """`app`, when it is first asked for: processes of an environment import this file, too."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gym_http.web.app import create_app

    globals()["app"] = create_app(read_settings())
    return globals()["app"]


if __name__ == "__main__":
    main()
