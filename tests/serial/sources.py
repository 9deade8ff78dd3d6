"""One source of each format for the tests: its options, points, and lines with known values.

Owns what a valid line of each format looks like, written without the code under test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gateway.process.formats import InstalledFormats
from gateway.serial.format import Format, Options, OptionValue
from gateway.serial.source import Asking, Source
from gateway.serial.values import FieldSpec
from tests.system import skip

TELEGRAM = Path(__file__).parents[1] / "golden/serial/dsmr-5.0.2.telegram"
FORMATS = InstalledFormats()


def xor_of(data: bytes) -> int:
    """XOR all bytes."""
    total = 0
    for byte in data:
        total ^= byte
    return total


def arc_of(data: bytes) -> int:
    """Return CRC-16/ARC bit by bit: an independent peer."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


@dataclass(frozen=True, slots=True)
class Example:
    """A source. `line(n)` is its nth valid line, whose readings are `values(n)`.

    `checked`: a check sum finds a flipped bit or a lost end. `start`: lines have a start delimiter,
    so that noise may stand directly in front of them.
    """

    name: str
    format: str
    options: dict[str, OptionValue]
    points: tuple[FieldSpec, ...]
    line: Callable[[int], bytes]
    values: Callable[[int], tuple[float, ...]]
    checked: bool
    start: bytes
    end: bytes
    lead: bytes = b""
    """What makes a source that has just begun to listen take the next line."""

    def make(self) -> Format:
        """Return the format, made anew."""
        kind = FORMATS[self.format]
        if not isinstance(kind, type):
            skip(f"{kind.found}: {kind.cure}")
        return kind(Options.of(kind.OPTIONS, dict(self.options)))

    def source(self, asking: Asking | None = None, silent_after_s: float = 1e9) -> Source:
        """Return a source with its port open since 0."""
        source = Source(self.name, self.make(), self.points, asking, silent_after_s, 0.0)
        source.port_returned(0.0)
        source.receive(self.lead, 0.0)
        source.rows()
        return source


def _gill(n: int) -> bytes:
    text = f"Q,{n % 360:03},{n / 100:06.2f},M,00,".encode()
    return b"\x02" + text + b"\x03%02X\r\n" % xor_of(text)


def _nmea(n: int) -> bytes:
    text = f"IIMWV,{n % 360}.0,R,{n / 10:.1f},N,A".encode()
    return b"$%s*%02X\r\n" % (text, xor_of(text))


@lru_cache(1000)
def _telegram(n: int) -> bytes:
    text, _, _ = TELEGRAM.read_bytes().rpartition(b"!")
    text = text.replace(b"1-0:1.7.0(01.193*kW)", b"1-0:1.7.0(%06.3f*kW)" % (n / 1000)) + b"!"
    return text + b"%04X\r\n" % arc_of(text)


def _victron(n: int) -> bytes:
    text = b"\r\nPID\t0xA053\r\nV\t%d\r\nI\t-%d\r\nLOAD\tON\r\nSER#\tHQ17\r\nChecksum\t" % (n, n)
    return text + bytes([-sum(text) % 256])


EXAMPLES = (
    Example(
        "wind",
        "delimited",
        {
            "fields": ("node", "direction", "speed", "unit", "status", ""),
            "start": "\x02",
            "end": "\r\n",
            "check": "xor8",
            "check_mark": "\x03",
        },
        (FieldSpec("direction", "direction"), FieldSpec("speed", "speed", unit="m/s")),
        _gill,
        lambda n: (float(n % 360), n / 100),
        True,
        b"\x02",
        b"\r\n",
    ),
    Example(
        "plain",
        "delimited",
        {"fields": ("count", "level", "pressure"), "delimiter": ";"},
        tuple(FieldSpec(name, name) for name in ("count", "level", "pressure")),
        lambda n: b"%d;%.1f;-%.2f\r\n" % (n, n / 10, n / 100),
        lambda n: (float(n), n / 10, -(n / 100)),
        False,
        b"",
        b"\r\n",
    ),
    Example(
        "scale",
        "regex",
        {"pattern": r"ST,(?:GS|NT),(?P<weight>[+-]\d{5}\.\d)kg"},
        (FieldSpec("weight", "weight", unit="kg", decimals=1),),
        lambda n: b"ST,GS,%+08.1fkg\r\n" % (n / 10),
        lambda n: (n / 10,),
        False,
        b"",
        b"\r\n",
    ),
    Example(
        "vane",
        "nmea",
        {},
        (
            FieldSpec("angle", "MWV.wind_angle", unit="deg"),
            FieldSpec("speed", "MWV.wind_speed", unit="kn"),
        ),
        _nmea,
        lambda n: (float(n % 360), n / 10),
        True,
        b"$",
        b"\r\n",
    ),
    Example(
        "weather",
        "json",
        {},
        (FieldSpec("t", "t"), FieldSpec("wind", "wind.speed")),
        lambda n: b'{"t": %.1f, "wind": {"speed": %d}, "id": "a"}\n' % (n / 10, n),
        lambda n: (n / 10, float(n)),
        False,
        b"",
        b"\n",
    ),
    Example(
        "meter",
        "dsmr",
        {},
        (
            FieldSpec("power", "current_electricity_usage", unit="kW"),
            FieldSpec("gas", "mbus1_meter_reading", unit="m3"),
        ),
        _telegram,
        lambda n: (n / 1000, 12785.123),
        True,
        b"/",
        b"\r\n",
    ),
    Example(
        "charger",
        "vedirect",
        {},
        (
            FieldSpec("battery", "V", unit="V", scale=0.001, decimals=3),
            FieldSpec("current", "I", unit="A", scale=0.001, decimals=3),
        ),
        _victron,
        lambda n: (n / 1000, -n / 1000),
        True,
        b"",
        b"\r\nChecksum\t\0",
        lead=_victron(0) * 3,
    ),
)
