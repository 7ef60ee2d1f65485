"""What came of the scenarios, for people and for programs."""

from __future__ import annotations

import json
from typing import Any

from gym_http.fake_server.certifying import Outcome, share


def line(outcome: Outcome) -> str:
    """One scenario, with what was wrong under it."""
    mark = "ok  " if outcome.passed else "FAIL"
    lines = [f"{mark}  {outcome.level}/{outcome.name}"]
    if not outcome.passed:
        lines.append(f"      {outcome.about}")
    for problem in outcome.problems:
        lines.append(f"      during   {problem.during}")
        lines.append(f"      expected {problem.expected}")
        lines.append(f"      came     {problem.came}")
    return "\n".join(lines)


def summary(outcomes: list[Outcome]) -> str:
    """The last lines: how many passed, by level."""
    lines = []
    for level in dict.fromkeys(outcome.level for outcome in outcomes):
        passed, every = share(outcomes, level)
        lines.append(f"{level:<14}{passed} of {every}")
    passed = sum(outcome.passed for outcome in outcomes)
    lines.append(f"{'':<14}{passed} of {len(outcomes)} scenarios passed")
    return "\n".join(lines)


def as_json(outcomes: list[Outcome], version: str) -> str:
    """{"passed", "kit", "levels": {level: {"passed", "of"}}, "scenarios": [..]}."""
    levels: dict[str, Any] = {}
    for level in dict.fromkeys(outcome.level for outcome in outcomes):
        passed, every = share(outcomes, level)
        levels[level] = {"passed": passed, "of": every}
    scenarios = [
        {
            "level": outcome.level,
            "name": outcome.name,
            "about": outcome.about,
            "passed": outcome.passed,
            "problems": [problem._asdict() for problem in outcome.problems],
        }
        for outcome in outcomes
    ]
    told = {
        "passed": all(outcome.passed for outcome in outcomes),
        "kit": version,
        "levels": levels,
        "scenarios": scenarios,
    }
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"
