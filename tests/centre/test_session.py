"""A session's corners: what is refused, by which words, and that it is said and counted."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus

from gateway.centre.door import Door
from gateway.centre.link import Link
from gateway.centre.metrics import Metrics
from gateway.centre.tokens import TokenFile, revoke_tokens
from gateway.config.centre import DrainSettings, LinkSettings
from gateway.process.clock import Clock
from gateway.wire.message import Ack, Bye, ByeCode, Data, Lane, Nack, NackCode
from tests.centre.peer import Peer, meter, rows_record, running
from tests.centre.test_server import get
from tests.centre.transport import KeepingTransport, frame
from tests.waiting import until

QUICK = DrainSettings(timeout_s=2.0, retry_after_s=5.0)


async def test_another_record_under_a_stored_key_is_a_conflict(tmp_path: Path) -> None:
    """Nack CONFLICT for exactly that seq, an event, a count; its neighbours are acked."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.open()
        await peer.rows([1, 2])
        other = [peer.made[1], rows_record(peer.epoch, 2, [meter(2, 1.0)])]
        other.append(rows_record(peer.epoch, 3, [meter(3)]))
        await peer.send(Data(peer.epoch, Lane.LIVE, 0, b"".join(r.data for r in other)))
        nack, ack = await peer.receive(), await peer.receive()
        assert isinstance(nack, Nack) and nack.code == NackCode.CONFLICT
        assert nack.intervals == ((2, 2),)
        assert isinstance(ack, Ack) and ack.intervals == ((1, 1), (3, 3))
        events = await get(centre, "/api/gateways/site-1/events")
        assert isinstance(events, list) and events[0]["kind"] == "record_conflict"
        assert events[0]["fields"] == {
            "epoch": f"{peer.epoch:016x}",
            "first": 2,
            "last": 2,
            "records": 1,
        }
        assert "centre_records_conflict_total 1.0" in str(await get(centre, "/metrics"))
        await peer.socket.close()


async def test_what_cannot_be_taken_is_refused_at_once(tmp_path: Path) -> None:
    """A Nack does not wait for the next message or commit."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.open()
        unknown = rows_record(peer.epoch, 1, [meter(1)], sid=9)
        await peer.send(Data(peer.epoch, Lane.LIVE, 0, unknown.data))
        nack = await asyncio.wait_for(peer.receive(), 5.0)
        assert isinstance(nack, Nack) and nack.code == NackCode.NEED_SCHEMA
        assert nack.intervals == ((1, 1),)
        await peer.socket.close()


async def test_a_token_revoked_between_upgrade_and_hello_opens_nothing(tmp_path: Path) -> None:
    """The table of sessions does not know it yet; Hello is refused all the same."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.connect()
        assert revoke_tokens(tmp_path / "tokens", "site-1") == 1
        centre.look_at_tokens()
        answer = await peer.hello()
        assert isinstance(answer, Bye) and answer.code == ByeCode.NOT_AUTHORISED
        assert (await peer.closed())[0] == 1008
        with pytest.raises(InvalidStatus) as caught:
            await peer.connect()
        assert caught.value.response.status_code == 401
        assert centre.server.active == 0


async def test_hello_while_draining_is_sent_away(tmp_path: Path) -> None:
    """A link that was let in just before does not become a session of a centre that stops."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.connect()
        await centre.server.drain(60.0, 0.1)
        answer = await peer.hello()
        assert isinstance(answer, Bye) and answer.code == ByeCode.DRAINING
        assert (await peer.closed())[0] == 1001
        assert centre.metrics.connections == 0


async def test_the_longest_id_in_hello_is_refused_in_a_whole_close(tmp_path: Path) -> None:
    """The close reason is cut at 123 bytes, not characters (RFC 6455 §5.5)."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.connect()
        peer.gateway_id = "é" * 64
        assert isinstance(await peer.hello(), Bye)
        code, reason = await peer.closed()
        assert code == 1008 and reason.startswith("Hello of é")


async def test_bye_while_the_store_looks_is_no_session(tmp_path: Path) -> None:
    """`ws_connection_total` counts sessions that reached Welcome, and no others."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.connect()
        deliver, waiting, left = centre.server.answer, [], False

        def held(jobs: list[object]) -> None:
            if left:
                deliver(jobs)  # type: ignore[arg-type]
            else:
                waiting.append(jobs)

        centre.server.answer = held  # type: ignore[assignment, method-assign]
        hello = asyncio.ensure_future(peer.hello())
        await until(lambda: centre.metrics.messages_in == 1)
        await peer.send(Bye(ByeCode.STOPPING, "", 0.0))
        await until(lambda: centre.metrics.messages_in == 2)
        left = True
        for jobs in waiting:
            deliver(jobs)  # type: ignore[arg-type]
        assert isinstance(await hello, Bye)
        assert (await peer.closed())[0] == 1000
        assert centre.metrics.connections == 0 and centre.server.active == 0


def test_tls_that_takes_too_long_leaves_the_counts_right(tmp_path: Path) -> None:
    """A connection made after its time-out is counted in and out once."""
    door = Door(
        "/gateway",
        LinkSettings(),
        TokenFile(tmp_path / "tokens"),
        Metrics(),
        Clock(),
        lambda *_: pytest.fail("let in"),
    )
    link = door._link()
    assert isinstance(link, Link)
    link.handle_due(link.since + 99.0)
    transport = KeepingTransport()
    link.connection_made(transport)
    assert transport.aborted and door.links == 1
    link.connection_lost(None)
    assert (door.links, door.handshakes, dict(door._per_address)) == (0, 0, {})
    assert door.metrics.handshake_failures == {"tls": 1}


async def test_a_message_of_many_empty_fragments_takes_no_memory(tmp_path: Path) -> None:
    """A fragment without bytes leaves nothing behind, however many there are."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.open()
        link = centre.server.sessions["site-1"].link
        link.data_received(frame(b"\x93\x01", 2, fin=False) + frame(b"", 0, fin=False) * 20_000)
        assert link._strict is not None
        assert len(link._strict._parts) == link._strict.assembled == 2
        await peer.socket.close()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("from=9999999999999999999", 200),
        ("from=1000000000000&to=-1000000000000", 200),
        ("from=--5", 400),
        ("from=0001-01-01T00:00:00Z", 200),
        ("limit=0000000000019999999999", 400),
        ("limit=0", 400),
    ],
)
async def test_no_instant_or_limit_breaks_a_query(tmp_path: Path, query: str, status: int) -> None:
    """What SQLite cannot hold is its edge, not an error of ours."""
    async with running(tmp_path, drain=QUICK) as centre, aiohttp.ClientSession() as session:
        peer = Peer(centre)
        await peer.open()
        await peer.rows([1])
        for what in ("events", "sessions", "gaps", "readings"):
            url = f"http://127.0.0.1:{centre.admin_port}/api/gateways/site-1/{what}?{query}"
            async with session.get(url + "&point=meter.v") as answer:
                assert answer.status == status, (what, await answer.text())
        await peer.socket.close()
