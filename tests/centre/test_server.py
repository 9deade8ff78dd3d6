"""Sessions over real sockets, with websockets' client as the independent peer."""

import asyncio
import json
import sqlite3
from pathlib import Path

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus

from gateway.centre.daemon import Centre
from gateway.centre.tokens import add_token, revoke_tokens
from gateway.config.centre import DrainSettings
from gateway.event import Event, EventKind
from gateway.process.clock import Clock
from gateway.reading import TICK_NS, Cause, Row
from gateway.wire import record, rows
from gateway.wire.message import (
    Bye,
    ByeCode,
    ClockReading,
    ClockSource,
    EpochState,
    Gap,
    GapReason,
    Lane,
    Welcome,
)
from gateway.wire.record import RecordKind
from tests.centre.peer import BOOT, SCHEMA, Peer, meter, rows_record, running

QUICK = DrainSettings(timeout_s=2.0, retry_after_s=5.0)


async def get(centre: Centre, path: str) -> object:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{centre.admin_port}{path}") as answer,
    ):
        text = await answer.text()
        return json.loads(text) if "json" in answer.content_type else text


async def test_records_are_acked_after_they_are_in_the_store(tmp_path: Path) -> None:
    """An Ack names exactly the seqs of the Data, and the reading is there when it comes."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        welcome = await peer.open()
        assert welcome.have == () and welcome.heartbeat_s == 30.0
        ack = await peer.rows([1, 2, 3])
        assert ack.intervals == ((1, 3),)
        with sqlite3.connect(tmp_path / "store.sqlite") as db:
            assert db.execute("SELECT first, last FROM ledger").fetchall() == [(1, 3)]
            assert db.execute("SELECT sum(rows) FROM strip").fetchone() == (3,)
        db.close()
        answer = await get(centre, "/api/gateways/site-1/readings?point=meter.v")
        assert [r["value"] for r in answer["readings"]] == [230.5] * 3  # type: ignore[index]
        await peer.socket.close()


async def test_duplicates_are_acked_again_and_stored_once(tmp_path: Path) -> None:
    """A resent record is acked (a lost Ack must not pin it in the spool) and not stored again."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.open()
        await peer.rows([1, 2, 3])
        assert (await peer.rows([2, 3, 5])).intervals == ((2, 3), (5, 5))
        assert (await peer.rows([1, 2, 3, 4, 5])).intervals == ((1, 5),)
        assert centre.metrics.records == 5 and centre.metrics.duplicates == 6
        await peer.socket.close()
        again = Peer(centre, token=peer.token, epoch=peer.epoch)
        welcome = await again.open()
        assert [(h.epoch, h.intervals) for h in welcome.have] == [(peer.epoch, ((1, 5),))]
        assert len(welcome.schemas) == 1
        await again.socket.close()


