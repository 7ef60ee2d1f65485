"""The table: what is printed, and what stands in results.json."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.measuring import Measured, Row

HEAD = (
    f"{'#':>2}  {'work':38}  {'against':24}  {'ours':>9}  {'theirs':>9}  {'':7}"
    f"  {'ratio':>6}  {'goal':>7}  {'met':3}  rounds"
)


def line(row: Row, measured: Measured) -> str:
    """One comparison: medians of both sides, then the ratio's median, least and greatest."""
    comparison, ratios = measured.comparison, measured.ratios
    goal = comparison.goal
    met = {None: "", True: "yes", False: "no"}[measured.met]
    return (
        f"{row.number if goal else '':>2}  {comparison.work:38}  {comparison.baseline:24}"
        f"  {_figure(measured.ours):>9}  {_figure(measured.theirs):>9}  {comparison.unit:7}"
        f"  {measured.ratio:5.2f}×  {goal or ''!s:>7}  {met:3}"
        f"  {min(ratios):.2f} to {max(ratios):.2f}"
    )


def unavailable(row: Row, why: str) -> str:
    return f"{row.number:>2}  {row.name}: not measured: {why}"


def record(row: Row, measured: Measured) -> dict[str, Any]:
    """One comparison as plain values. The lists have a figure for each round."""
    comparison, goal = measured.comparison, measured.comparison.goal
    return {
        "row": row.number,
        "name": row.name,
        "pinned": row.pinned,
        "work": comparison.work,
        "baseline": comparison.baseline,
        "unit": comparison.unit,
        "ours": statistics.median(measured.ours),
        "theirs": statistics.median(measured.theirs),
        "ratio": measured.ratio,
        "goal": goal and {"ratio": goal.ratio, "at_most": goal.at_most, "reach": goal.reach},
        "met": measured.met,
        "rounds": {"ours": measured.ours, "theirs": measured.theirs, "ratio": measured.ratios},
    }


def _figure(rounds: list[float]) -> str:
    median = statistics.median(rounds)
    return f"{median:,.1f}" if median < 1000 else f"{median:,.0f}"
