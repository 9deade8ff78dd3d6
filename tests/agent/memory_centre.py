"""A centre that keeps what it gets in memory: `wire.Receiver` behind websockets' own server.

Owns nothing of `gateway.centre`: the agent is tested against the library's server and our protocol.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gateway.process.clock import Clock
from gateway.wire.message import SUBPROTOCOL, ByeCode, EpochHave, Hello, NackCode
from gateway.wire.receiver import (
    ByeReceived,
    HeartbeatReceived,
    HelloReceived,
    Receiver,
    ReceiverLimits,
    ReceiverState,
    RecordsReceived,
    SchemaReceived,
)
from gateway.wire.record import Record, RecordKind
from gateway.wire.rows import unpack_event
from gateway.wire.schemas import KnownSchema, SchemaTable

LIMITS = ReceiverLimits(heartbeat_s=0.2)


@dataclass(slots=True)
class MemoryCentre:
    """`records` are what was committed, by (epoch, seq); `copies` how often each came.

    `mute`: take records and never ack. `first_bytes`: sent instead of a Welcome. `refuse_once`:
    a Nack code for the first records that come.
    """

    records: dict[tuple[int, int], Record] = field(default_factory=dict)
    copies: Counter[tuple[int, int]] = field(default_factory=Counter)
    hellos: list[Hello] = field(default_factory=list)
    schemas: dict[tuple[int, int], KnownSchema] = field(default_factory=dict)
    heartbeats: int = 0
    byes: list[int] = field(default_factory=list)
    connections: set[ServerConnection] = field(default_factory=set)
    receivers: list[Receiver] = field(default_factory=list)
    mute: bool = False
    first_bytes: bytes | str | None = None
    refuse_once: NackCode | None = None
    server: Server | None = None
    clock: Clock = field(default_factory=Clock)
    table: SchemaTable = field(default_factory=SchemaTable)

    @property
    def port(self) -> int:
        """The TCP port of 127.0.0.1."""
        assert self.server is not None
        port: int = next(iter(self.server.sockets)).getsockname()[1]
        return port

    def events(self, kind: str) -> list[dict[str, object]]:
        """Return the fields of every stored event of a kind, in order of source time."""
        unpacked = [
            unpack_event(record.payload)
            for record in self.records.values()
            if record.kind == RecordKind.EVENT
        ]
        return [dict(fields) for _, name, fields in sorted(unpacked) if name == kind]

    async def bye(self, code: ByeCode, text: str, retry_after_s: float) -> None:
        """Say goodbye on every connection."""
        for connection, receiver in zip(tuple(self.connections), self.receivers[-1:], strict=False):
            receiver.bye(code, text, retry_after_s, self.clock.now())
            await self._flush(connection, receiver)

    async def serve(self, connection: ServerConnection) -> None:
        """One connection."""
        self.connections.add(connection)
        receiver = Receiver(LIMITS, self.table, self.clock.now())
        self.receivers.append(receiver)
        try:
            if self.first_bytes is not None:
                await connection.send(self.first_bytes)
            async for message in connection:
                assert isinstance(message, bytes)
                receiver.receive(message, self.clock.now())
                self._take(receiver)
                await self._flush(connection, receiver)
                if receiver.state is ReceiverState.CLOSED:
                    await connection.close()
        except ConnectionClosed:
            pass
        finally:
            self.connections.discard(connection)

    async def _flush(self, connection: ServerConnection, receiver: Receiver) -> None:
        for data in receiver.messages_to_send():
            await connection.send(data)

    def _take(self, receiver: Receiver) -> None:
        now = self.clock.now()
        for event in receiver.events_received():
            if isinstance(event, HelloReceived):
                self.hellos.append(event.hello)
                receiver.welcome(
                    session=len(self.hellos),
                    have=self._have(event.hello),
                    wall_ns=self.clock.wall_ns(),
                    schemas=(),
                    previous=(),
                    now=now,
                )
            elif isinstance(event, RecordsReceived):
                self._store(receiver, event, now)
            elif isinstance(event, SchemaReceived):
                self.schemas[event.epoch, event.sid] = event.schema
            elif isinstance(event, HeartbeatReceived):
                self.heartbeats += 1
            elif isinstance(event, ByeReceived):
                self.byes.append(event.bye.code)
                receiver.bye(ByeCode.STOPPING, "", 0.0, now)

    def _have(self, hello: Hello) -> tuple[EpochHave, ...]:
        have = []
        for state in hello.epochs:
            seqs = sorted(seq for epoch, seq in self.records if epoch == state.epoch)
            have.append(EpochHave(state.epoch, tuple(runs(seqs))))
        return tuple(have)

    def _store(self, receiver: Receiver, event: RecordsReceived, now: float) -> None:
        intervals = runs([record.seq for record in event.records])
        if self.refuse_once is not None:
            receiver.refuse(event.epoch, intervals, self.refuse_once, "as the test wants", now)
            self.refuse_once = None
            return
        for record in event.records:
            self.records[event.epoch, record.seq] = record
            self.copies[event.epoch, record.seq] += 1
        if not self.mute:
            receiver.committed(event.epoch, intervals, now)


def runs(seqs: list[int]) -> list[tuple[int, int]]:
    """Return ascending seqs as intervals."""
    found: list[tuple[int, int]] = []
    for seq in seqs:
        if found and found[-1][1] == seq - 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return found


@asynccontextmanager
async def memory_centre(centre: MemoryCentre, port: int = 0) -> AsyncIterator[MemoryCentre]:
    """Serve for the length of a block; leaving it drops every connection without a word."""
    async with serve(
        centre.serve,
        "127.0.0.1",
        port,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        ping_interval=None,
        close_timeout=0.2,
    ) as server:
        centre.server = server
        try:
            yield centre
        finally:
            for connection in tuple(centre.connections):
                connection.transport.abort()
            await asyncio.sleep(0)
