"""The ratios as bars: how far each lies beyond its goal, or falls short of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import Goal, Measured

MET, MISSED, INK = "#2a7f62", "#c8553d", "#222222"


def require_matplotlib() -> None:
    """Raises ImportError."""
    import matplotlib  # noqa: F401


def draw(measured: Sequence[Measured], path: Path) -> None:
    """Write a picture, SVG or PNG by the name's ending, on a white ground: it is looked at on
    dark ones, too. What has no goal isn't drawn."""
    import matplotlib

    matplotlib.use("Agg")  # there may be no display
    matplotlib.rcParams["svg.hashsalt"] = "gym-http"  # the same figures give the same file
    from matplotlib import pyplot

    lines = [(each, each.comparison.goal) for each in measured if each.comparison.goal]
    figure, axes = pyplot.subplots(
        figsize=(10, 1.5 + 0.48 * len(lines)), dpi=100, layout="constrained", facecolor="white"
    )
    scores = [score for each, goal in lines for score in _scores(each, goal)]
    for place, (each, goal) in enumerate(lines):
        score = _score(goal, each.ratio)
        axes.barh(place, score - 1, left=1, height=0.56, color=MET if each.met else MISSED)
        least, most = min(_scores(each, goal)), max(_scores(each, goal))
        axes.plot([least, most], [place, place], color=INK, linewidth=1.2)
        right = score >= 1
        axes.annotate(
            f"{each.ratio:.2f}×  (goal {goal})",
            (max(most, 1) if right else min(least, 1), place),
            xytext=(6 if right else -6, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=10,
            color=INK,
        )
    axes.axvline(1, color=INK, linewidth=1.2)
    axes.set_xscale("log", base=2)
    axes.set_xlim(  # with room for what is written at the bars
        min([1, *scores]) / (1.1 if all(each.met for each, _ in lines) else 4),
        max([1, *scores]) * (4 if any(each.met for each, _ in lines) else 1.1),
    )
    axes.xaxis.set_major_formatter(lambda score, _: _times(score))
    axes.set_yticks(
        range(len(lines)),
        [f"{each.comparison.work}\nagainst {each.comparison.baseline}" for each, _ in lines],
        fontsize=9,
    )
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(
        "← falls short of its goal          by how much          better than its goal →"
    )
    axes.set_title(
        "gym-http, against its goals (bars: medians; thin lines: all rounds)", fontsize=12
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _times(score: float) -> str:
    if score == 1:
        return "goal"
    return f"{score:g}×" if score > 1 else f"1/{1 / score:g}"


def _score(goal: Goal, ratio: float) -> float:
    """How many times better than its goal a ratio is; 1 for one that just meets it."""
    return goal.ratio / ratio if goal.at_most else ratio / goal.ratio


def _scores(measured: Measured, goal: Goal) -> list[float]:
    return [_score(goal, ratio) for ratio in measured.ratios]
