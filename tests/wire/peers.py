"""An honest pair to start from, for tests that then misbehave."""

from gateway.reading import Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire import record, rows
from gateway.wire.message import (
    Backlog,
    ClockReading,
    ClockSource,
    EpochHave,
    EpochState,
    Hello,
    Interval,
)
from gateway.wire.receiver import Receiver, ReceiverEvent, ReceiverLimits
from gateway.wire.record import Record, RecordKind
from gateway.wire.schemas import SchemaTable
from gateway.wire.sender import Sender, SenderEvent

EPOCH = 7
SCHEMA = Schema((SchemaBlock("meter", 1.0, (SchemaPoint("count", "", "i64"),)),))
BODY = rows.encode_schema(SCHEMA)
CLOCK = ClockReading(5, 6, ClockSource.NTP, 100)


def hello(*epochs: EpochState, encodings: tuple[int, ...] = (2, 1), complete: bool = True) -> Hello:
    """Return a `Hello` of site-042; without epochs it has one fresh epoch, number 7."""
    return Hello(
        gateway_id="site-042",
        instance=b"box",
        boot_id=bytes(16),
        software="test",
        epochs=epochs or (EpochState(EPOCH, bytes(16), 1, ()),),
        clock=CLOCK,
        encodings=encodings,
        max_message=256 * 1024,
        last_session=0,
        backlog=Backlog(0, 0, 0),
        complete=complete,
    )


def rows_record(seq: int, epoch: int = EPOCH, sid: int = 1) -> Record:
    """Return a ROWS record with one row."""
    payload = rows.pack_rows(sid, [Row(0, seq * 100_000, (seq,))], SCHEMA)
    return record.pack(record.epoch_seed(epoch), seq, RecordKind.ROWS, 1, payload)


def end_record(seq: int, epoch: int = EPOCH) -> Record:
    """Return an END record: the smallest there is, and without a schema."""
    return record.pack(record.epoch_seed(epoch), seq, RecordKind.END, 0, rows.pack_end())


class Pair:
    """A sender and a receiver with a perfect link between them."""

    def __init__(
        self,
        said: Hello | None = None,
        limits: ReceiverLimits | None = None,
        now: float = 0.0,
    ) -> None:
        self.now = now
        self.table = SchemaTable()
        self.sender = Sender(said or hello(), now)
        self.receiver = Receiver(limits or ReceiverLimits(), self.table, now)

    def pump(self) -> tuple[list[ReceiverEvent], list[SenderEvent]]:
        """Carry everything across once in each direction; return what each side heard."""
        for message in self.sender.messages_to_send():
            self.receiver.receive(message, self.now)
        heard = self.receiver.events_received()
        for message in self.receiver.messages_to_send():
            self.sender.receive(message, self.now)
        return heard, self.sender.events_received()

    def open(
        self,
        have: tuple[tuple[int, tuple[Interval, ...]], ...] = (),
        *,
        knows_schema: bool = False,
    ) -> "Pair":
        """Bring both sides to OPEN; return itself."""
        self.pump()
        schemas = [self.table.intern(BODY)] if knows_schema else []
        told = [EpochHave(epoch, intervals) for epoch, intervals in have]
        self.receiver.welcome(1, told, 0, schemas, (), self.now)
        return self
