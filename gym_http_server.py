#!/usr/bin/env python3
"""The server: `python gym_http_server.py [-l HOST] [-p PORT]`.

Imported, it gives `app`, a Flask app like any other, with `app.run(host, port)`.
"""

from gym_http.cli import read_settings
from gym_http.cli import serve as main
from gym_http.web.app import create_app

if __name__ == "__main__":
    main()
else:
    app = create_app(read_settings())
