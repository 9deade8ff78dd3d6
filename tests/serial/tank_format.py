"""A complete format of a third party: a radar level gauge with frames of its own.

The gauge sends ``#T<level>,<echo>;<sum>\\r`` every second: level in millimetres, echo strength in
per cent, sum the last two decimal digits of the sum of all bytes in front of it.
"""

from typing import ClassVar

from gateway.serial.format import LineFormat, Option, Options
from gateway.serial.framing import Fields, Framing
from gateway.serial.line import FaultKind


class Tank(LineFormat):
    """What the entry point names."""

    OPTIONS: ClassVar[tuple[Option, ...]] = (
        Option("height_mm", 0, "the tank's height; the level is measured from above", high=50000),
    )
    FIELDS: ClassVar[tuple[str, ...]] = ("level", "echo")

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._height = options.whole("height_mm")

    def framing(self, options: Options) -> Framing:
        return Framing(start=b"#T", end=b"\r", max_length=32, idle_gap_s=0.5)

    def read(self, frame: bytes) -> Fields | FaultKind:
        text, mark, digits = frame[:-1].rpartition(b";")
        if not mark or digits != b"%02d" % (sum(text + mark) % 100):
            return FaultKind.CHECKSUM
        level, comma, echo = text[2:].decode("latin-1").partition(",")
        if not comma or not level.isdecimal():
            return FaultKind.FORMAT
        return (("level", height(int(level), self._height)), ("echo", echo))


def height(distance: int, tank: int) -> int:
    """Return the height of the surface; without the tank's, the distance itself."""
    return tank - distance if tank else distance