async def test_values_come_back_as_they_were_sent(tmp_path: Path) -> None:
    """float32 and float64, bool, bad values and their causes survive regrouping exactly."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.open()
        t = int(Clock().now() * 1e9) // TICK_NS * TICK_NS
        third = 0.3333333432674408  # float32
        data = [
            Row(0, t, (third, 1 / 3)),
            Row(1, t + TICK_NS, (True,)),
            Row(0, t + 2 * TICK_NS, (None, 2.5), (Cause.NO_REPLY, Cause.NONE)),
        ]
        await peer.data([rows_record(peer.epoch, 1, data)])
        base = "/api/gateways/site-1/readings?point="
        e = (await get(centre, base + "meter.e"))["readings"]  # type: ignore[index]
        v = (await get(centre, base + "meter.v"))["readings"]  # type: ignore[index]
        on = (await get(centre, base + "relay.on"))["readings"]  # type: ignore[index]
        assert [r["value"] for r in e] == [1 / 3, 2.5]
        assert [(r["value"], r["cause"]) for r in v] == [(third, "none"), (None, "no_reply")]
        assert [(r["value"], r["source_time_ns"]) for r in on] == [(True, t + TICK_NS)]
        await peer.socket.close()


@pytest.mark.parametrize(
    ("path", "token", "status", "phase"),
    [
        ("gateway/site-1", None, 401, "credential"),
        ("gateway/site-1", "nonsense", 401, "credential"),
        ("gateway/site-2", "right", 403, "identity"),
        ("other/site-1", "right", 404, "path"),
        ("gateway/site-1/x", "right", 404, "path"),
    ],
)
async def test_the_door_answers_with_a_status(
    tmp_path: Path, path: str, token: str | None, status: int, phase: str
) -> None:
    """A wrong path or credential ends in the documented status and is counted by its phase."""
    async with running(tmp_path, drain=QUICK) as centre:
        right = add_token(tmp_path / "tokens", "site-1", 0)
        centre.look_at_tokens()
        headers = {"Authorization": f"Bearer {right if token == 'right' else token}"}
        with pytest.raises(InvalidStatus) as caught:
            await Peer(centre, path.removeprefix("gateway/"), token="x").connect(
                additional_headers=headers if token else {}
            ) if path.startswith("gateway/") else await _connect_to(centre, path, headers)
        assert caught.value.response.status_code == status
        assert centre.metrics.handshake_failures[phase] == 1
        assert centre.door.handshakes == 0


async def _connect_to(centre: Centre, path: str, headers: dict[str, str]) -> None:
    from websockets.asyncio.client import connect

    url = f"ws://127.0.0.1:{centre.port}/{path}"
    await connect(url, subprotocols=["gateway.v1"], additional_headers=headers, proxy=None)  # type: ignore[list-item]


async def test_a_plain_request_is_told_to_upgrade(tmp_path: Path) -> None:
    """GET without Upgrade is answered 426 by websockets' own rules."""
    async with running(tmp_path, drain=QUICK) as centre, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{centre.port}/gateway/site-1"
        async with session.get(url) as answer:
            assert answer.status == 426 and answer.headers["Upgrade"] == "websocket"
        assert centre.metrics.handshake_failures["upgrade"] == 1


async def test_the_same_box_replaces_its_session_and_another_is_refused(tmp_path: Path) -> None:
    """One session a gateway: a reconnect takes over, a clone is sent away with an event."""
    async with running(tmp_path, drain=QUICK) as centre:
        first = Peer(centre)
        await first.open()
        clone = Peer(centre, token=first.token, instance=b"hw-2")
        await clone.connect()
        answer = await clone.hello()
        assert isinstance(answer, Bye) and answer.code == ByeCode.IDENTITY
        assert (await clone.closed())[0] == 1008
        second = Peer(centre, token=first.token)
        await second.open()
        bye = await first.receive()
        assert isinstance(bye, Bye) and bye.code == ByeCode.REPLACED
        await first.closed()
        assert (await second.rows([1])).intervals == ((1, 1),)
        assert centre.server.active == 1
        kinds = [e["kind"] for e in await get(centre, "/api/gateways/site-1/events")]  # type: ignore[attr-defined, index]
        assert "identity_refused" in kinds
        await second.socket.close()


async def test_a_revoked_token_ends_the_session(tmp_path: Path) -> None:
    """`token revoke` closes what is connected with it."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.open()
        assert revoke_tokens(tmp_path / "tokens", "site-1") == 1
        centre.look_at_tokens()
        bye = await peer.receive()
        assert isinstance(bye, Bye) and bye.code == ByeCode.NOT_AUTHORISED
        assert (await peer.closed())[0] == 1008


async def test_an_epoch_without_end_leaves_a_gap(tmp_path: Path) -> None:
    """What a killed agent lost is a CUT_OFF gap from its last row to the next epoch's first."""
    async with running(tmp_path, drain=QUICK) as centre:
        dead = Peer(centre)
        await dead.open()
        await dead.rows([1, 2])
        await dead.socket.close()
        born = Peer(centre, token=dead.token)
        await born.open(EpochState(dead.epoch, BOOT, 6, ((3, 4),)))
        await born.announce(dead.epoch)
        await born.rows([1])
        assert await get(centre, "/api/gateways/site-1/gaps") == []
        now = Clock().now()
        late = [rows_record(dead.epoch, s, [meter(now)]) for s in (3, 4)]
        await born.data(late, epoch=dead.epoch, lane=Lane.BACKLOG)
        gaps = await get(centre, "/api/gateways/site-1/gaps")
        assert isinstance(gaps, list)
        assert [(g["reason"], g["first"], g["last"]) for g in gaps] == [
            ("cut_off", 6, None),
            ("not_received", 5, 5),
        ]
        assert all(gap["from_ns"] and gap["to_ns"] for gap in gaps)
        assert centre.metrics.gaps["cut_off"] == 1
        assert centre.metrics.gap_records["not_received"] == 1
        # A restored card brings what was missing: the verdict is replaced.
        await born.data([rows_record(dead.epoch, 5, [meter(now)])], epoch=dead.epoch)
        gaps = await get(centre, "/api/gateways/site-1/gaps")
        assert isinstance(gaps, list)
        assert [(g["reason"], g["first"]) for g in gaps] == [("cut_off", 6)]
        await born.socket.close()


