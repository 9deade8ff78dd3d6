"""The mobile radio's level: ModemManager where it owns the modem, else a spare AT port.

Owns the asking, every 30 s in a thread of its own; what the answers mean is `gateway.host.radio`'s.
``mmcli -J`` and not D-Bus: ModemManager ships it, it needs no library and no second connection, and
a process every 30 s costs less than 0.1 % of a slow board. Levels in dBm appear only after
somebody allowed has called ``mmcli -m any --signal-setup=30`` (`docs/host.md`).
"""

from dataclasses import replace

import serial

from gateway.agent.probes import Probes
from gateway.host import radio
from gateway.host.radio import Level

PERIOD_S = 30.0
STALE_S = 3 * PERIOD_S
PROGRAM_S = 4.0
AT_S = 1.0
MAX_REPLY = 1024
DEFAULT_INTERFACE = "wwan0"


class ModemReader:
    """Called every `PERIOD_S` in one thread. `port`: ``auto``, ``none`` or a path."""

    def __init__(self, probes: Probes, port: str) -> None:
        self._probes = probes
        self._port = port

    def read(self) -> dict[str, Level]:
        """Return the level of each modem by its network interface."""
        if self._port == "none":
            return {}
        found: dict[str, Level] = {}
        paths = radio.modem_paths(self._probes.program(("mmcli", "-L", "-J"), PROGRAM_S))
        for path in paths[:2]:
            modem = radio.modem(path, self._probes.program(("mmcli", "-m", path, "-J"), PROGRAM_S))
            if modem is None:
                continue
            reply = self._probes.program(("mmcli", "-m", path, "--signal-get", "-J"), PROGRAM_S)
            level = radio.modem_signal(reply) or Level(modem.access or "mobile")
            level = replace(level, quality_percent=modem.quality_percent)
            if modem.state == "connected" or level.dbm is not None:
                found[modem.interface or DEFAULT_INTERFACE] = level
        if not paths and self._port.startswith("/dev/"):
            at = self._at()
            if at is not None:
                found[DEFAULT_INTERFACE] = at
        return found

    def _at(self) -> Level | None:
        """Ask the modem itself; only where no ModemManager owns it."""
        try:
            with serial.Serial(
                self._port, 115200, timeout=AT_S, write_timeout=AT_S, exclusive=True
            ) as port:
                return radio.cesq(_command(port, b"AT+CESQ\r")) or radio.csq(
                    _command(port, b"AT+CSQ\r")
                )
        except (OSError, ValueError):  # SerialException is an OSError
            return None


def _command(port: serial.Serial, command: bytes) -> bytes:
    """Send one command and return what came until OK, ERROR or the time-out."""
    port.reset_input_buffer()
    port.write(command)
    reply = b""
    while len(reply) < MAX_REPLY:
        line: bytes = port.readline(MAX_REPLY)
        reply += line
        if not line or line.strip() in (b"OK", b"ERROR"):
            break
    return reply
