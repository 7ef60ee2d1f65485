"""What an environment is made of: wrapper in wrapper, and side by side in a vector."""

from __future__ import annotations

from typing import Any


def layers(env: Any) -> list[Any]:
    """The environment and all that are in it, outermost first; those of a vector's environments
    one after the other. What lives in other processes isn't among them."""
    found: list[Any] = []
    waiting = [env]
    while waiting:
        layer = waiting.pop()
        found.append(layer)
        own = getattr(layer, "__dict__", {})
        inner = own["env"] if "env" in own else own.get("gym_env")  # Shimmy's adapter
        if inner is not None and hasattr(inner, "step"):
            waiting.append(inner)
        elif "envs" in own:
            envs = own["envs"]
            if isinstance(envs, (list, tuple)) and all(hasattr(one, "step") for one in envs):
                waiting.extend(reversed(envs))
    return found
