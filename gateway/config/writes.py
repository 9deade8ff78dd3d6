"""Whether and how a point may be written: the keys `writable`, `write_min` and so on.

Owns their reading and rules. A point is read only unless the site's own file says otherwise, and a
number never without limits: a profile alone can make nothing writable.
"""

import math
from dataclasses import dataclass

from gateway.config.document import Section
from gateway.modbus.point import DataType, PointSpec, Table

DEFAULT_INTERVAL_S = 10.0
"""Shortest time between two writes of one point unless the file says otherwise. Settings kept in
EEPROM stand some 10,000 to 100,000 writes (a Toshiba VF-S11 10,000): a loop must not wear it out
within a day."""
STEP_TOLERANCE = 1e-6
_WHOLE = (DataType.BOOL, DataType.ENUM)


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """What may be written. `step`: multiples of it from `minimum` on, ``None`` for any value.

    `interval_s`: shortest time between two writes. Minimum and maximum are ``None`` for a bool or
    an enum.
    """

    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    interval_s: float = DEFAULT_INTERVAL_S

    def refusal(self, value: float | int | bool | str) -> str | None:
        """Say why `value` may not be written; ``None``: it may."""
        if isinstance(value, bool | str):
            return None
        low, high = self.minimum, self.maximum
        if not math.isfinite(value):
            return f"{value} is no number"
        if (low is not None and value < low) or (high is not None and value > high):
            return f"{value:g} is outside write_min {low:g} to write_max {high:g}"
        if self.step is not None:
            steps = (value - (low or 0.0)) / self.step
            if abs(steps - round(steps)) > STEP_TOLERANCE * max(1.0, abs(steps)):
                return f"{value:g} is not on a step of {self.step:g} from {low or 0.0:g}"
        return None


def parse_write(section: Section, spec: PointSpec) -> WriteLimits | None:
    """Read the write keys of a point's table; ``None``: it is read only."""
    writable = section.flag("writable", False)
    low = section.number("write_min", None)
    high = section.number("write_max", None)
    step = section.number("write_step", None, low=1e-9)
    interval_s = section.number(
        "write_interval_s", DEFAULT_INTERVAL_S, low=0.0, high=86400.0, unit="seconds"
    )
    if not writable:
        for key in ("write_min", "write_max", "write_step", "write_interval_s"):
            if key in section:
                section.problem(key, "the point is not writable", "add writable = true")
                break
        return None
    _check(section, spec, low, high)
    return WriteLimits(low, high, step, interval_s)


def _check(section: Section, spec: PointSpec, low: float | None, high: float | None) -> None:
    if spec.table in (Table.INPUT, Table.DISCRETE):
        cure = 'only table = "holding" or "coil" can be written'
        section.problem("writable", f"found true on table {spec.table.name.lower()}", cure)
    if spec.bit is not None or spec.mask is not None or spec.type is DataType.STR:
        what = "a text" if spec.type is DataType.STR else "a part of its registers"
        section.problem("writable", f"the point is {what}", "make a whole number writable")
    elif spec.type not in _WHOLE and not spec.table.is_bits:
        for key, value in (("write_min", low), ("write_max", high)):
            if value is None and key not in section:
                section.problem(key, "missing", f"add {key}: a number is never writable unlimited")
        if low is not None and high is not None and low > high:
            section.problem("write_min", f"found {low:g}", f"at most write_max ({high:g})")
