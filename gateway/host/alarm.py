"""The under-voltage alarm: who can tell, and what it says.

Owns the tri-state and its rules; *unknown* is never good. Most Raspberry Pis can say only "below
about 4.63 V"; the Zero family and the first compute modules cannot say even that, so that a zero
there means nothing at all.

Source: Linux Documentation/hwmon/raspberrypi-hwmon.rst; raspberrypi/documentation
power-supplies.adoc; raspberrypi/linux#2367 (which boards have a detector).
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from gateway.host import firmware
from gateway.host.hwmon import chips
from gateway.host.sysfs import Evidence, hexadecimal, integer, word

THROTTLED_PATH = "vcio:get_throttled"
"""Where the evidence keeps the firmware's reply: no file, but read the same way."""
MODEL_PATH = "/proc/device-tree/model"
LEGACY_PATH = "/sys/devices/platform/soc/soc:firmware/get_throttled"


class AlarmKind(StrEnum):
    """Where the under-voltage alarm comes from."""

    HWMON = "hwmon"
    FIRMWARE = "firmware"
    LEGACY = "legacy"


class UnderVoltage(StrEnum):
    """The tri-state. `UNKNOWN` is never good: nothing here could tell."""

    OK = "ok"
    UNDER = "under"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AlarmSource:
    """One source of the under-voltage bit; `path` is empty for the firmware's word."""

    kind: AlarmKind
    path: str = ""


def has_detector(model: str) -> bool:
    """Say whether this Raspberry Pi can tell an under-voltage at all (vitals: model gate)."""
    if "Zero" in model:
        return False
    early = re.search(r"Compute Module(?! [45])", model)
    return early is None


def find_alarm(evidence: Evidence) -> tuple[AlarmSource | None, str]:
    """Pick the alarm; the text says why there is none, or what its limits are."""
    model = word(evidence.get(MODEL_PATH))
    if "Raspberry Pi" in model and not has_detector(model):
        return None, f"{model} has no under-voltage detector"
    for path, chip in chips(evidence):
        alarm = f"{path}/in0_lcrit_alarm"
        if chip == "rpi_volt" and alarm in evidence:
            return AlarmSource(AlarmKind.HWMON, alarm), ""
    if firmware.throttled(evidence.get(THROTTLED_PATH)) is not None:
        return AlarmSource(AlarmKind.FIRMWARE, THROTTLED_PATH), ""
    # Reading it makes the kernel warn once, so it comes last and never beside rpi_volt.
    if LEGACY_PATH in evidence:
        return AlarmSource(AlarmKind.LEGACY, LEGACY_PATH), "deprecated driver's cached word"
    return None, "no under-voltage alarm on this machine"


def alarm_state(source: AlarmSource | None, data: bytes | None) -> UnderVoltage:
    """Read the alarm. What cannot be read is unknown."""
    if source is None:
        return UnderVoltage.UNKNOWN
    if source.kind is AlarmKind.HWMON:
        value = integer(data)
        known = None if value not in (0, 1) else value == 1
    else:
        if source.kind is AlarmKind.FIRMWARE:
            bits = firmware.throttled(data)
        else:
            bits = firmware.throttled_word(hexadecimal(data))
        known = None if bits is None else bits.undervoltage
    if known is None:
        return UnderVoltage.UNKNOWN
    return UnderVoltage.UNDER if known else UnderVoltage.OK


def combine(
    alarm: UnderVoltage,
    volts: float | None,
    crit_v: float | None,
    other: UnderVoltage = UnderVoltage.UNKNOWN,
) -> UnderVoltage:
    """Put alarm and voltage together, with the `other` word of a UPS: one that says "under" is
    believed, and "ok" takes one that can tell."""
    by_volts = UnderVoltage.UNKNOWN
    if volts is not None and crit_v is not None:
        by_volts = UnderVoltage.UNDER if volts < crit_v else UnderVoltage.OK
    found = {alarm, by_volts, other}
    if UnderVoltage.UNDER in found:
        return UnderVoltage.UNDER
    return UnderVoltage.OK if UnderVoltage.OK in found else UnderVoltage.UNKNOWN
