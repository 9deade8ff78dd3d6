"""The centre finds its own incidents: in a process of its own, kept up to date, counted once."""

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from gateway.centre.analyst import Analyst, job_of
from gateway.centre.daemon import Centre
from gateway.centre.metrics import Metrics
from gateway.centre.store.jobs import Job
from gateway.event import Event, EventKind
from gateway.process.clock import Clock
from gateway.reading import TICK_NS
from gateway.wire import record, rows
from gateway.wire.record import RecordKind
from tests.centre.history import Box, History
from tests.centre.peer import Peer, running
from tests.waiting import until


async def _get(centre: Centre, path: str) -> Any:
    def ask() -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{centre.admin_port}{path}") as answer:
            return json.load(answer)

    return await asyncio.to_thread(ask)


async def _text(centre: Centre) -> str:
    def ask() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{centre.admin_port}/metrics") as answer:
            text: str = answer.read().decode()
            return text

    return await asyncio.to_thread(ask)


async def _cut(peer: Peer) -> None:
    peer.socket.transport.abort()
    await until(lambda: peer.gateway_id not in peer.centre.server.sessions)


async def test_a_loss_becomes_an_incident_and_improves(tmp_path: Path) -> None:
    """It is in the store, on the API and among the gauges; when the gateway is back it is over."""
    async with running(tmp_path) as centre:
        peer = await Peer(centre).connect()
        await peer.hello()
        await _cut(peer)
        await centre.analyst.look()
        (found,) = await _get(centre, "/api/incidents")
        assert (found["lost"], found["ended_ns"]) == (1, None)
        assert centre.analyst.states == {"connected": 0, "lost": 1}
        again = await Peer(centre, token=peer.token, epoch=peer.epoch).connect()
        await again.hello()
        await centre.analyst.look()
        (better,) = await _get(centre, "/api/incidents")
        assert better["identity"] == found["identity"] and better["ended_ns"] is not None
        told = await _get(centre, f"/api/incidents/{found['identity']}")
        (loss,) = told["losses"]
        assert loss["gateway"] == "site-1" and loss["returned_ns"] >= loss["lost_ns"]
        series = await _get(centre, "/api/connections")
        assert [sample["active"] for sample in series][:1] == [0]
        text = await _text(centre)
        assert "centre_gateways_lost 0.0" in text and "centre_gateways_known 1.0" in text
        assert 'centre_lost_gateways_total{cause="power_cut"} 0.0' in text
        assert "nan" not in text.lower().replace("nanosecond", "")


async def test_an_unknown_incident_is_not_found(tmp_path: Path) -> None:
    """404 and a sentence."""
    async with running(tmp_path) as centre:
        with pytest.raises(urllib.error.HTTPError) as caught:
            await _get(centre, "/api/incidents/20270101T000000-0000")
        assert caught.value.code == 404
        caught.value.close()


async def test_nothing_is_analysed_while_nothing_changes(tmp_path: Path) -> None:
    """A quiet centre has no second process working."""
    async with running(tmp_path) as centre:
        analyst = centre.analyst
        await analyst.look()
        first = analyst._process
        assert first is not None
        first.kill()
        await first.wait()
        await analyst.look()  # would fail if it asked the dead process
        peer = await Peer(centre).connect()
        await peer.hello()
        with pytest.raises((RuntimeError, OSError)):
            await analyst.look()
        await analyst._end()
        analyst._seen = None
        await analyst.look()
        assert analyst.states == {"connected": 1, "lost": 0}


class _Later(Clock):
    """The clock some time from now."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead_ns = int(ahead_s * 1e9)

    def wall_ns(self) -> int:
        return super().wall_ns() + self._ahead_ns


async def test_a_boot_is_counted_though_no_session_begins_or_ends(tmp_path: Path) -> None:
    """Its event comes after the session began, and its class is waited for: the centre looks."""
    async with running(tmp_path) as centre:
        peer = Peer(centre)
        await peer.open()
        await centre.analyst.look()
        for seq, word, rule in ((1, "orderly_reboot", 3), (2, "power_cut", 8)):
            event = Event.make(EventKind.BOOT_CLASSIFIED, TICK_NS, **{"class": word, "rule": rule})
            payload = rows.pack_event(event)
            seed = record.epoch_seed(peer.epoch)
            await peer.data([record.pack(seed, seq, RecordKind.EVENT, 0, payload)])
        await centre.analyst.look()
        assert +centre.metrics.reboots == {"orderly_reboot": 1}
        await centre.analyst.look()
        assert +centre.metrics.reboots == {"orderly_reboot": 1}
        centre.analyst._clock = _Later(121)
        await centre.analyst.look()
        assert +centre.metrics.reboots == {"orderly_reboot": 1, "power_cut": 1}
        assert centre.analyst._open == 0


async def test_the_process_leaves_with_the_centre(tmp_path: Path) -> None:
    """No process stays behind."""
    async with running(tmp_path) as centre:
        await centre.analyst.look()
        process = centre.analyst._process
        assert process is not None and process.returncode is None
    assert process.returncode == 0


async def test_a_look_that_fails_is_followed_by_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that cannot be read is said once, not at every look, and read when it can."""

    class Office:
        queued = 0

        def submit(self, job: Job) -> None:
            assert job.done is not None
            asyncio.get_running_loop().call_soon(job.done, job)

    looks = 0

    def changes() -> tuple[int, int]:
        nonlocal looks
        looks += 1
        return 0, 0

    path = tmp_path / "late.sqlite"
    analyst = Analyst(path, Office(), Metrics(), Clock(), changes, every_s=0.05)
    analyst.start()
    try:
        await until(lambda: looks >= 3)
        assert caplog.text.count("incidents could not be analysed") == 1
        assert "StoreError" in analyst.trouble or "open" in analyst.trouble
        node = History(path)
        node.come(Box("pump-7"), 0)
        await until(lambda: analyst.states)
        node.close()
    finally:
        await analyst.stop()
    assert analyst.states == {"connected": 1, "lost": 0}
    assert analyst.took_s > 0
    assert analyst.trouble == ""


async def test_a_surprise_does_not_end_the_looking(tmp_path: Path) -> None:
    """Whatever goes wrong in one look, there is another: nobody would notice that there is none."""
    calls = 0

    def changes() -> tuple[int, int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise IndexError("a bug")
        return 0, 0

    node = History(tmp_path / "s.sqlite")
    analyst = Analyst(node.path, node.writer, Metrics(), Clock(), changes, every_s=0.05)
    analyst.start()
    try:
        await until(lambda: analyst.states)
        took_s, before = analyst.took_s, calls
        await until(lambda: calls >= before + 3)
        assert analyst.took_s == took_s > 0
    finally:
        await analyst.stop()
        node.close()


def test_nonsense_from_the_process_is_refused() -> None:
    """A line that is not what was agreed does not become a row."""
    with pytest.raises(ValueError, match="losses"):
        job_of({"losses": 5})
    with pytest.raises(TypeError):
        job_of({"incidents": [[1, 2]]})
    with pytest.raises(ValueError):
        job_of({"gone_losses": [["a", "b"]]})
