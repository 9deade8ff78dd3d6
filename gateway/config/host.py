"""`[host]`: where the gateway's own supply voltage and radio level come from.

Owns the section's settings and their reading. What a source means is `gateway.host`'s; that a
named point exists is checked against the buses.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.config.bus import BusSettings
from gateway.config.document import Section
from gateway.config.problems import did_you_mean, shown
from gateway.config.serial import SerialSettings
from gateway.host.nut import ups_name

_FORMS = r"(hwmon:[^/\s]{1,64}/in\d{1,2}|power_supply:[^/\s]{1,64}|iio:[^/\s]{1,64}/voltage\d{1,2})"
_EXPECTED = (
    '"auto", "none", "pmic", "hwmon:CHIP/inN", "power_supply:NAME", "iio:DEVICE/voltageN", '
    '"nut:UPS@HOST" or "SOURCE.POINT" of a device or serial source'
)
SLOW_S = 10.0
"""A point read less often is told: the supply is unknown half a minute after its last reading."""
_INTERFACE = re.compile(r"[^/\s:]{1,15}")


@dataclass(frozen=True, slots=True)
class HostSettings:
    """`[host]`. `interfaces` ``None``: every one a cable or an antenna belongs to. Volts ``None``:
    4.80 and 4.70 where the source is a Raspberry Pi's 5 V, else no limit."""

    supply: str = "auto"
    supply_ratio: float | None = None
    supply_warn_v: float | None = None
    supply_crit_v: float | None = None
    interfaces: tuple[str, ...] | None = None
    modem: str = "auto"
    aggregate_s: float = 10.0


def parse_host(
    section: Section, buses: Sequence[BusSettings], serials: Sequence[SerialSettings] = ()
) -> HostSettings:
    """Read the section; `buses` and `serials` are those of the same file."""
    plain = HostSettings()
    host = HostSettings(
        supply=_supply(section, plain.supply, _points(buses, serials)),
        supply_ratio=section.number("supply_ratio", None, low=0.001, high=1000.0),
        supply_warn_v=section.number("supply_warn_v", None, low=0.1, high=100.0, unit="volts"),
        supply_crit_v=section.number("supply_crit_v", None, low=0.1, high=100.0, unit="volts"),
        interfaces=_interfaces(section),
        modem=section.text(
            "modem",
            plain.modem,
            pattern=r"auto|none|/dev/.+",
            expected='"auto" (ModemManager), "none", or the path of a spare AT port',
        ),
        aggregate_s=section.number(
            "aggregate_s", plain.aggregate_s, low=1.0, high=3600.0, unit="seconds"
        ),
    )
    section.close()
    warn_v, crit_v = host.supply_warn_v, host.supply_crit_v
    if warn_v is not None and crit_v is not None and crit_v > warn_v:
        section.problem("supply_crit_v", f"found {crit_v:g}", f"at most supply_warn_v ({warn_v:g})")
    return host


def _points(
    buses: Sequence[BusSettings], serials: Sequence[SerialSettings]
) -> dict[str, float | None]:
    """Return every point that could be the supply with its interval; ``None``: it comes unasked."""
    points: dict[str, float | None] = {
        f"{device.name}.{point.spec.name}": point.poll_interval_s
        for bus in buses
        for device in bus.devices
        for point in device.points
    }
    for source in serials:
        interval_s = None if source.asking is None else source.asking.interval_s
        points.update((f"{source.name}.{spec.name}", interval_s) for spec in source.points)
    return points


def _supply(section: Section, default: str, points: Mapping[str, float | None]) -> str:
    supply = section.text("supply", default, expected=_EXPECTED, longest=400)
    if supply in ("auto", "none", "pmic") or re.fullmatch(_FORMS, supply):
        return supply
    if supply in points:
        interval_s = points[supply]
        if interval_s is not None and interval_s > SLOW_S:
            found = f"{supply} is read every {interval_s:g} s"
            cure = f"poll_interval_s of at most {SLOW_S:g}: a supply falls within seconds"
            section.warning("supply", found, cure)
        return supply
    if ups_name(supply) is not None:
        return supply
    if ":" in supply or "." not in supply or not points:
        section.problem("supply", f"found {shown(supply)}", f"give {_EXPECTED}")
    else:
        section.problem("supply", f"found {shown(supply)}", did_you_mean(supply, points, "points"))
    return default


def _interfaces(section: Section) -> tuple[str, ...] | None:
    names = section.texts("interfaces", 'a list of interface names, ["eth0", "wwan0"]', 8)
    for name in names or ():
        if not _INTERFACE.fullmatch(name):
            cure = "names as `ip link` shows them, at most 15 characters"
            section.problem("interfaces", f"found {shown(name)}", cure)
    return names
