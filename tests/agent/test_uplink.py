"""The uplink, its session and its endings, against a centre in memory and a real spool."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.agent.chronicle import Past
from gateway.agent.faults import FaultCause
from gateway.agent.uplink import Identity, NewEpochNeededError, Uplink
from gateway.process.clock import Clock, HostFiles
from gateway.process.timesync import TimeSync
from gateway.wire.message import ByeCode, GapReason, NackCode
from gateway.wire.record import RecordKind
from gateway.wire.rows import unpack_gap
from tests.agent.memory_centre import MemoryCentre, memory_centre
from tests.agent.side import QUICK, agent, rows_of
from tests.rig import Relay, free_port
from tests.waiting import until


async def test_live_and_backlog_arrive_once(tmp_path: Path) -> None:
    """What was made before and during a session is stored once, and the spool is empty."""
    port = free_port()
    centre = MemoryCentre()
    async with agent(tmp_path, port) as side:
        side.read(500)
        await asyncio.sleep(0.1)
        async with memory_centre(centre, port):
            await until(lambda: len(centre.hellos) == 1)
            side.read(100)
            await side.empty()
            assert rows_of(centre) == 600
            assert set(centre.copies.values()) == {1}
            assert "connected" in side.status[-1]
            hello = centre.hellos[0]
            assert (hello.gateway_id, hello.facts) == ("site-1", (("config_revision", "abc"),))
            side.uplink.leave(FaultCause.STOPPED)
            await until(lambda: centre.byes == [ByeCode.STOPPING])
    assert centre.events("session_opened")[0]["session"] == 1
    assert centre.events("connect_failed")[0]["cause"] == "refused"
    assert len(centre.events("connect_failed")) == 1  # the same failure is told once


async def test_a_centre_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    """Unacked records are sent again, and the next Hello says how the session ended."""
    port = free_port()
    centre = MemoryCentre()
    async with agent(tmp_path, port) as side:
        async with memory_centre(centre, port):
            side.read(10)
            await side.empty()
            centre.mute = True
            side.read(10)
            await until(lambda: rows_of(centre) == 20)
        await until(lambda: side.metrics.connected._value.get() == 0)
        centre.mute = False
        side.read(10)
        async with memory_centre(centre, port):
            await side.empty()
            assert rows_of(centre) == 30
            ended = dict(centre.hellos[-1].ended)
            assert (ended["cause"], ended["side"]) == ("eof", "peer")
            assert centre.hellos[-1].last_session == 1
            told = centre.events("session_ended")[0]
            assert told["session"] == 1
            assert told["cause"] == "eof"
            assert isinstance(told["tcp_rtt_s"], float)
            assert max(centre.copies.values()) == 1  # Welcome told what was there already


async def test_a_half_open_link_is_found(tmp_path: Path) -> None:
    """Silence longer than heartbeat and time-out ends the session; it says whose fault."""
    centre = MemoryCentre()
    async with memory_centre(centre):
        relay = Relay(centre.port)
        try:
            async with agent(tmp_path, relay.port) as side:
                side.read(1)
                await side.empty()
                relay.dark()
                side.read(5)
                began = Clock().now()
                await until(lambda: side.metrics.connected._value.get() == 0)
                limit = QUICK.heartbeat_s + QUICK.heartbeat_timeout_s
                assert Clock().now() - began < limit + 2.0
                relay.light()
                await side.empty()
                assert rows_of(centre) == 6
                assert centre.events("session_ended")[0]["cause"] == "half_open"
                assert centre.events("session_ended")[0]["side"] == "path"
        finally:
            relay.stop()


async def test_round_trips_and_heartbeats(tmp_path: Path) -> None:
    """Pings are measured, and the agent's heartbeat messages come as Welcome asked."""
    async with memory_centre(MemoryCentre()) as centre, agent(tmp_path, centre.port) as side:
        await until(lambda: centre.heartbeats >= 2)
        await until(lambda: side.metrics.round_trip._sum.get() > 0)


async def test_the_centres_goodbye_is_honoured(tmp_path: Path) -> None:
    """After a Bye with retry_after the agent stays away that long."""
    async with memory_centre(MemoryCentre()) as centre, agent(tmp_path, centre.port) as side:
        await until(lambda: side.metrics.connected._value.get() == 1)
        await centre.bye(ByeCode.DRAINING, "restart", 0.5)
        await until(lambda: side.metrics.connected._value.get() == 0)
        left = Clock().now()
        side.read(1)
        await until(lambda: len(centre.hellos) == 2)
        assert Clock().now() - left >= 0.4
        await side.empty()
        ended = centre.events("session_ended")[0]
        assert (ended["cause"], ended["retry_after_s"]) == ("peer_stopped", 0.5)


@pytest.mark.parametrize("answer", ["text", b"", b"\xff" * 50, b"\x91\x02", b"\x93\x05\x01\x90"])
async def test_a_centre_that_talks_nonsense(tmp_path: Path, answer: bytes | str) -> None:
    """Anything but gateway.v1 ends the session as the peer's fault; the agent lives on."""
    centre = MemoryCentre(first_bytes=answer)
    async with memory_centre(centre), agent(tmp_path, centre.port) as side:
        await until(lambda: any("protocol" in line for line in side.status))
        centre.first_bytes = None
        side.read(3)
        await side.empty()
        assert rows_of(centre) == 3
        assert centre.events("session_ended")[0]["cause"] == "protocol"


