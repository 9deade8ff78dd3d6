"""Radio level: what a number must be to be one, and the readings of Wi-Fi and mobile radio.

Owns the plausible ranges and the parsers of /proc/net/wireless, of ModemManager's properties and of
the modem's own answers; nl80211 is in a module of its own. A percentage stays one: it is never made
into dBm.

Source: 3GPP TS 27.007 §8.5 (+CSQ), §8.69 (+CESQ); Telit LE910 AT reference (what +CSQ means on
UMTS and LTE); ModemManager 1.20 Modem.Signal.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

WIFI_TOP_DBM = -10
WIFI_FLOOR_DBM = -110
"""A level at or below is a driver's "nothing"; above `WIFI_TOP_DBM` a driver's error."""
WIRELESS_PATH = "/proc/net/wireless"
MAX_JSON = 65536
TECHNOLOGIES = ("5g", "nr5g", "lte", "umts", "gsm", "evdo", "cdma1x", "cdma")
"""ModemManager's names, the newest first: where two answer, the newest is in use."""

_WIRELESS = re.compile(
    rb"\s*([^\s:]{1,15}):\s+[0-9A-Fa-f]{4}\s+(-?\d{1,4})\.?\s+(-?\d{1,4})\.?\s+(-?\d{1,4})\.?.*"
)
_CSQ = re.compile(rb"\+CSQ:\s*(\d{1,3})\s*,\s*(\d{1,3})")
_CESQ = re.compile(rb"\+CESQ:\s*" + rb"\s*,\s*".join([rb"(\d{1,3})"] * 6))


@dataclass(frozen=True, slots=True)
class Level:
    """What a radio hears. dBm and dB; ``None``: not told. `kind` is the radio technology."""

    kind: str
    rssi_dbm: float | None = None
    rsrp_dbm: float | None = None
    rsrq_db: float | None = None
    snr_db: float | None = None
    quality_percent: int | None = None

    @property
    def dbm(self) -> float | None:
        """Return the level that tells most: RSRP of LTE and 5G, else RSSI."""
        return self.rssi_dbm if self.rsrp_dbm is None else self.rsrp_dbm


def wifi_dbm(value: float | None) -> float | None:
    """Return a plausible Wi-Fi level; 0, the driver's floor and what is louder than any radio
    are none."""
    if value is None or not WIFI_FLOOR_DBM < value <= WIFI_TOP_DBM:
        return None
    return float(value)


def wireless(data: bytes | None) -> Mapping[str, float]:
    """Return the level in dBm by interface from /proc/net/wireless (which may write ``-61.``)."""
    found = {}
    for line in (data or b"").splitlines()[:64]:
        match = _WIRELESS.fullmatch(line)
        level = None if match is None else wifi_dbm(float(match[3]))
        if match is not None and level is not None:
            found[match[1].decode("ascii", "replace")] = level
    return found


# --- the modem's own answers ----------------------------------------------------------------------


def csq(reply: bytes) -> Level | None:
    """Read ``+CSQ: n,ber``: -113 + 2n dBm; 0 and 31 are "at most" and "at least", 99 unknown."""
    match = _CSQ.search(reply)
    if match is None or int(match[1]) > 31:
        return None
    return Level("csq", rssi_dbm=-113.0 + 2 * int(match[1]))


def cesq(reply: bytes) -> Level | None:
    """Read ``+CESQ: rxlev,ber,rscp,ecno,rsrq,rsrp``: the upper edge of each step; 99 and 255 are
    unknown. The technology is the one that has numbers."""
    match = _CESQ.search(reply)
    if match is None:
        return None
    rxlev, _, rscp, ecno, rsrq, rsrp = (int(n) for n in match.groups())
    if rsrp <= 97:
        quality = rsrq / 2 - 19.5 if rsrq <= 34 else None
        return Level("lte", rsrp_dbm=float(rsrp - 140), rsrq_db=quality)
    if rscp <= 96:
        return Level(
            "umts", rssi_dbm=float(rscp - 120), snr_db=ecno / 2 - 24 if ecno <= 49 else None
        )
    if rxlev <= 63:
        return Level("gsm", rssi_dbm=float(rxlev - 110))
    return None


# --- ModemManager ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Modem:
    """What ModemManager says of a modem. `interface`: its network interface."""

    path: str
    state: str = ""
    access: str = ""
    interface: str = ""
    quality_percent: int | None = None


def modem_paths(reply: bytes | None) -> tuple[str, ...]:
    """Read ``mmcli -L -J``: the modems there are."""
    listed = _object(reply).get("modem-list")
    if not isinstance(listed, list):
        return ()
    names = [name for name in listed if isinstance(name, str)]
    return tuple(n for n in names[:8] if re.fullmatch(r"/[A-Za-z0-9_/]{1,100}", n))


def modem(path: str, reply: bytes | None) -> Modem | None:
    """Read ``mmcli -m PATH -J``."""
    found = _object(reply).get("modem")
    generic = found.get("generic") if isinstance(found, dict) else None
    if not isinstance(generic, dict):
        return None
    quality = generic.get("signal-quality")
    percent = quality.get("value") if isinstance(quality, dict) else None
    number = _number(percent)
    ports = generic.get("ports")
    names = [p for p in ports if isinstance(p, str)] if isinstance(ports, list) else []
    net = next((p.removesuffix(" (net)") for p in names if p.endswith(" (net)")), "")
    access = generic.get("access-technologies")
    words = [a for a in access if isinstance(a, str)] if isinstance(access, list) else []
    state = generic.get("state")
    return Modem(
        path,
        state[:32] if isinstance(state, str) else "",
        ",".join(words)[:64],
        net[:15],
        None if number is None or not 0 <= number <= 100 else int(number),
    )


def modem_signal(reply: bytes | None) -> Level | None:
    """Read ``mmcli -m PATH --signal-get -J``; ``None`` until somebody has called Signal.Setup."""
    found = _object(reply).get("modem")
    signals = found.get("signal") if isinstance(found, dict) else None
    return signal_of(signals) if isinstance(signals, dict) else None


def signal_of(properties: Mapping[str, object]) -> Level | None:
    """Read Modem.Signal's properties by technology: ``{"lte": {"rsrp": -95.0, …}}``."""
    lowered = {str(name).lower(): value for name, value in properties.items()}
    for kind in TECHNOLOGIES:
        found = lowered.get(kind)
        if not isinstance(found, Mapping):
            continue
        snr = _within(found.get("snr", found.get("s/n")), -50, 60)
        level = Level(
            "nr5g" if kind == "5g" else kind,
            _within(found.get("rssi"), -125, -10),
            _within(found.get("rsrp"), -157, -30),
            _within(found.get("rsrq"), -45, 20),
            snr,
        )
        if level.dbm is not None:
            return level
    return None


def _within(value: object, low: float, high: float) -> float | None:
    """Return a plausible number; ``--`` is what mmcli writes for none."""
    number = _number(value)
    return number if number is not None and low <= number <= high else None


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e6 else None
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,4}(\.\d{1,6})?\s*", value):
        return float(value)
    return None


def _object(reply: bytes | None) -> dict[str, object]:
    """Return a JSON object; an empty one for anything else."""
    if reply is None or len(reply) > MAX_JSON:
        return {}
    try:
        found = json.loads(reply)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