async def test_an_epoch_with_end_leaves_none(tmp_path: Path) -> None:
    """END as the last record proves that nothing was lost."""
    async with running(tmp_path, drain=QUICK) as centre:
        old = Peer(centre)
        await old.open()
        seed = record.epoch_seed(old.epoch)
        end = record.pack(seed, 2, RecordKind.END, 0, rows.pack_end())
        await old.data([rows_record(old.epoch, 1, [meter(5)]), end])
        await old.send(Bye(ByeCode.STOPPING, "", 0.0))
        assert isinstance(await old.receive(), Bye)
        assert (await old.closed())[0] == 1000
        born = Peer(centre, token=old.token)
        await born.open()
        await born.rows([1])
        assert await get(centre, "/api/gateways/site-1/gaps") == []
        sessions = await get(centre, "/api/gateways/site-1/sessions")
        assert isinstance(sessions, list)
        assert sessions[1]["cause"] == "going_away" and sessions[1]["closed_by"] == "agent"
        assert sessions[1]["evidence"]["tcp_info"]["rtt_s"] > 0
        assert sessions[1]["hello"]["facts"] == {"site": "north"}
        await born.socket.close()


async def test_events_gaps_anchors_and_unknown_kinds_are_stored(tmp_path: Path) -> None:
    """Every kind of record is stored; one nobody knows is kept as it came."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.open()
        seed = record.epoch_seed(peer.epoch)
        event = rows.pack_event(Event.make(EventKind.PORT_LOST, 7 * TICK_NS, bus="b1"))
        gap = rows.pack_gap(Gap(peer.epoch, 4, 9, GapReason.QUOTA, 1_000_000, 2_000_000, 60))
        anchor = rows.pack_anchor(
            ClockReading(1_000, 1_700_000_000_000_000_000, ClockSource.PTP, 1)
        )
        packed = [
            record.pack(seed, 1, RecordKind.EVENT, 0, event),
            record.pack(seed, 2, RecordKind.GAP, 0, gap),
            record.pack(seed, 3, RecordKind.ANCHOR, 0, anchor),
            record.pack(seed, 10, 99, 0, b"whatever"),
            record.pack(seed, 11, RecordKind.EVENT, 0, b"\xc1 not msgpack"),
        ]
        await peer.data(packed)
        events = await get(centre, "/api/gateways/site-1/events")
        assert isinstance(events, list) and events[0]["kind"] == "port_lost"
        assert events[0]["fields"] == {"bus": "b1"} and events[0]["time_source"] == "ptp"
        assert events[0]["time_ns"] == 1_700_000_000_000_000_000 - 1_000 + 7 * TICK_NS
        gaps = await get(centre, "/api/gateways/site-1/gaps")
        assert isinstance(gaps, list) and gaps[0]["found_by"] == "agent"
        assert gaps[0]["readings"] == 60
        with sqlite3.connect(tmp_path / "store.sqlite") as db:
            assert db.execute("SELECT kind, payload FROM other").fetchall() == [
                (99, b"whatever"),
                (2, b"\xc1 not msgpack"),
            ]
            assert db.execute("SELECT first, last FROM ledger").fetchall() == [(1, 3), (10, 11)]
        db.close()
        await peer.socket.close()


async def test_a_record_that_its_gap_gave_up_is_taken_when_it_comes(tmp_path: Path) -> None:
    """An agent's GAP accounts for seqs; it does not make them duplicates."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.open()
        gap = rows.pack_gap(Gap(peer.epoch, 2, 4, GapReason.DAMAGED, 0, 0, -1))
        seed = record.epoch_seed(peer.epoch)
        await peer.data([record.pack(seed, 1, RecordKind.GAP, 0, gap)])
        await peer.rows([3])
        assert centre.metrics.records == 2 and centre.metrics.duplicates == 0
        await peer.socket.close()
        born = Peer(centre, token=peer.token)
        answer = await born.open(EpochState(peer.epoch, BOOT, 5, ()))
        assert answer.have[0].intervals == ((1, 1), (3, 3))
        gaps = await get(centre, "/api/gateways/site-1/gaps")
        assert isinstance(gaps, list)
        assert [(g["reason"], g["first"]) for g in gaps] == [("cut_off", 5), ("damaged", 2)]
        await born.socket.close()


