"""What Prometheus gets to see: counted in plain integers, and made into metrics when somebody asks.

All requests are counted in the thread of the event loop, so the locks of prometheus-client's own counters would be paid
for nothing, at each request; its families, its registry and its text format are used as they are.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder

from wheelhouse_builder.server.observe import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from wheelhouse_builder.server.observe import Observation
    from wheelhouse_builder.server.snapshot import Snapshots

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60, 600)  # pages are at the low end
_BOUNDS = (*(str(float(bound)) for bound in SECONDS), "+Inf")
_GONE = 499  # the client closed the connection, as nginx has it


@dataclass(slots=True)
class _Route:
    sent: int = 0
    seconds: float = 0.0
    durations: list[int] = field(default_factory=lambda: [0] * len(_BOUNDS))


class Metrics:
    """The metrics of one server: a listener of `Observed`, a collector of prometheus-client."""

    def __init__(self, snapshots: Snapshots) -> None:
        """`snapshots` tells what is served when the metrics are asked for."""
        self._snapshots = snapshots
        self._requests: dict[tuple[str, str, int], int] = defaultdict(int)
        self._routes: dict[str, _Route] = defaultdict(_Route)
        self.gauges: dict[
            tuple[str, str], Callable[[], float]
        ] = {}  # by name and help: what the server knows of itself
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def observe(self, seen: Observation) -> None:
        """Count one request."""
        notes = seen.notes
        name = notes.get("route", UNKNOWN)
        self._requests[name, notes.get("format", ""), _GONE if seen.aborted else seen.status] += 1
        route = self._routes[name]
        route.sent += seen.sent
        route.seconds += seen.seconds
        route.durations[bisect_left(SECONDS, seen.seconds)] += 1

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Everything in the exposition format that the scraper wants, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        requests = CounterMetricFamily("whb_requests", "Requests.", labels=("route", "format", "status"))
        for (name, form, status), count in sorted(self._requests.items()):
            requests.add_metric((name, form, str(status)), count)
        sent = CounterMetricFamily("whb_sent_bytes", "Bytes of bodies.", labels=("route",))
        durations = HistogramMetricFamily("whb_request_seconds", "Duration of requests.", labels=("route",))
        for name, route in sorted(self._routes.items()):
            sent.add_metric((name,), route.sent)
            buckets = list(zip(_BOUNDS, accumulate(route.durations), strict=True))
            durations.add_metric((name,), buckets, sum_value=route.seconds)
        yield from (requests, sent, durations)
        for (name, text), value in self.gauges.items():
            yield GaugeMetricFamily(name, text, value=value())
        yield from self._index()

    def _index(self) -> Iterator[Metric]:
        stale = self._snapshots.problem is not None
        yield GaugeMetricFamily("whb_index_stale", "1: what is published could not be loaded.", value=stale)
        if (now := self._snapshots.current) is None:
            return
        yield GaugeMetricFamily("whb_generation", "Number of the generation.", value=now.generation.number)
        yield GaugeMetricFamily("whb_projects", "Projects in the generation.", value=len(now.projects))
        # The time of a generation is that of its folder, the last part of its identity; no look at the disk.
        age = time.time() - now.identity[-1] / 1e9
        yield GaugeMetricFamily("whb_index_age_seconds", "Since publication.", value=age)
