"""`gym-http fake-server`."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gym_http import __version__

if TYPE_CHECKING:
    from gym_http.fake_server.certifying import Outcome
    from gym_http.fake_server.script import Script

HERE = Path("conformance")


def bundled() -> Path:
    """The kit's own scripts: ./conformance, that of the checkout, or what pip has installed.
    Raises UsageError where there is none."""
    checkout = Path(__file__).resolve().parents[2] / HERE
    for place in (HERE, checkout):
        if (place / "scenarios").is_dir():
            return place
    try:
        files = importlib.metadata.files("gym-http") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.parts[-3:-1] == ("conformance", "scenarios"):
            return Path(str(file.locate())).resolve().parents[1]
    raise click.UsageError("there are no scripts here; name a file or a directory of them")


@click.command("fake-server", context_settings={"max_content_width": 100})
@click.argument("scripts", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--drive", metavar="COMMAND", help="Program that makes a client's calls, as told.")
@click.option("--level", "levels", multiple=True, help="Only this level's. Repeatable.")
@click.option(
    "--only", "names", multiple=True, help="Only this scenario, [level/]name. Repeatable."
)
@click.option("-l", "--listen", default="127.0.0.1", show_default=True, help="Address.")
@click.option(
    "-p",
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port; 0 takes free ones.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 3600, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds for each call.",
)
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="File for the report as JSON."
)
@click.option("--list", "listing", is_flag=True, help="Tell which scenarios there are.")
def fake_server(
    scripts: tuple[Path, ...],
    drive: str | None,
    levels: tuple[str, ...],
    names: tuple[str, ...],
    listen: str,
    port: int,
    timeout: float,
    report: Path | None,
    listing: bool,
) -> None:
    """Play scripts to a client, faults included, and tell whether it does well.

    SCRIPTS are files or directories; by default those of ./conformance, or else the kit's own. With
    --drive, each scenario is run; without, it is served to whatever calls, curl say. Exits with 1
    where one fails.
    """
    try:
        from gym_http.fake_server import certifying
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"this needs {error.name}: pip install '.[conformance]'"
        ) from error
    if report is not None and not report.parent.is_dir():
        raise click.UsageError(f"--report {report}: there is no such directory")
    chosen = _chosen(list(scripts) or [bundled()], levels, names)
    if listing:
        for script in chosen:
            for scenario in script.scenarios:
                click.echo(f"{script.level}/{scenario.name}  {scenario.about}")
        return
    if drive is None:
        found = certifying.by_hand(chosen, port, listen, click.echo)
    else:
        found = certifying.by_driver(chosen, drive, timeout, port)
    outcomes = _told(found, report)
    if not all(outcome.passed for outcome in outcomes):
        raise SystemExit(1)


def _chosen(paths: list[Path], levels: tuple[str, ...], names: tuple[str, ...]) -> list[Script]:
    from gym_http.fake_server.script import LEVELS, BadScript, chosen, find

    for level in levels:
        if level not in LEVELS:
            raise click.UsageError(f"--level {level}: there are {', '.join(LEVELS)}")
    try:
        left = chosen(find(paths), levels, names)
    except BadScript as error:
        raise click.ClickException(str(error)) from error
    except LookupError as error:
        raise click.UsageError(
            f"--only {error.args[0]}: there is no such scenario; --list tells"
        ) from error
    if not left:
        raise click.UsageError("no scenario is left")
    return left


def _told(found: Iterator[Outcome], report: Path | None) -> list[Outcome]:
    """All outcomes, each printed as it comes."""
    from gym_http.fake_server import report as reporting

    outcomes: list[Outcome] = []
    began = time.monotonic()
    try:
        for outcome in found:
            outcomes.append(outcome)
            click.echo(reporting.line(outcome))
    except OSError as error:  # a port that is taken
        raise click.ClickException(str(error)) from error
    finally:
        if outcomes:
            click.echo(reporting.summary(outcomes))
            click.echo(f"{'':<14}in {time.monotonic() - began:.1f} s")
        if report is not None:
            report.write_text(reporting.as_json(outcomes, __version__), encoding="utf-8")
    return outcomes