async def test_an_incomplete_hello_condemns_nothing_it_does_not_list(tmp_path: Path) -> None:
    """An agent with more epochs than Hello has room for is not robbed of the rest."""
    async with running(tmp_path, drain=QUICK) as centre:
        old = Peer(centre)
        await old.open()
        await old.rows([1])
        await old.socket.close()
        born = Peer(centre, token=old.token)
        born.complete = False
        await born.open()
        assert await get(centre, "/api/gateways/site-1/gaps") == []
        await born.socket.close()
        again = Peer(centre, token=old.token, epoch=born.epoch)
        await again.open()
        gaps = await get(centre, "/api/gateways/site-1/gaps")
        assert isinstance(gaps, list) and [g["reason"] for g in gaps] == ["cut_off"]
        await again.socket.close()


async def test_draining_says_bye_with_a_spread_and_closes_1001(tmp_path: Path) -> None:
    """SIGTERM's way: Bye DRAINING with retry_after, acks finished, Close 1001, no new ones."""
    async with running(tmp_path, drain=QUICK) as centre:
        peers = [Peer(centre, f"site-{n}") for n in range(5)]
        for peer in peers:
            await peer.open()
        drain = asyncio.ensure_future(centre.server.drain(60.0, 2.0))
        waits = []
        for peer in peers:
            bye = await peer.receive()
            assert isinstance(bye, Bye) and bye.code == ByeCode.DRAINING
            waits.append(bye.retry_after_s)
            assert (await peer.closed())[0] == 1001
        await drain
        assert len(set(waits)) == 5 and all(0 <= wait <= 60 for wait in waits)
        assert centre.server.active == 0


async def test_hello_of_another_gateway_is_sent_away(tmp_path: Path) -> None:
    """The id in Hello must be the credential's."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.connect()
        peer.gateway_id = "site-9"
        answer = await peer.hello()
        assert isinstance(answer, Bye) and answer.code == ByeCode.NOT_AUTHORISED
        assert (await peer.closed())[0] == 1008
        assert not isinstance(answer, Welcome)


async def test_metrics_and_health(tmp_path: Path) -> None:
    """The seed names are there, and readiness follows the store."""
    async with running(tmp_path, drain=QUICK) as centre:
        peer = Peer(centre)
        await peer.open()
        await peer.rows([1])
        text = await get(centre, "/metrics")
        assert isinstance(text, str)
        for line in (
            "ws_active_connections 1.0",
            "ws_connection_total 1.0",
            'centre_ack_latency_seconds_count{lane="live"} 1.0',
            "centre_sensor_to_store_seconds_count 1.0",
            "centre_readings_stored_total 2.0",
        ):
            assert line in text, line
        assert "process_resident_memory_bytes" in text
        assert 'gateway="site-1"' in str(await get(centre, "/metrics/gateways"))
        assert await get(centre, "/-/healthy") == "healthy\n"
        assert await get(centre, "/-/ready") == "ready\n"
        centre.writer.trouble = "database or disk is full"
        assert "full" in str(await get(centre, "/-/ready"))
        centre.writer.trouble = ""
        await peer.socket.close()
    assert SCHEMA.blocks[0].source == "meter"
