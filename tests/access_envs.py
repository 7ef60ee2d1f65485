"""An environment that looks for secrets where any code of an environment can."""

from __future__ import annotations

import os
import sys
from typing import Any

import gymnasium

from tests.custom_envs import Odd


class Curious(Odd):
    """Tells of `words` which it found in its process's variables and arguments."""

    def __init__(self, words: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = words.split()

    def tell(self) -> Any:
        seen = " ".join([*os.environ.values(), *sys.argv])
        return {"found": [word for word in self.words if word in seen], "looked": len(seen)}


gymnasium.register("AccessCurious-v0", entry_point=Curious)