async def test_refused_records_are_sent_again(tmp_path: Path) -> None:
    """A Nack that asks for patience costs nothing."""
    centre = MemoryCentre(refuse_once=NackCode.SLOW_DOWN)
    async with memory_centre(centre), agent(tmp_path, centre.port) as side:
        side.read(5)
        await side.empty()
        assert rows_of(centre) == 5
        assert side.metrics.refused._value.get() > 0


async def test_records_the_centre_will_never_take(tmp_path: Path) -> None:
    """A conflict frees the spool; a gap says which records are missing at the centre."""
    centre = MemoryCentre()
    async with memory_centre(centre), agent(tmp_path, centre.port) as side:
        await until(lambda: bool(centre.events("session_opened")))
        centre.refuse_once = NackCode.CONFLICT
        side.read(1)
        await side.empty()
        assert rows_of(centre) == 0
        await until(lambda: any(r.kind == RecordKind.GAP for r in centre.records.values()))
        (record,) = [r for r in centre.records.values() if r.kind == RecordKind.GAP]
        gap = unpack_gap(record.payload)
        assert (gap.epoch, gap.first, gap.last) == (side.spool.epoch, 2, 2)
        assert gap.reason == GapReason.DEAD_LETTER
        side.read(1)
        await side.empty()
        assert rows_of(centre) == 1


async def test_a_machine_set_back_in_time(tmp_path: Path) -> None:
    """A centre that has more of our epoch than we made ends the uplink for good: a restart with a
    new epoch is asked for."""
    centre = MemoryCentre()
    async with memory_centre(centre), agent(tmp_path, centre.port) as side:
        side.read(1)
        await side.empty()
        record = next(iter(centre.records.values()))
        centre.records[side.spool.epoch, 1000] = record
        second = Uplink(
            replace(QUICK, url=f"ws://127.0.0.1:{centre.port}/gateway"),
            Identity("site-1", b"i" * 16, b"b" * 16, ()),
            side.recorder,
            side.spool,
            side.metrics,
            Clock(),
            TimeSync(Clock(), HostFiles(tmp_path), lambda: None),
            side.status.append,
            Past(),
        )
        with pytest.raises(NewEpochNeededError, match="set back in time"):
            async with asyncio.timeout(5):
                await second.run()


async def test_more_than_the_window(tmp_path: Path) -> None:
    """Live records beyond the credit go through the backlog and none is lost."""
    async with memory_centre(MemoryCentre()) as centre, agent(tmp_path, centre.port) as side:
        await until(lambda: side.metrics.connected._value.get() == 1)
        centre.mute = True
        side.read(5000)
        await asyncio.sleep(0.1)
        centre.mute = False
        for receiver_epoch in {epoch for epoch, _ in centre.records}:
            seqs = sorted(seq for epoch, seq in centre.records if epoch == receiver_epoch)
            centre.receivers[-1].committed(receiver_epoch, [(seqs[0], seqs[-1])], Clock().now())
        for connection in tuple(centre.connections):
            await centre._flush(connection, centre.receivers[-1])
        await side.empty()
        assert rows_of(centre) == 5000
        assert set(centre.copies.values()) == {1}


async def test_leaving_while_nobody_answers(tmp_path: Path) -> None:
    """A stop does not wait for a connection attempt or a backoff."""
    settings = replace(QUICK, backoff_initial_s=60.0, backoff_max_s=60.0)
    async with agent(tmp_path, free_port(), settings) as side:
        await until(lambda: any("refused" in line for line in side.status))
    taken: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0)
    async with silent:
        async with agent(tmp_path, silent.sockets[0].getsockname()[1]):
            await until(lambda: bool(taken))
        for writer in taken:  # from Python 3.12 on a server waits for its connections
            writer.transport.abort()


async def test_reconnecting_leaves_nothing_behind(tmp_path: Path) -> None:
    """Sessions cut, refused, broken and said goodbye to, over and over: no descriptor, task or
    timer more than before."""
    port = free_port()
    centre = MemoryCentre()

    async def rounds(count: int) -> None:
        for number in range(count):
            centre.first_bytes = "text" if number % 3 == 0 else None
            async with memory_centre(centre, port):
                met = len(centre.receivers)
                await until(lambda met=met: len(centre.receivers) > met)
                if number % 3 == 1:
                    await until(lambda: side.metrics.connected._value.get() == 1)
                    await centre.bye(ByeCode.DRAINING, "restart", 0.0)
            failed = len(side.status)
            await until(lambda failed=failed: len(side.status) > failed)

    async with agent(tmp_path, port) as side:
        await rounds(3)
        fds, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
        await rounds(21)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= fds + 2, 5.0)
        await until(lambda: len(asyncio.all_tasks()) <= tasks + 3, 5.0)
