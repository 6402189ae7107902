"""The service's figures, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_PATHS = ("/recommend", "/explain", "/similar", "/health", "/version", "/metrics")


class Monitoring:
    """Counts in a registry of its own.

    Args:
        waiting: how many requests wait for a decoder now.
        decoders: how many processes rank now.
    """

    def __init__(self, waiting: Callable[[], int], decoders: Callable[[], int]) -> None:
        # A second series for each count, which nobody asks for.
        disable_created_metrics()
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter("s2gr_requests", "Requests that were answered.", ["path", "status"], registry=registry)
        self._seconds = Histogram(
            "s2gr_request_seconds",
            "From the request's head to the answer.",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch = Histogram("s2gr_batch_size", "Requests ranked together.", buckets=_SIZES, registry=registry)
        self._busy = Histogram("s2gr_batch_seconds", "Of ranking a batch.", buckets=_SECONDS, registry=registry)
        Gauge("s2gr_waiting", "Requests that wait for the decoder.", registry=registry).set_function(waiting)
        Gauge("s2gr_decoders", "Processes that rank.", registry=registry).set_function(decoders)
        self._bundle = Gauge("s2gr_bundle", "1 for the bundle that is served.", ["version"], registry=registry)
        self._since = Gauge("s2gr_bundle_since_seconds", "When it was taken over, Unix time.", registry=registry)
        self._items = Gauge("s2gr_items", "That may be recommended.", registry=registry)
        self._taken = Counter("s2gr_takeovers", "Of bundles and lists.", ["outcome"], registry=registry)
        for outcome in ("done", "failed"):
            self._taken.labels(outcome)

    def answered(self, path: str, status: int, seconds: float) -> None:
        path = path if path in _PATHS else "other"
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def ranked(self, size: int, seconds: float) -> None:
        self._batch.observe(size)
        self._busy.observe(seconds)

    def serves(self, version: str, items: int) -> None:
        """That ``version`` is served from now on."""
        self._bundle.clear()
        self._bundle.labels(version).set(1)
        self._since.set(time.time())
        self._items.set(items)

    def taken_over(self, outcome: str) -> None:
        self._taken.labels(outcome).inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)
