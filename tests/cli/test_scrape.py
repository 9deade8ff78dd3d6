"""Pins how numbers are read from a metrics endpoint."""

import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    start_http_server,
)

from gateway.cli.scrape import Scrape, get


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    counter = Counter("made", "x", ["quality"], registry=registry)
    counter.labels("good").inc(5)
    counter.labels("bad").inc(2)
    histogram = Histogram("seconds", "x", registry=registry, buckets=(0.01, 0.02, 0.1))
    for _ in range(50):
        histogram.observe(0.005)
    for _ in range(50):
        histogram.observe(0.015)
    return registry


def test_totals_and_labels() -> None:
    """Samples of a name are added up, or picked by label."""
    scrape = Scrape.parse(generate_latest(_registry()).decode())
    assert scrape.total("made_total") == 7
    assert scrape.total("made_total", quality="bad") == 2
    assert scrape.total("absent_total") == 0


def test_quantiles_interpolate_in_the_bucket() -> None:
    """Half of the samples lie below the first bound, three quarters up to half of the next."""
    scrape = Scrape.parse(generate_latest(_registry()).decode())
    assert scrape.quantile("seconds", 0.5) == pytest.approx(0.01)
    assert scrape.quantile("seconds", 0.75) == pytest.approx(0.015)
    assert scrape.quantile("absent", 0.5) is None


def test_over_http() -> None:
    """A real listener is read; what it does not have is an OSError."""
    server, thread = start_http_server(0, addr="127.0.0.1", registry=_registry())
    address = f"127.0.0.1:{server.server_port}"
    try:
        assert Scrape.fetch(address).total("made_total", quality="good") == 5
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    with pytest.raises(OSError):
        get(address, "/metrics")
