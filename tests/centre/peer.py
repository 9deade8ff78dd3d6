"""A hand-driven agent: websockets' own client and `wire.codec`, one message at a time."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from gateway.centre.daemon import Centre
from gateway.centre.tokens import add_token
from gateway.config.centre import (
    AdminSettings,
    CentreSettings,
    LinkSettings,
    StoreSettings,
    WebSettings,
)
from gateway.process.clock import Clock
from gateway.reading import TICK_NS, Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire import codec, record, rows
from gateway.wire.message import (
    SUBPROTOCOL,
    Ack,
    Backlog,
    ClockReading,
    ClockSource,
    Data,
    EpochState,
    Hello,
    Lane,
    SchemaAnnouncement,
    Welcome,
)
from gateway.wire.record import Record, RecordKind

SCHEMA = Schema(
    (
        SchemaBlock("meter", 1.0, (SchemaPoint("v", "V", "f32"), SchemaPoint("e", "kWh", "f64"))),
        SchemaBlock("relay", 1.0, (SchemaPoint("on", "", "bool"),)),
    )
)
BOOT = b"b" * 16


def rows_record(epoch: int, seq: int, readings: Sequence[Row], sid: int = 1) -> Record:
    """Return a ROWS record of `SCHEMA`."""
    payload = rows.pack_rows(sid, readings, SCHEMA)
    count = sum(len(row.values) for row in readings)
    return record.pack(record.epoch_seed(epoch), seq, RecordKind.ROWS, count, payload)


def meter(second: float, value: float = 230.5) -> Row:
    """Return one row of the meter."""
    return Row(0, int(second * 1e9) // TICK_NS * TICK_NS, (value, 12.25))


class Peer:
    """An agent of one gateway. `epoch` is fresh unless given."""

    def __init__(
        self,
        centre: Centre,
        gateway_id: str = "site-1",
        token: str | None = None,
        instance: bytes = b"hw-1",
        epoch: int | None = None,
        boot: bytes = BOOT,
    ) -> None:
        self.centre = centre
        self.gateway_id = gateway_id
        self.token = token
        self.instance = instance
        self.boot = boot
        self.epoch = epoch or int.from_bytes(os.urandom(8), "big") | 1
        self.complete = True
        self.made: dict[int, Record] = {}
        self.socket: ClientConnection

    async def connect(self, **options: object) -> "Peer":
        """Upgrade. Raises: what websockets raises."""
        token = self.token
        if token is None:
            token = add_token(self.centre.tokens.path, self.gateway_id, 0)
            self.centre.look_at_tokens()
        self.token = token
        arguments: dict[str, object] = {
            "compression": None,
            "ping_interval": None,
            "proxy": None,
            "max_size": None,
            "additional_headers": {"Authorization": f"Bearer {token}"},
            **options,
        }
        self.socket = await connect(
            f"ws://127.0.0.1:{self.centre.port}/gateway/{self.gateway_id}",
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            **arguments,  # type: ignore[arg-type]
        )
        return self

    async def send(self, message: object) -> None:
        await self.socket.send(codec.encode(message))  # type: ignore[arg-type]

    async def receive(self) -> object:
        """Return the next message, decoded."""
        async with asyncio.timeout(10):
            data = await self.socket.recv()
        assert isinstance(data, bytes)
        return codec.decode(data, 1 << 20)

    async def hello(self, *old: EpochState, next_seq: int = 1) -> object:
        """Say Hello and return the answer."""
        clock = Clock()
        now = EpochState(self.epoch, self.boot, next_seq, ())
        await self.send(
            Hello(
                gateway_id=self.gateway_id,
                instance=self.instance,
                boot_id=self.boot,
                software="test",
                epochs=(*old, now),
                clock=ClockReading(clock.boottime_ns(), clock.wall_ns(), ClockSource.NTP, 100),
                encodings=(),
                max_message=1 << 20,
                last_session=0,
                backlog=Backlog(0, 0, 0),
                ended=(("cause", "reset"),),
                facts=(("site", "north"),),
                complete=self.complete,
            )
        )
        return await self.receive()

    async def open(self, *old: EpochState) -> Welcome:
        """Connect, say Hello, announce `SCHEMA` as sid 1."""
        await self.connect()
        answer = await self.hello(*old)
        assert isinstance(answer, Welcome), answer
        await self.announce(self.epoch)
        return answer

    async def announce(self, epoch: int, sid: int = 1) -> None:
        body = rows.encode_schema(SCHEMA)
        await self.send(SchemaAnnouncement(epoch, sid, rows.schema_digest(body), body))

    async def data(
        self, records: Sequence[Record], epoch: int | None = None, lane: Lane = Lane.LIVE
    ) -> Ack:
        """Send records and return the Ack."""
        body = b"".join(r.data for r in records)
        await self.send(Data(epoch or self.epoch, lane, 0, body))
        answer = await self.receive()
        assert isinstance(answer, Ack), answer
        return answer

    async def rows(self, seqs: Sequence[int], lane: Lane = Lane.LIVE) -> Ack:
        """Send one meter row per seq; the same one when a seq is sent again."""
        now = Clock().now()
        for seq in seqs:
            if seq not in self.made:
                self.made[seq] = rows_record(self.epoch, seq, [meter(now)])
        return await self.data([self.made[seq] for seq in seqs], lane=lane)

    async def closed(self) -> tuple[int, str]:
        """Wait for the end; return code and reason."""
        async with asyncio.timeout(10):
            await self.socket.wait_closed()
        code = self.socket.close_code
        assert code is not None
        return code, self.socket.close_reason or ""


@asynccontextmanager
async def running(tmp_path: Path, **changes: object) -> AsyncIterator[Centre]:
    """Run a centre on loopback with its files in `tmp_path`."""
    link = changes.pop("link", LinkSettings())
    settings = CentreSettings(
        listen="127.0.0.1:0",
        node="test",
        tokens_file="tokens",
        link=link,  # type: ignore[arg-type]
        store=changes.pop("store", StoreSettings(path="store.sqlite")),  # type: ignore[arg-type]
        admin=AdminSettings("127.0.0.1:0", gateway_metrics=True),
        web=changes.pop("web", WebSettings(listen="")),  # type: ignore[arg-type]
        **changes,  # type: ignore[arg-type]
    )
    centre = Centre(settings, tmp_path, Clock())
    await centre.open()
    try:
        yield centre
    finally:
        await centre.close()
