"""The listener, the names, and what is read at scrape time."""

import urllib.request
from pathlib import Path

import pytest

from gateway.agent.metrics import Metrics, Sample
from gateway.agent.spool.spool import Spool
from gateway.agent.spool_metrics import SpoolCollector
from gateway.config.agent import SpoolSettings
from gateway.errors import ConfigError
from gateway.process.clock import Clock
from gateway.wire.record import RecordKind
from tests.rig import free_port

DOCS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


async def test_every_name_is_served_and_documented(tmp_path: Path) -> None:
    """A scrape shows counters, what others keep and the spool's histogram; the docs name all."""
    metrics = Metrics()
    bus = (("bus", "b1"),)
    metrics.read_from(lambda: [Sample("gateway_polls", "Polls", 3, True, bus)])
    settings = SpoolSettings(str(tmp_path / "spool"), max_bytes=4 << 20, keep_free_bytes=0)
    spool = Spool.open(settings, "site-1", b"b" * 16, Clock())
    metrics.registry.register(SpoolCollector(spool))
    spool.append(RecordKind.EVENT, 0, b"\x90")
    await spool.flush()
    port = free_port()
    stop = metrics.listen(f"127.0.0.1:{port}")
    assert stop is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
        text = response.read().decode()
    stop()
    assert 'gateway_polls_total{bus="b1"} 3.0' in text
    assert "gateway_spool_fsync_seconds_count 1.0" in text
    assert "gateway_spool_commits_total 1.0" in text
    assert "process_resident_memory_bytes" in text
    await spool.close(clean=True)
    types = [line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE gateway_")]
    names = {name for name, kind in types if not name.endswith("_created")}
    assert len(names) > 40
    assert sorted(name for name in names if f"`{name}" not in DOCS) == []


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1:x", "203.0.113.7:1"])
def test_an_address_that_cannot_be_bound(address: str) -> None:
    """The error names the key, the value and the cure."""
    with pytest.raises(ConfigError, match=r"metrics\.listen"):
        Metrics().listen(address)


def test_no_listener() -> None:
    """An empty address means none."""
    assert Metrics().listen("") is None
