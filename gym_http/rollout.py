"""Many steps in one call, which a leased instance makes without a round trip for each."""

from __future__ import annotations

from threading import Event

import numpy as np

from gym_http import playing
from gym_http.columns import ColumnTape
from gym_http.errors import BadValue, shown
from gym_http.instance import Instance
from gym_http.outcomes import Rollout
from gym_http.spaces import batches
from gym_http.tape import FIELDS, RESET, STOP, Actions, Plan, Tape

MOST_BYTES = 64 * 1024 * 1024  # of an array in a reply; JSON takes up to eight times as much


def rollout(instance: Instance, plan: Plan, most_steps: int, ending: Event) -> Rollout:
    """Make the steps, fewer where the server is `ending` meanwhile.

    Raises ResetNeeded, BadValue; and EnvFailed, after which the steps that were made count, but
    their outcome is lost.
    """
    _check(plan)
    playing.require_running(instance)
    actions, count = _actions(instance, plan, most_steps)
    _check_size(instance, plan, count)
    tape = (ColumnTape if ColumnTape.fits(instance, plan) else Tape)(instance, plan)
    tape.play(count, actions, ending)
    return tape.result()


def _check(plan: Plan) -> None:
    if (plan.actions is None) == (plan.sample is None):
        raise BadValue("a rollout takes either actions or sample, the number of actions to draw")
    if plan.on_done not in (STOP, RESET):
        raise BadValue(f"on_done must be {STOP!r} or {RESET!r}, got {shown(plan.on_done)}")
    for field in plan.fields or ():
        if field not in FIELDS:
            raise BadValue(f"fields: {shown(field)} is none of {', '.join(FIELDS)}")


def _check_size(instance: Instance, plan: Plan, count: int) -> None:
    """That the largest of the reply's arrays, as its space has it, isn't too large. Each step may
    be a last one."""
    each = 8 * (instance.facts.num_envs or 1)  # the rewards
    if plan.wants("observations") or (plan.on_done == RESET and plan.wants("final_observations")):
        each = max(each, batches.size_of(instance.env.observation_space))
    if plan.wants("actions"):
        each = max(each, batches.size_of(instance.env.action_space))
    if each * count > MOST_BYTES:
        raise BadValue(
            f"an array of {count} steps may have {each * count} bytes, more than the "
            f"{MOST_BYTES} that one may; make fewer, or leave observations out (fields)"
        )


def _actions(instance: Instance, plan: Plan, most_steps: int) -> tuple[Actions, int]:
    """(native actions, or None where they are to be drawn; how many). Raises BadValue."""
    if plan.sample is not None:
        count, name = plan.sample, "sample"
    elif isinstance(plan.actions, list) or (
        isinstance(plan.actions, np.ndarray) and plan.actions.ndim
    ):
        count, name = len(plan.actions), "actions"
    else:
        raise BadValue(f"actions: expected a list of actions, got {shown(plan.actions)}")
    if not 1 <= count <= most_steps:
        raise BadValue(f"{name}: from 1 to {most_steps} steps (--max-rollout), not {count}")
    if plan.sample is not None:
        return None, count
    return batches.decode_each("actions", instance.env.action_space, plan.actions), count
