"""What a config will send and store in a day, computed by packing sample rows with the real packer.

Owns the reckoning and its assumptions: online, every reading good, nothing compressed, whole
numbers that fill half their registers' bytes or more, a serial source that talks by itself a line
a second, a host with one wired interface. Events come on top: a few kB a day. Never measures
anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.config.agent import AgentSettings
from gateway.host.link import LinkKind
from gateway.host.sample import TRACE_SOURCE
from gateway.host.sample import blocks as host_blocks
from gateway.modbus.point import PointSpec
from gateway.process.fit import pollings
from gateway.reading import TICK_NS, Row, Schema, SchemaBlock, Value
from gateway.wire.codec import encode
from gateway.wire.message import (
    Ack,
    Backlog,
    ClockReading,
    ClockSource,
    Data,
    Heartbeat,
    Lane,
)
from gateway.wire.packing import RowsPacker
from gateway.wire.record import HEADER_SIZE

DAY_S = 86400.0
TALKING_S = 1.0
TCP_IP = 52
"""Bytes of an IPv4 and a TCP header with timestamps (RFC 791, RFC 9293, RFC 7323)."""
TLS_RECORD = 22
"""Bytes TLS 1.3 adds to a record: header, content type, tag (RFC 8446 §5.2)."""
MASK = 4
"""Bytes of the mask a client's WebSocket frame carries (RFC 6455 §5.3)."""
_UPTIME = 10 * 86400 * 10**9 // TICK_NS
_EPOCH = 1 << 63
_WINDOW = 1 << 20


@dataclass(frozen=True, slots=True)
class Forecast:
    """Bytes a day. `stored`: records as the spool keeps them. `messages`: of gateway.v1, upwards,
    as `gateway_uplink_bytes_total` counts them. `network`: both ways, with WebSocket, TLS, TCP and
    the centre's acks. `readings`: a second."""

    readings: float
    stored: float
    messages: float
    network: float

    def spool_days(self, quota: int) -> float | None:
        """Return how long a spool of `quota` bytes lasts; ``None``: nothing is read."""
        return quota / self.stored if self.stored else None


def forecast(settings: AgentSettings) -> Forecast:
    """Reckon a day of these settings."""
    rows = fixed = rows_bytes = readings = 0.0
    for block, period_s, sample in _blocks(settings):
        per_day = DAY_S / period_s
        first, more = _sizes(block, sample)
        rows += per_day
        rows_bytes += per_day * more
        fixed = max(fixed, first - more)
        readings += per_day * len(sample)
    batch_s = settings.uplink.batch_s
    records = min(rows, DAY_S / batch_s) if batch_s else rows
    stored = rows_bytes + records * (fixed + HEADER_SIZE)
    beats = DAY_S / settings.uplink.heartbeat_s
    body = round(stored / records) if records else 0
    around = len(encode(Data(_EPOCH, Lane.LIVE, 0, bytes(body)))) - body
    beat = len(encode(_heartbeat()))
    ack = len(encode(Ack(_EPOCH, ((1 << 20, 1 << 20),), _WINDOW)))
    messages = stored + records * around + beats * beat
    network = messages + records * (_framing(body + around, MASK) + ack + _framing(ack, 0))
    network += beats * (_framing(beat, MASK) + TCP_IP + 2 * _framing(MASK, MASK))
    return Forecast(readings / DAY_S, stored, messages, network)


def _blocks(settings: AgentSettings) -> Iterator[tuple[SchemaBlock, float, tuple[Value, ...]]]:
    """Yield every schema block with its period and a sample of its values."""
    for device in pollings(settings):
        for block in device.blocks:
            specs = [device.specs[point] for point in block.points]
            kinds = [point.type for point in block.schema.points]
            sample = tuple(_sample(spec, kind) for spec, kind in zip(specs, kinds, strict=True))
            yield block.schema, block.schema.period_s, sample
    for source in settings.serials:
        period_s = TALKING_S if source.asking is None else source.asking.interval_s
        points = tuple(spec.schema for spec in source.points)
        yield _plain(SchemaBlock(source.name, period_s, points), period_s)
    period_s = settings.host.aggregate_s
    for own in host_blocks((("eth0", LinkKind.WIRE),), period_s):
        if own.source != TRACE_SOURCE:  # recorded around trouble only
            yield _plain(own, period_s)


def _plain(block: SchemaBlock, period_s: float) -> tuple[SchemaBlock, float, tuple[Value, ...]]:
    samples: dict[str, Value] = {"bool": True, "str": "x" * 8, "i64": 100_000}
    return block, period_s, tuple(samples.get(point.type, 230.1) for point in block.points)


def _framing(size: int, mask: int) -> int:
    """Return what WebSocket, TLS and TCP add to a message that fits one segment."""
    return (2 if size < 126 else 4) + mask + TLS_RECORD + TCP_IP


def _sizes(schema: SchemaBlock, values: tuple[Value, ...]) -> tuple[int, int]:
    """Return the bytes of a payload with one row, and what another row adds."""
    packer = RowsPacker(1, Schema((schema,)))
    one = Row(0, _UPTIME * TICK_NS, values)
    two = Row(0, (_UPTIME + 1000) * TICK_NS, values)
    first = len(packer.pack([one]))
    return first, len(packer.pack([one, two])) - first


def _sample(spec: PointSpec, kind: str) -> Value:
    """Return a value as long as usual ones of that type."""
    if kind == "bool":
        return True
    if kind == "str":
        return "x" * (12 if spec.enum else 2 * spec.registers)
    if kind in ("f32", "f64"):
        return 230.1
    raw = {1: 1000, 2: 100_000}.get(spec.registers, 1 << 40)
    return raw if kind == "i64" else raw / 10 ** int(kind[1:])


def _heartbeat() -> Heartbeat:
    clock = ClockReading(_UPTIME * TICK_NS, 1_800_000_000 * 10**9, ClockSource.NTP, 1000)
    return Heartbeat(clock, 1 << 20, Backlog(1, 1000, _UPTIME * TICK_NS))
