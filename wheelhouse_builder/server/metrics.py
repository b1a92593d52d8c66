"""What Prometheus gets to see. A registry of our own: only what is ours, and as often as tests want."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from wheelhouse_builder.server.observe import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from wheelhouse_builder.server.observe import Observation
    from wheelhouse_builder.server.snapshot import Snapshot, Snapshots

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60, 600)  # pages are at the low end
_GONE = "499"  # the client closed the connection, as nginx has it


@dataclass(frozen=True, slots=True)
class _Series:
    """The counters of one combination of labels, looked up once."""

    requests: Counter
    sent: Counter
    seconds: Histogram


class Metrics:
    """The metrics of one server: a listener of `Observed`, and the text for `/metrics`."""

    def __init__(self, snapshots: Snapshots) -> None:
        """`snapshots` tells what is served when the metrics are asked for."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for
        self._snapshots = snapshots
        self.registry = CollectorRegistry()
        labels = ("route", "format", "status")
        self._requests = Counter("whb_requests", "Requests.", labels, registry=self.registry)
        self._sent = Counter("whb_sent_bytes", "Bytes of bodies.", ("route",), registry=self.registry)
        self._seconds = Histogram(
            "whb_request_seconds", "Duration of requests.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.connections = Gauge("whb_open_connections", "Connections that are open.", registry=self.registry)
        self.in_progress = Gauge("whb_requests_in_progress", "Requests under way.", registry=self.registry)
        self._series: dict[tuple[str, str, str], _Series] = {}
        self._gauge("whb_generation", "Number of the generation.", lambda now: now.generation.number)
        self._gauge("whb_projects", "Projects in the generation.", lambda now: len(now.projects))
        # The time of a generation is that of its folder, the last part of its identity; no look at the disk.
        self._gauge("whb_index_age_seconds", "Since publication.", lambda now: time.time() - now.identity[-1] / 1e9)
        stale = Gauge("whb_index_stale", "1: what is published could not be loaded.", registry=self.registry)
        stale.set_function(lambda: float(snapshots.problem is not None))

    def observe(self, seen: Observation) -> None:
        """Count one request."""
        notes = seen.notes
        status = _GONE if seen.aborted else str(seen.status)
        key = (notes.get("route", UNKNOWN), notes.get("format", ""), status)
        series = self._series.get(key) or self._bind(key)
        series.requests.inc()
        series.sent.inc(seen.sent)
        series.seconds.observe(seen.seconds)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Everything in the exposition format that the scraper wants, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _bind(self, key: tuple[str, str, str]) -> _Series:
        route = key[0]
        series = _Series(self._requests.labels(*key), self._sent.labels(route), self._seconds.labels(route))
        self._series[key] = series
        return series

    def _gauge(self, name: str, text: str, value: Callable[[Snapshot], float]) -> None:
        gauge = Gauge(name, text, registry=self.registry)
        gauge.set_function(lambda: math.nan if (now := self._snapshots.current) is None else value(now))
