"""How long a step of CartPole takes elsewhere, against the least that a Python server can do.

make peers                      about two minutes, and the first time some more to install them
make peers ARGS=--quick
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.baselines.raw_tcp import reply_bytes
from benchmarks.measuring import Comparison, Measured, Round, Unavailable, add_rounds, p50_us
from benchmarks.peers import ENV_ID, PEERS
from benchmarks.peers.asking import asked
from benchmarks.pinning import allowed_cores, on_cores
from benchmarks.raw import RawHTTP, RawTCP
from benchmarks.servers import ROOT, baseline, gym_http
from benchmarks.working import CallSteps, HTTPSteps, TCPSteps
from gym_http_client import Client

FULL, QUICK = (15, 0.4), (3, 0.12)  # rounds of a side, seconds of a round
RESULTS = ROOT / "benchmarks" / "peers.json"
BASELINE = "raw TCP in Python"
UNSTEADY = 1.3  # times the least that the baseline took beside any other contender
HEAD = f"{'':26} {'p50, µs':>8}   × {BASELINE}"

Contender = AbstractContextManager[tuple[Round, dict[str, str]]]  # and versions


@contextmanager
def raw_client() -> Iterator[tuple[Round, dict[str, str]]]:
    with (
        gym_http() as server,
        Client(server.url) as client,
        closing(RawHTTP(server.address)) as http,
    ):
        bodies = [b'{"action":0}', b'{"action":1}']
        yield p50_us(HTTPSteps(http, [client.env_create(ENV_ID)], bodies)), {}


@contextmanager
def bundled_client() -> Iterator[tuple[Round, dict[str, str]]]:
    with gym_http() as server, Client(server.url) as client:
        instance_id = client.env_create(ENV_ID)
        work = CallSteps(
            lambda action: client.env_step(instance_id, action),
            [0, 1],
            reset=lambda: client.env_reset(instance_id),
            ended=lambda returned: returned[2],
        )
        yield p50_us(work), {"requests": version("requests")}


OURS: dict[str, Callable[[], Contender]] = {
    "gym-http, raw client": raw_client,
    "gym-http, bundled client": bundled_client,
}


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are ended by unwinding
    facts = machine.facts()
    print(f"{facts['cpu']}, load {facts['load_average']}; commit {facts['commit']}", flush=True)
    print(HEAD, flush=True)
    peers: dict[str, Callable[[], Contender]]
    peers = {peer.name: partial(asked, peer) for peer in PEERS}
    records = []
    with (
        on_cores([] if options.core is None else [options.core]),
        baseline("raw_tcp", ENV_ID) as echo,
        closing(RawTCP(echo.address, reply_bytes(ENV_ID))) as tcp,
    ):
        theirs = p50_us(TCPSteps(tcp, [0, 1]))
        for name, opened in {**OURS, **peers}.items():
            records.append(_measured(name, opened(), theirs, options))
            print(_line(records[-1]), flush=True)
    steady = [record["baseline_us"] for record in records if "baseline_us" in record]
    if max(steady) > UNSTEADY * min(steady):
        told = f"{min(steady):.0f} to {max(steady):.0f} µs"
        print(f"Others use this core: {BASELINE} took {told}. Measure again.", file=sys.stderr)
    if options.out:
        about = {
            "machine": facts,
            "core": options.core,  # null: nothing was pinned
            "rounds": options.rounds,
            "seconds_a_round": options.seconds,
            "work": f"a step of {ENV_ID}, p50",
            "baseline": BASELINE,
        }
        results = {**about, "lines": records}
        options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="Measure gym-http's peers, side by side."
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--core", type=int, help="to pin all to; by default the first")
    parser.add_argument("--out", type=Path, help=f"by default {RESULTS.relative_to(ROOT)} *")
    parser.epilog = "* With --quick, only what is named is written."
    options = parser.parse_args()
    if not options.quick:
        options.out = options.out or RESULTS
    options.rounds, options.seconds = QUICK if options.quick else FULL
    if options.core is None:
        options.core = next(iter(allowed_cores()), None)
    return options


def _measured(
    name: str, contender: Contender, theirs: Round, options: argparse.Namespace
) -> dict[str, Any]:
    """Alternating with the baseline. As plain values; what can't be measured says why."""
    try:
        with contender as (ours, versions):
            comparison = Comparison(name, BASELINE, "µs", ours, theirs)
            measured = Measured(comparison, [], [])
            add_rounds(measured, comparison, options.rounds, options.seconds)
    except Unavailable as why:
        return {"name": name, "not_measured": str(why)}
    return {"name": name, "versions": versions, **_record(measured)}


def _record(measured: Measured) -> dict[str, Any]:
    return {
        "p50_us": statistics.median(measured.ours),
        "baseline_us": statistics.median(measured.theirs),
        "ratio": measured.ratio,
        "rounds": {"p50_us": measured.ours, "baseline_us": measured.theirs},
    }


def _line(record: dict[str, Any]) -> str:
    """The medians, the least and the greatest ratio of a round, and versions."""
    if "not_measured" in record:
        return f"{record['name']:26} not measured: {record['not_measured']}"
    rounds = record["rounds"]
    ratios = [a / b for a, b in zip(rounds["p50_us"], rounds["baseline_us"], strict=True)]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return (
        f"{record['name']:26} {record['p50_us']:8.1f}   {record['ratio']:5.2f}×"
        f"  ({min(ratios):.2f} to {max(ratios):.2f})  {versions}"
    )


if __name__ == "__main__":
    main()
