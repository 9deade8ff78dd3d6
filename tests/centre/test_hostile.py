"""Peers that break the rules, through real sockets: each ends in its code, nobody else notices."""

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.config.centre import DrainSettings, LinkSettings, StoreSettings
from gateway.event import Event, EventKind
from gateway.reading import TICK_NS
from gateway.wire import codec, record, rows
from gateway.wire.message import Bye, Data, EpochState, Lane, Welcome
from gateway.wire.record import RecordKind
from tests.centre.peer import Peer, meter, rows_record, running
from tests.waiting import until

QUICK = DrainSettings(timeout_s=2.0, retry_after_s=5.0)


@pytest.mark.parametrize(
    ("message", "codes"),
    [
        (b"\xc1", (1007,)),
        (b"", (1007,)),
        (os.urandom(2000), (1002, 1007)),
        (b"\x91\x2f", (1002,)),
        (codec.encode(Data(1, Lane.LIVE, 0, b"x")), (1002,)),
        (codec.encode(Bye(1, "", 0.0)), (1002,)),
        ("text", (1003,)),
        (b"x" * 300_000, (1009,)),
        (b"\x91" * 60_000, (1007,)),
    ],
    ids=["c1", "empty", "random", "type", "data-first", "bye-first", "text", "big", "deep"],
)
async def test_a_broken_first_message_ends_in_its_code(
    tmp_path: Path, message: str | bytes, codes: tuple[int, ...]
) -> None:
    """Before Hello anything else is refused; a good gateway next to it goes on."""
    async with running(tmp_path, drain=QUICK) as centre:
        good = Peer(centre, "good")
        await good.open()
        bad = await Peer(centre, "bad").connect()
        await bad.socket.send(message)
        assert (await bad.closed())[0] in codes
        assert (await good.rows([1])).intervals == ((1, 1),)
        assert centre.server.active == 1
        await good.socket.close()


async def test_broken_records_are_not_stored(tmp_path: Path) -> None:
    """A damaged record, an epoch not in Hello, a seq of 0: closed, nothing of the message kept."""
    async with running(tmp_path, drain=QUICK) as centre:
        for number in range(3):
            peer = Peer(centre, f"site-{number}")
            await peer.open()
            whole = rows_record(peer.epoch, 1, [meter(5)])
            if number == 0:
                await peer.send(Data(peer.epoch, Lane.LIVE, 0, whole.data[:-1] + b"\xff"))
            elif number == 1:
                await peer.send(Data(peer.epoch ^ 2, Lane.LIVE, 0, whole.data))
            else:
                zero = record.pack(record.epoch_seed(peer.epoch), 0, 1, 1, bytes(whole.payload))
                await peer.send(Data(peer.epoch, Lane.LIVE, 0, zero.data))
            assert (await peer.closed())[0] in (1002, 1007)
        assert centre.metrics.records == 0 and centre.metrics.protocol_errors == 3


async def test_no_room_is_answered_503_with_retry_after(tmp_path: Path) -> None:
    """Past `max_connections` a gateway is sent away, and comes in when there is room."""
    link = LinkSettings(max_connections=2)
    async with running(tmp_path, drain=QUICK, link=link) as centre:
        first, second = Peer(centre, "a"), Peer(centre, "b")
        await first.open()
        await second.open()
        third = Peer(centre, "c")
        with pytest.raises(InvalidStatus) as caught:
            await third.connect()
        assert caught.value.response.status_code == 503
        assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 30
        assert centre.metrics.handshake_failures["capacity"] == 1
        await first.socket.close()
        await until(lambda: centre.door.links < 2)
        await third.connect()
        await third.socket.close()
        await second.socket.close()


async def test_too_many_handshakes_from_one_address(tmp_path: Path) -> None:
    """Sockets that connect and say nothing do not keep others out for ever."""
    link = LinkSettings(max_handshakes_per_address=3, handshake_timeout_s=1.0)
    async with running(tmp_path, drain=QUICK, link=link) as centre:
        quiet = [await asyncio.open_connection("127.0.0.1", centre.port) for _ in range(3)]
        peer = Peer(centre)
        with pytest.raises(InvalidStatus):
            await peer.connect()
        await until(lambda: centre.metrics.handshake_failures["timeout"] == 3)
        await peer.connect()
        await peer.socket.close()
        for _, writer in quiet:
            writer.close()
        assert centre.door.handshakes == 0 and not centre.door._per_address


async def test_forwarded_addresses_are_believed_from_trusted_proxies_only(tmp_path: Path) -> None:
    """The session's record names the gateway's address and the proxy's."""
    for trusted, expected in (
        (("127.0.0.1",), ("203.0.113.7", "127.0.0.1")),
        ((), ("127.0.0.1", "")),
    ):
        folder = tmp_path / str(len(trusted))
        folder.mkdir()
        link = LinkSettings(trusted_proxies=trusted)
        async with running(folder, drain=QUICK, link=link) as centre:
            peer = Peer(centre)
            await peer.connect()
            await peer.socket.close()
            headers = {
                "Authorization": f"Bearer {peer.token}",
                "X-Forwarded-For": "10.0.0.1, 203.0.113.7",
            }
            await peer.connect(additional_headers=headers)
            await peer.hello()
            with sqlite3.connect(centre.writer.path) as connection:
                row = connection.execute("SELECT remote, proxy FROM session").fetchone()
            connection.close()
            assert row == expected
            await peer.socket.close()


