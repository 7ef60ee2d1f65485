"""Scenarios, run: through a driver, or by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from gym_http.fake_server.driving import Driver, DriverFailed
from gym_http.fake_server.player import Player, Problem
from gym_http.fake_server.script import GivenError, Gives, Scenario, Script, Step
from gym_http.fake_server.values import differences, shown


@dataclass
class Outcome:
    """Of one scenario."""

    level: str
    name: str
    about: str
    problems: list[Problem] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.problems


def by_driver(
    scripts: list[Script], command: str, timeout_s: float, port: int = 0
) -> Iterator[Outcome]:
    """Run each scenario with a client that `command` drives. One driver plays all of them, until
    one fails: the next begins with another."""
    driver: Driver | None = None
    try:
        for script, scenario in _scenarios(scripts):
            outcome = Outcome(script.level, scenario.name, scenario.about)
            player = _player(script, scenario, port)
            try:
                driver = driver or Driver(command)
                for step in scenario.steps:
                    if not _play(step, scenario, player, driver, timeout_s):
                        break
            except DriverFailed as failure:
                player.note("an answer from the driver", str(failure))
                if driver is not None:
                    driver.close()
                driver = None
            finally:
                player.close()
            outcome.problems = player.problems
            yield outcome
    finally:
        if driver is not None:
            driver.close()


def by_hand(
    scripts: list[Script], port: int, host: str, say: Callable[[str], None]
) -> Iterator[Outcome]:
    """Serve each scenario, one after the other, to whatever calls. What callers are given isn't
    checked."""
    for script, scenario in _scenarios(scripts):
        outcome = Outcome(script.level, scenario.name, scenario.about)
        player = _player(script, scenario, port, host)
        try:
            say(f"{player.url}  {script.level}/{scenario.name}: {scenario.about}")
            for step in scenario.steps:
                if not step.exchanges:
                    continue
                player.begin(_named(step), step.exchanges)
                say(f"  call {_named(step)}")
                while not player.wait_until_played(1):
                    pass
                player.finish()
                if player.problems:
                    break
        finally:
            player.close()
        outcome.problems = player.problems
        yield outcome


def _scenarios(scripts: list[Script]) -> Iterator[tuple[Script, Scenario]]:
    return ((script, scenario) for script in scripts for scenario in script.scenarios)


def _player(script: Script, scenario: Scenario, port: int, host: str = "127.0.0.1") -> Player:
    player = Player(scenario, host, port)
    if script.level == "messagepack":
        player.speaks_messagepack()
    return player


def _play(step: Step, scenario: Scenario, player: Player, driver: Driver, timeout_s: float) -> bool:
    """Make one call. Returns whether the next may follow."""
    if step.call == "new_client" or not player.called:
        player.begin("new_client", [])
        new = {"url": player.url, **scenario.client}
        answer = driver.call("new_client", new, timeout_s)
        player.called = True
        if "value" not in answer:
            player.note("a client", shown(answer))
            return False
        if step.call == "new_client":
            return True
    player.begin(_named(step), step.exchanges)
    answer = driver.call(step.call, step.arguments, timeout_s)
    if "unsupported" not in answer:
        player.finish(shown(answer))
    if player.problems:
        return False
    for expected, came in given(step.gives, answer):
        player.note(expected, came)
    return not player.problems


def given(gives: list[Gives], answer: dict[str, Any]) -> list[tuple[str, str]]:
    """(what was expected, what came) of a caller; nothing where one of `gives` is what it got."""
    if "unsupported" in answer:
        return [("a client that has this call (or leave out its level)", "unsupported")]
    wrong = [[*_given(one, answer)] for one in gives]
    return min(wrong, key=len) if all(wrong) else []


def _given(gives: Gives, answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(gives.error, GivenError):
        yield from _error(gives.error, answer)
    elif "error" in answer:
        wanted = "no error" if gives.done else gives.has if gives.value is UNSET else gives.value
        yield f"the value {shown(wanted)}", f"the error {shown(answer['error'])}"
    elif gives.done:
        return
    elif isinstance(gives.has, dict):
        came = answer["value"]
        if not isinstance(came, dict):
            yield f"an object with {', '.join(gives.has)}", shown(came)
            return
        here = {name: came[name] for name in gives.has if name in came}
        yield from differences(gives.has, here, "value")
    else:
        yield from differences(gives.value, answer["value"], "value")


def _error(expected: GivenError, answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    codes = [expected.code] if isinstance(expected.code, str) else expected.code
    if "error" not in answer:
        wanted = " or ".join(codes) if codes else expected.message or "any"
        yield f"an error: {wanted}", shown(answer)
        return
    came = answer["error"]
    if not isinstance(came.get("code", ""), (str, type(None))):
        yield "error.code, a text", shown(came)
    if codes is not None and came.get("code") not in codes:
        yield f"error.code = {' or '.join(codes)}", shown(came)
    message = came.get("message")
    if expected.message is not None and expected.message not in str(message):
        yield f"error.message with {shown(expected.message)}", shown(message)
    status = came.get("status")
    if expected.status is not None and status not in (None, expected.status):
        yield f"error.status = {expected.status}", shown(status)


def _named(step: Step) -> str:
    arguments = ", ".join(f"{name}={shown(value)}" for name, value in step.arguments.items())
    return f"{step.call}({arguments})"


def share(outcomes: list[Outcome], level: str) -> tuple[int, int]:
    """(passed, all) of a level."""
    of_level = [outcome for outcome in outcomes if outcome.level == level]
    return sum(outcome.passed for outcome in of_level), len(of_level)
