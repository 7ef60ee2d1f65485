"""What gym-http costs, against what one would have without it: the table of benchmarks/README.md.

make bench                      all of it, about five minutes
make bench ARGS=--quick         about one
make bench ARGS="--rows 1,vector"
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import chart, machine, table
from benchmarks.measuring import Measured, Row, Unavailable, measure
from benchmarks.pinning import CAN_PIN, allowed_cores, on_cores
from benchmarks.rows import ROWS, named
from benchmarks.servers import ROOT

FULL, QUICK = (5, 3, 0.4), (1, 5, 0.15)  # launches, rounds of a side in each, seconds of a round
BUSY = 0.5  # a load average by which rounds differ visibly
RESULTS = ROOT / "benchmarks" / "results.json"
CHART = ROOT / "docs" / "bench.svg"


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are ended by unwinding
    if options.chart:
        try:
            chart.require_matplotlib()
        except ImportError:
            sys.exit("the chart needs matplotlib: pip install -e '.[bench]'")
    everywhere = allowed_cores()
    core = _core(options.core, everywhere)
    about = {
        "machine": machine.facts(),
        "core": core,  # null: nothing was pinned
        "launches": options.launches,
        "rounds_a_launch": options.rounds,
        "seconds_a_round": options.seconds,
    }
    print(_described(about), flush=True)
    if (about["machine"]["load_average"] or 0) > BUSY:
        print("Something else is running here: expect ratios to vary.", file=sys.stderr)
    print(table.HEAD, flush=True)
    measured: list[Measured] = []
    records: list[dict[str, Any]] = []
    not_measured: dict[str, str] = {}
    for row in options.rows:
        with on_cores([core] if row.pinned and core is not None else everywhere):
            try:
                found = measure(row, options.launches, options.rounds, options.seconds)
                measured += found
                for each in found:
                    records.append(table.record(row, each))
                    print(table.line(row, each), flush=True)
            except Unavailable as why:
                not_measured[row.name] = str(why)
                print(table.unavailable(row, str(why)), flush=True)
    if options.out:
        results = {**about, "lines": records, "not_measured": not_measured}
        options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if options.chart and any(each.comparison.goal for each in measured):
        chart.draw(measured, options.chart)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure gym-http side by side with what one would have without it.",
    )
    parser.add_argument("--quick", action="store_true", help="rougher, in about a minute")
    parser.add_argument("--rows", type=_rows, help="only these, by number or name: 1,vector")
    parser.add_argument("--core", type=int, help="to pin all to; by default the first there is")
    parser.add_argument("--launches", type=int, help="of all servers; by default 5")
    parser.add_argument("--rounds", type=int, help="of each side in each; by default 3")
    parser.add_argument("--seconds", type=float, help="of a round; by default 0.4")
    parser.add_argument("--out", type=Path, help=f"by default {RESULTS.relative_to(ROOT)} *")
    parser.add_argument("--chart", type=Path, help=f"by default {CHART.relative_to(ROOT)} *")
    parser.epilog = "* With --rows or --quick, only what is named is written."
    options = parser.parse_args(arguments)
    if not (options.quick or options.rows):
        options.out, options.chart = options.out or RESULTS, options.chart or CHART
    options.rows = options.rows or list(ROWS)
    launches, rounds, seconds = QUICK if options.quick else FULL
    options.launches = launches if options.launches is None else options.launches
    options.rounds = rounds if options.rounds is None else options.rounds
    options.seconds = seconds if options.seconds is None else options.seconds
    if options.rounds < 1 or options.launches < 1:
        parser.error("--rounds and --launches: at least 1")
    return options


def _rows(names: str) -> list[Row]:
    try:
        return named(names)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _core(wanted: int | None, allowed: list[int]) -> int | None:
    """The core to pin to; None where nothing can be pinned."""
    if not CAN_PIN:
        print("This system pins no processes to cores: expect ratios to vary.", file=sys.stderr)
        return None
    if wanted is None:
        return allowed[0]
    if wanted not in allowed:
        sys.exit(f"--core {wanted}: there are {', '.join(map(str, allowed))}")
    return wanted


def _described(about: dict[str, Any]) -> str:
    facts = about["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    return (
        f"{facts['cpu']}, {facts['cores']} cores, load {facts['load_average']}; "
        f"Python {facts['python']}, {packages}; commit {facts['commit']}; "
        f"{about['launches']} × {about['rounds_a_launch']} rounds of {about['seconds_a_round']} s"
    )


if __name__ == "__main__":
    main()
