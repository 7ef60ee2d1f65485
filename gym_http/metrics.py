"""The server's numbers as Prometheus reads them, made when it asks: a step writes plain numbers
(`tally`) and knows nothing of this."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gym_http.errors import BackendLost, Evicted, GymHTTPError, TimedOut
from gym_http.registry import CLOSED, Registry
from gym_http.settings import BACKEND_NAMES
from gym_http.tally import BOUNDS_S, Tally

REASONS = (CLOSED, Evicted.code, BackendLost.code, TimedOut.code)


class Metrics:
    """What there is to be seen of one server: of its instances, and of its process."""

    def __init__(self, registry: Registry) -> None:
        self._collectors = CollectorRegistry()
        self._collectors.register(InstanceCollector(registry))
        ProcessCollector(registry=self._collectors)
        PlatformCollector(registry=self._collectors)
        GCCollector(registry=self._collectors)

    def register(self, collector: Collector) -> None:
        """Tell what this one collects as well."""
        self._collectors.register(collector)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """(the text, its content type): Prometheus' own format, or OpenMetrics for who asks for
        that in an Accept header."""
        try:
            encode, content_type = choose_encoder(accept if accept.isascii() else "")
            return encode(self._collectors), content_type
        except (TypeError, ValueError):  # a version that is none
            encode, content_type = choose_encoder("")
            return encode(self._collectors), content_type


class InstanceCollector(Collector):
    """Of all instances, those that live and those that have ended."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        living, totals = self._registry.counted()
        tallies: dict[str, Tally] = totals.ended
        alive: Counter[str] = Counter()
        for backend, tally in living:
            alive[backend] += 1
            tallies[backend].add(tally)
        closed: defaultdict[tuple[str, str], int] = defaultdict(int, totals.closed)

        instances = GaugeMetricFamily("gym_http_instances", "Instances alive.", labels=["backend"])
        for backend in BACKEND_NAMES:
            instances.add_metric([backend], alive[backend])
        yield instances
        created = [([b], totals.created[b]) for b in BACKEND_NAMES]
        yield _counter("instances_created", "Instances made.", created)
        yield _counter(
            "instances_closed",
            "Instances that have ended, by whom or what.",
            [([b, why], closed[b, why]) for b in BACKEND_NAMES for why in REASONS],
            "reason",
        )
        yield _counter(
            "steps",
            "Steps made; of a vector environment, those of each of its environments.",
            [([b], tallies[b].steps) for b in BACKEND_NAMES],
        )
        yield _counter(
            "episodes", "Episodes ended.", [([b], tallies[b].episodes) for b in BACKEND_NAMES]
        )
        timings = HistogramMetricFamily(
            "gym_http_step_seconds",
            "What the environment's own step took; of a vector environment, that of all at once.",
            labels=["backend"],
        )
        for backend in BACKEND_NAMES:
            timings.add_metric([backend], _buckets(tallies[backend]), tallies[backend].seconds)
        yield timings
        errors = CounterMetricFamily(
            "gym_http_errors", "Calls answered with an error.", labels=["code"]
        )
        for code in sorted({*codes(), *totals.errors}):
            errors.add_metric([code], totals.errors[code])
        yield errors
        yield CounterMetricFamily(
            "gym_http_evictions",
            "Instances ended because nobody called them.",
            value=sum(closed[backend, Evicted.code] for backend in BACKEND_NAMES),
        )
        yield _counter(
            "worker_deaths",
            "Workers that died, or were killed because they were late.",
            [([b], totals.deaths[b]) for b in BACKEND_NAMES],
        )


def _counter(
    name: str, told: str, values: Iterable[tuple[list[str], int]], *labels: str
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"gym_http_{name}", told, labels=["backend", *labels])
    for labelled, value in values:
        family.add_metric(labelled, value)
    return family


def _buckets(tally: Tally) -> list[tuple[str, float]]:
    """(upper bound, how many took at most so long), as the format has them."""
    bounds = [*map(floatToGoString, BOUNDS_S), "+Inf"]
    return list(zip(bounds, accumulate(tally.timings), strict=True))


def codes(kind: type[GymHTTPError] = GymHTTPError) -> set[str]:
    """Those of every error there is. A counter that is there before it counts misses nothing."""
    return {kind.code}.union(*map(codes, kind.__subclasses__()))