async def test_a_full_queue_stops_reading_and_goes_on(tmp_path: Path) -> None:
    """More in flight than the queue takes: the sender waits, nothing is lost."""
    async with running(
        tmp_path, drain=QUICK, store=StoreSettings(path="store.sqlite", queue_bytes=2000)
    ) as centre:
        peer = Peer(centre)
        await peer.open()
        for seq in range(1, 401):
            body = rows_record(peer.epoch, seq, [meter(seq)]).data
            await peer.send(Data(peer.epoch, Lane.BACKLOG, 0, body))
        acked: set[int] = set()
        while len(acked) < 400:
            ack = await peer.receive()
            acked |= {s for a, b in ack.intervals for s in range(a, b + 1)}  # type: ignore[attr-defined]
        assert acked == set(range(1, 401)) and not centre.server._held
        await peer.socket.close()


async def test_a_peer_that_never_reads_is_not_buffered_for_ever(tmp_path: Path) -> None:
    """Acks pile up to the write limit, then nothing is read from that peer any more."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.connect(max_queue=1)
        await peer.hello()
        await peer.announce(peer.epoch)
        body = rows_record(peer.epoch, 1, [meter(1)]).data
        frame = codec.encode(Data(peer.epoch, Lane.LIVE, 0, body))

        async def flood() -> None:
            while True:
                await peer.socket.send(frame)

        peer.socket.transport.pause_reading()
        task = asyncio.ensure_future(flood())
        session = next(iter(centre.server.sessions.values()))
        await until(lambda: session.link.held)
        transport = session.link.transport
        assert transport is not None and transport.get_write_buffer_size() < 4 * 1024 * 1024
        task.cancel()
        peer.socket.transport.abort()


async def test_permessage_deflate_when_it_is_asked_for_and_allowed(tmp_path: Path) -> None:
    """websockets' client with its default compression: negotiated, records stored."""
    link = LinkSettings(compression="deflate")
    async with running(tmp_path, drain=QUICK, link=link) as centre:
        peer = Peer(centre)
        await peer.connect(compression="deflate")
        assert peer.socket.response is not None
        assert "permessage-deflate" in peer.socket.response.headers["Sec-WebSocket-Extensions"]
        assert isinstance(await peer.hello(), Welcome)
        await peer.announce(peer.epoch)
        assert (await peer.rows(range(1, 50))).intervals == ((1, 49),)
        await peer.socket.close()
    async with running(tmp_path, drain=QUICK) as centre:
        plain = await Peer(centre, token=peer.token).connect(compression="deflate")
        assert plain.socket.response is not None
        assert "Sec-WebSocket-Extensions" not in plain.socket.response.headers
        await plain.socket.close()


async def test_without_the_subprotocol_nobody_comes_in(tmp_path: Path) -> None:
    """`gateway.v1` must be offered."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = await Peer(centre).connect()
        await peer.socket.close()
        url = f"ws://127.0.0.1:{centre.port}/gateway/site-1"
        headers = {"Authorization": f"Bearer {peer.token}"}
        with pytest.raises(InvalidStatus) as caught:
            await connect(url, additional_headers=headers, proxy=None)
        assert caught.value.response.status_code == 400


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bits", [44, 50, 60])
async def test_a_time_that_is_none_stays_with_its_gateway(
    tmp_path: Path, sign: int, bits: int
) -> None:
    """What no store could add to a clock is kept as it came: the others' values are written, and
    the gateway itself can come again."""
    ticks = sign * 2**bits
    async with running(tmp_path, drain=QUICK) as centre:
        good, bad = Peer(centre, "good"), Peer(centre, "bad")
        await good.open()
        await bad.open()
        event = Event.make(EventKind.SUPPLY_LOW, ticks * TICK_NS)
        seed = record.epoch_seed(bad.epoch)
        await bad.data(
            [
                rows_record(bad.epoch, 1, [meter(ticks * TICK_NS / 1e9)]),
                record.pack(seed, 2, RecordKind.EVENT, 0, rows.pack_event(event)),
            ]
        )
        await good.rows([1])
        again = Peer(centre, "bad", token=bad.token, boot=b"c" * 16)
        await again.open(EpochState(bad.epoch, bad.boot, 3, ()))
        await good.rows([2])
        await good.socket.close()
    db = sqlite3.connect(tmp_path / "store.sqlite")
    assert db.execute("SELECT count(*) FROM other").fetchone() == (2,)
    assert db.execute("SELECT count(*) FROM latest WHERE reading_ns > 0").fetchone() == (1,)
    db.close()
