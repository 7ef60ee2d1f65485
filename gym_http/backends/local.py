"""The environment in this very process: no call costs more than the environment's own."""

from __future__ import annotations

from gym_http import environments
from gym_http.backends.contract import Opened


def open_local(recipe: environments.Recipe, policy: environments.Policy) -> Opened:
    """Make the environment here. Raises what environments.make raises."""
    made = environments.make(recipe, policy)
    return Opened(
        backend=made.env,
        env_id=made.env_id,
        engine=made.engine,
        engine_version=made.engine_version,
        fps=_fps(made.env.metadata),
        warning=made.warning,
    )


def _fps(metadata: dict[str, object]) -> float:
    """Frames a second of the environment's pictures; Gym's 30 where it names none."""
    fps = metadata.get("render_fps") or metadata.get("video.frames_per_second")
    return float(fps) if isinstance(fps, (int, float)) and fps > 0 else 30.0
