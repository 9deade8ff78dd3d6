"""The processor's temperature, and whether it is slowed down for heat or supply.

Owns which thermal zone or sensor is the processor's; never reads a file.

Source: Linux Documentation/driver-api/thermal/sysfs-api.rst, hwmon/{coretemp,k10temp}.rst;
arch/x86/kernel/cpu/mce/therm_throt.c (the throttle counters).
"""

import re

from gateway.host.hwmon import chips
from gateway.host.sysfs import Evidence, integer, word

THROTTLE_PATH = "/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
LOWEST_C, HIGHEST_C = -60.0, 150.0

_ZONE = re.compile(r"(/sys/class/thermal/thermal_zone\d{1,3})/type")
_ZONE_TYPES = re.compile(r"cpu[-_]?thermal|x86_pkg_temp|soc[-_]?thermal|bcm2835_thermal|cpu.*")
_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")


def temperature_path(evidence: Evidence) -> str | None:
    """Return the file that holds the processor's temperature."""
    zones = sorted(
        match[1]
        for path, data in evidence.items()
        if (match := _ZONE.fullmatch(path)) and _ZONE_TYPES.fullmatch(word(data).lower())
    )
    if zones:
        return f"{zones[0]}/temp"
    for path, chip in chips(evidence):
        if chip in _CHIPS and f"{path}/temp1_input" in evidence:
            return f"{path}/temp1_input"
    return None


def celsius(data: bytes | None) -> float | None:
    """Read a temperature in thousandths of a degree; absurd ones are none."""
    raw = integer(data)
    if raw is None or not LOWEST_C <= raw / 1000.0 <= HIGHEST_C:
        return None
    return raw / 1000.0
