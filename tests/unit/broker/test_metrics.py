"""What is counted is in the text that Prometheus reads."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from git_credential_relay.broker.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((f"relay_broker_{name}", frozenset(labels.items())))


def test_every_count_is_rendered():
    """Vends, mints, retries, rate limits, requests and the cache's size each have their line."""
    metrics = Metrics()
    size, trouble = 3, None
    metrics.watch_cache(lambda: size, lambda: trouble)
    metrics.watch_requests(lambda: 7)
    for _ in range(2):
        metrics.vended("vended", "github:github.com", "hit")
    metrics.vended("denied", "", "")
    metrics.minted("github:github.com", 0.24)
    metrics.retried("github:github.com")
    metrics.rate_limit("github:github.com", 4999)
    metrics.answered("/api/git/token", 200)

    source = "github:github.com"
    assert value(metrics, "vends_total", verdict="vended", source=source, cache="hit") == 2
    assert value(metrics, "vends_total", verdict="denied", source="", cache="") == 1
    assert value(metrics, "mint_seconds_count", source=source) == 1
    assert value(metrics, "mint_seconds_bucket", source=source, le="0.2") == 0
    assert value(metrics, "mint_seconds_bucket", source=source, le="0.3") == 1
    assert value(metrics, "forge_retries_total", source=source) == 1
    assert value(metrics, "forge_rate_limit_remaining", source=source) == 4999
    assert value(metrics, "requests_total", route="/api/git/token", status="200") == 1
    assert value(metrics, "cache_entries") == 3
    assert value(metrics, "requests_in_flight") == 7
    assert value(metrics, "cache_up") == 1
    size, trouble = 5, "no connection"
    assert value(metrics, "cache_entries") == 5
    assert value(metrics, "cache_up") == 0


def test_a_cache_that_does_not_know_its_size_counts_as_empty():
    """The reading of all metrics does not fail for it."""
    metrics = Metrics()
    metrics.watch_cache(lambda: None, lambda: None)

    assert value(metrics, "cache_entries") == 0


def test_two_brokers_in_one_process_count_for_themselves():
    """Nothing is registered globally."""
    one, other = Metrics(), Metrics()
    one.retried("a")

    assert value(other, "forge_retries_total", source="a") is None
