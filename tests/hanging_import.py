"""A module whose import takes longer than anybody waits, on a server of the tests."""

import os
import time

from tests.walk import Walk

if os.environ.get("GYM_HTTP_HANGING_IMPORT"):
    time.sleep(600)

__all__ = ["Walk"]
