"""Which of the host's readings is its supply voltage.

Owns the order in which sources are tried, what is never taken for a supply, and what a source's
bytes mean in volts; the under-voltage alarm is in `alarm`. Never reads a file: the evidence is a
mapping from paths to bytes, and the detection says which path to read from then on.

The traps it knows: `rpi_volt` of kernel 7.2 has `in0_input`, which is the core's 0.85 V; `in0` of
an INA2xx is the shunt's drop; super-I/O inputs are volts at the chip's pin; a battery of `scope`
Device is a mouse's.

Source: Linux Documentation/hwmon/{sysfs-interface,raspberrypi-hwmon,ina2xx}.rst,
ABI/testing/{sysfs-class-power,sysfs-bus-iio}.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from gateway.host import firmware
from gateway.host.alarm import AlarmSource, find_alarm
from gateway.host.hwmon import chips, inputs
from gateway.host.nut import MAINS_V
from gateway.host.sysfs import Evidence, decimal, integer, word

LOWEST_V, HIGHEST_V = 3.0, 60.0
"""What a gateway's supply can be; anything else is a mistaken source."""
PMIC_PATH = "vcio:pmic_read_adc EXT5V_V"
"""Where the evidence keeps the firmware's reply: no file, but read the same way."""
PI_WARN_V, PI_CRIT_V = 4.80, 4.70
"""A healthy USB-PD supply may read 4.90 V on a Pi 5."""

_LABEL = re.compile(r"vin|v_in|12v|24v|5v|input|bus", re.IGNORECASE)
_DENIED_LABEL = re.compile(r"cpu|core|vdd|sdram", re.IGNORECASE)
_ALLOWED_CHIPS = ("ina2", "ltc29", "adm1", "tps")
_NEVER_CHIPS = {
    "rpi_volt": "its inputs are the core and the memory, not the supply",
    "nvme": "a disk",
}
_PIN_CHIPS = ("nct", "it87", "it86", "w83", "f718")
_SUPPLY = re.compile(r"(/sys/class/power_supply/([^/]{1,64}))/type")
_IIO = re.compile(r"(/sys/bus/iio/devices/iio:device\d{1,4})/name")
_RAW = re.compile(r"in_(voltage\d{1,2})_raw")


class SupplyKind(StrEnum):
    """Where a supply voltage comes from."""

    POINT = "point"
    HWMON = "hwmon"
    PMIC = "pmic"
    POWER_SUPPLY = "power_supply"
    IIO = "iio"
    NUT = "nut"


@dataclass(frozen=True, slots=True)
class SupplySource:
    """One source of volts. `name` is the metric's label; volts = (raw + `offset`) × `scale`."""

    kind: SupplyKind
    name: str
    path: str = ""
    scale: float = 1.0
    offset: float = 0.0

    def volts(self, data: bytes | None) -> float | None:
        """Read what the file (or the firmware) said; ``None``: nothing sensible."""
        if self.kind is SupplyKind.PMIC:
            return firmware.supply_volts(data)
        raw = integer(data)
        return None if raw is None else (raw + self.offset) * self.scale


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the config asks for. `source`: ``auto``, ``none``, ``pmic``, ``hwmon:CHIP/inN``,
    ``power_supply:NAME``, ``iio:DEVICE/voltageN``, ``nut:UPS@HOST`` or a point's ``source.point``.
    `ratio`: of a voltage divider before the input; ``None``: there is none known."""

    source: str = "auto"
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class SupplyChoice:
    """What was found. `rejected` says of each candidate passed over why; `alarm_note` why there
    is no alarm, or what its limits are."""

    source: SupplySource | None
    alarm: AlarmSource | None
    rejected: tuple[str, ...]
    alarm_note: str = ""


def plausible(volts: float | None, kind: SupplyKind | None = None) -> bool:
    """Say whether this can be a gateway's supply.

    What somebody named, a meter's or a UPS's input, may be the mains, and the mains may be gone.
    """
    if volts is None:
        return False
    if kind in (SupplyKind.POINT, SupplyKind.NUT):
        return 0.0 <= volts <= MAINS_V
    return LOWEST_V <= volts <= HIGHEST_V


def choose(evidence: Evidence, wanted: Wanted) -> SupplyChoice:
    """Pick the supply's source and, independently of it, the alarm."""
    rejected: list[str] = []
    alarm, note = find_alarm(evidence)
    source: SupplySource | None = None
    if wanted.source == "auto":
        for candidate in _candidates(evidence, wanted, rejected):
            volts = candidate.volts(evidence.get(candidate.path))
            if plausible(volts):
                source = candidate
                break
            shown = "nothing" if volts is None else f"{volts:.3f} V"
            rejected.append(f"{candidate.name}: reads {shown}, not {LOWEST_V:g} to {HIGHEST_V:g} V")
    elif wanted.source != "none":
        source = _named(evidence, wanted, rejected)
    return SupplyChoice(source, alarm, tuple(rejected[:32]), note)


# --- the voltage ----------------------------------------------------------------------------------


