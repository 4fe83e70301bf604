"""What the broker counts, for Prometheus. The owner of prometheus_client.

On the path of every vend, so the children of each metric are looked up once and kept. Labels
have few values each (verdicts, sources of the configuration, routes of ours): nothing that a
caller sends becomes one.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
# Seconds. Forges answer a mint within 0.1 to 1; 6.5 is when the broker gives up.
MINT_BUCKETS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 4.0, 6.5)


class Metrics:
    """The counts of one broker, in a registry of its own."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._vends = Counter(
            "relay_broker_vends",
            "Requests for a token, by how they ended",
            ("verdict", "source", "cache"),
            registry=registry,
        )
        self._retries = Counter(
            "relay_broker_forge_retries",
            "Requests to a forge that were sent again",
            ("source",),
            registry=registry,
        )
        self._rate_limit = Gauge(
            "relay_broker_forge_rate_limit_remaining",
            "Requests that the forge still allows, as it last said",
            ("source",),
            registry=registry,
        )
        self._mint_seconds = Histogram(
            "relay_broker_mint_seconds",
            "How long a forge took to issue a token",
            ("source",),
            buckets=MINT_BUCKETS,
            registry=registry,
        )
        self._cache_entries = Gauge(
            "relay_broker_cache_entries", "Tokens in this process's cache", registry=registry
        )
        self._cache_up = Gauge(
            "relay_broker_cache_up", "1 while the cache can be used, 0 while not", registry=registry
        )
        self._requests = Counter(
            "relay_broker_requests", "HTTP answers", ("route", "status"), registry=registry
        )
        self._in_flight = Gauge(
            "relay_broker_requests_in_flight", "HTTP requests under way", registry=registry
        )
        self._vend_children: dict[tuple[str, str, str], Counter] = {}
        self._request_children: dict[tuple[str, int], Counter] = {}

    def vended(self, verdict: str, source: str, cache: str) -> None:
        """A request for a token has ended; `source` and `cache` may be empty."""
        key = (verdict, source, cache)
        child = self._vend_children.get(key)
        if child is None:
            child = self._vend_children[key] = self._vends.labels(*key)
        child.inc()

    def minted(self, source: str, seconds: float) -> None:
        """A forge has issued a token, within this time."""
        self._mint_seconds.labels(source).observe(seconds)

    def retried(self, source: str) -> None:
        """A request to a forge is sent again."""
        self._retries.labels(source).inc()

    def rate_limit(self, source: str, remaining: int) -> None:
        """The forge has said how many requests it still allows."""
        self._rate_limit.labels(source).set(remaining)

    def answered(self, route: str, status: int) -> None:
        """An HTTP answer has been sent; `route` is one of ours, not the caller's path."""
        key = (route, status)
        child = self._request_children.get(key)
        if child is None:
            child = self._request_children[key] = self._requests.labels(route, str(status))
        child.inc()

    def watch_cache(
        self, size: Callable[[], int | None], trouble: Callable[[], str | None]
    ) -> None:
        """Ask how the cache is whenever the metrics are read: its tokens, and what is wrong."""
        self._cache_entries.set_function(lambda: float(size() or 0))
        self._cache_up.set_function(lambda: float(trouble() is None))

    def watch_requests(self, in_flight: Callable[[], int]) -> None:
        """Ask for the number of requests under way whenever the metrics are read."""
        self._in_flight.set_function(lambda: float(in_flight()))

    def render(self) -> bytes:
        """All counts in Prometheus' text format (CONTENT_TYPE)."""
        return generate_latest(self._registry)