def _candidates(evidence: Evidence, wanted: Wanted, rejected: list[str]) -> list[SupplySource]:
    """List the sources in the order in which they are tried; say why the others never are."""
    found = _hwmon(evidence, rejected)
    if PMIC_PATH in evidence:
        found.append(SupplySource(SupplyKind.PMIC, "ext5v", PMIC_PATH))
    found += _power_supplies(evidence, rejected)
    for source in _iio(evidence, wanted.ratio or 1.0):
        if wanted.ratio is None:
            rejected.append(f"{source.name}: an ADC input without supply_ratio")
        else:
            found.append(source)
    return found


def _hwmon(evidence: Evidence, rejected: list[str]) -> list[SupplySource]:
    found = []
    for path, chip in chips(evidence):
        for number, label in inputs(evidence, path):
            why = _hwmon_fault(chip, number, label)
            if why:
                rejected.append(f"{chip}/in{number}: {why}")
            else:
                found.append(_hwmon_source(path, chip, number, 1.0))
    return found


def _hwmon_source(path: str, chip: str, number: int, ratio: float) -> SupplySource:
    name = f"{chip}/in{number}"
    return SupplySource(SupplyKind.HWMON, name, f"{path}/in{number}_input", ratio / 1000.0)


def _hwmon_fault(chip: str, number: int, label: str) -> str:
    """Say why an input is never taken by itself; empty: it may be."""
    if chip in _NEVER_CHIPS:
        return _NEVER_CHIPS[chip]
    if chip.startswith(_PIN_CHIPS):
        return "volts at the chip's pin; name it with its divider's supply_ratio"
    if not chip.startswith(_ALLOWED_CHIPS):
        return "not a chip known to measure a supply"
    if _DENIED_LABEL.search(label):
        return f"labelled {label}"
    if chip.startswith("ina2"):
        return "" if number == 1 else "the shunt's voltage"
    return "" if _LABEL.search(label) else f"labelled {label or 'nothing'}"


def _power_supplies(evidence: Evidence, rejected: list[str]) -> list[SupplySource]:
    found = []
    for path in sorted(evidence):
        match = _SUPPLY.fullmatch(path)
        if match is None:
            continue
        base, name, kind = match[1], match[2], word(evidence[path])
        if kind not in ("Battery", "UPS"):
            rejected.append(f"{name}: a {kind or 'nameless'} supply has no voltage of the host")
        elif word(evidence.get(f"{base}/scope")) == "Device":
            rejected.append(f"{name}: the battery of a peripheral")
        elif f"{base}/voltage_now" not in evidence:
            rejected.append(f"{name}: no voltage_now")
        else:
            found.append(SupplySource(SupplyKind.POWER_SUPPLY, name, f"{base}/voltage_now", 1e-6))
    return found


def _iio(evidence: Evidence, ratio: float) -> list[SupplySource]:
    found = []
    for path in sorted(evidence):
        match = _IIO.fullmatch(path)
        if match is None:
            continue
        start = f"{match[1]}/"
        for name in sorted(evidence):
            raw = _RAW.fullmatch(name[len(start) :]) if name.startswith(start) else None
            if raw is None:
                continue
            scale = _iio_value(evidence, match[1], raw[1], "scale")
            offset = _iio_value(evidence, match[1], raw[1], "offset") or 0.0
            if scale is not None:
                label = f"{word(evidence[path])}/{raw[1]}"
                found.append(
                    SupplySource(SupplyKind.IIO, label, name, scale * ratio / 1000.0, offset)
                )
    return found


def _iio_value(evidence: Evidence, path: str, channel: str, what: str) -> float | None:
    """Return a channel's own scale or offset, else the one all its channels share."""
    own = decimal(evidence.get(f"{path}/in_{channel}_{what}"))
    return decimal(evidence.get(f"{path}/in_voltage_{what}")) if own is None else own


def _named(evidence: Evidence, wanted: Wanted, rejected: list[str]) -> SupplySource | None:
    """Find the source the config names."""
    ratio = 1.0 if wanted.ratio is None else wanted.ratio
    kind, _, name = wanted.source.partition(":")
    if wanted.source == "pmic":
        return SupplySource(SupplyKind.PMIC, "ext5v", PMIC_PATH)
    if not name:
        return SupplySource(SupplyKind.POINT, wanted.source, scale=ratio)
    if kind == "nut":
        return SupplySource(SupplyKind.NUT, wanted.source, scale=ratio)
    candidates: list[SupplySource] = []
    if kind == "hwmon":
        candidates = [
            _hwmon_source(path, chip, number, ratio)
            for path, chip in chips(evidence)
            for number, _ in inputs(evidence, path)
        ]
    elif kind == "power_supply":
        candidates = _power_supplies(evidence, rejected)
    elif kind == "iio":
        candidates = _iio(evidence, ratio)
    source = next((found for found in candidates if found.name == name), None)
    if source is None:
        rejected.append(f"{wanted.source}: not found on this machine")
    return source
