"""A real agent on a simulated machine: `python -m hil.agent_process --config F --host-root DIR`.

Owns the way from a machine's directory (`hil.machine`) through the agent's own seams: host files,
clocks, netlink, firmware, helper programs. Everything behind the seams is the product's; nothing
here knows a fault. Only what such a kernel would answer in bytes comes out.

Source: Linux include/uapi/linux/{netlink,genetlink,nl80211}.h.
"""

import argparse
import asyncio
import mmap
import os
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.agent.daemon import Agent
from gateway.agent.probes import Probes
from gateway.agent.spool.spool import Spool
from gateway.errors import GatewayError
from gateway.host import nl80211
from gateway.host.netlink import GENL_ID_CTRL, NLMSG_DONE, attribute
from gateway.process import log
from gateway.process.clock import Clock, HostFiles
from gateway.process.files import load_agent
from gateway.process.timesync import TimeSync
from hil.machine import (
    CLOCK,
    CLOCK_FILE,
    LIBC_TIME,
    PROGRAMS,
    RADIO,
    REPLIES,
    SEAMS,
    Radio,
    read_object,
    read_radio,
)

FAMILY_ID = 0x1C
MLME_GROUP = 7
MULTI = 2
"""NLM_F_MULTI: one of several answers."""
_HEAD = struct.Struct("=IHHII")
_STATION = bytes.fromhex("02 00 5e 10 00 01")


class MachineClock(Clock):
    """The machine's clocks: real ones that began at this boot, and a wall clock that may be off."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._shared = mmap.mmap(file.fileno(), CLOCK.size, access=mmap.ACCESS_READ)

    def now(self) -> float:
        """See `Clock`."""
        return self.boottime_ns() / 1e9

    def boottime_ns(self) -> int:
        """See `Clock`."""
        zero_ns: int = CLOCK.unpack_from(self._shared)[0]
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - zero_ns

    def wall_ns(self) -> int:
        """See `Clock`."""
        off_ns: int = CLOCK.unpack_from(self._shared)[1]
        return time.time_ns() + off_ns


class MachineNetlink:
    """Generic netlink of the machine: one wireless station or none (`gateway.agent.probes`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._subscribed = False
        found = self._radio()
        self._told = 0 if found is None else found.news

    def ask(self, request: bytes, is_end: Callable[[bytes], bool]) -> list[bytes]:
        """Answer as the kernel does: a family, or a dump that ends with DONE."""
        radio = self._radio()
        if radio is None:
            return []
        _, kind, _, seq, _ = _HEAD.unpack_from(request)
        command = request[_HEAD.size]
        if kind == GENL_ID_CTRL:
            return [_family(seq)]
        answers = []
        if command == nl80211.GET_INTERFACE:
            answers.append(_interface(radio, seq))
        elif command == nl80211.GET_STATION and radio.dbm is not None:
            answers.append(_station(radio, radio.dbm, seq))
        return [*answers, _message(NLMSG_DONE, MULTI, seq, bytes(4))]

    def subscribe(self, group: int) -> None:
        """Join the group; there is one."""
        self._subscribed = self._subscribed or group == MLME_GROUP

    def pending(self) -> list[bytes]:
        """Return a disconnection for each that has happened since."""
        radio = self._radio()
        if radio is None or not self._subscribed or radio.news <= self._told:
            return []
        self._told = radio.news
        return [_disconnect(radio)]

    def close(self) -> None:
        """Nothing is open."""

    def _radio(self) -> Radio | None:
        return read_radio(self._path)


def _message(kind: int, flags: int, seq: int, body: bytes) -> bytes:
    return _HEAD.pack(_HEAD.size + len(body), kind, flags, seq, 4242) + body


def _generic(kind: int, flags: int, seq: int, command: int, *parts: tuple[int, bytes]) -> bytes:
    body = struct.pack("=BBH", command, 1, 0)
    return _message(kind, flags, seq, body + b"".join(attribute(n, data) for n, data in parts))


def _family(seq: int) -> bytes:
    group = attribute(2, struct.pack("=I", MLME_GROUP)) + attribute(1, b"mlme\0")
    groups = attribute(1, group)
    parts = ((2, b"nl80211\0"), (1, struct.pack("=H", FAMILY_ID)), (7, groups))
    return _generic(GENL_ID_CTRL, 0, seq, 1, *parts)


def _interface(radio: Radio, seq: int) -> bytes:
    parts = (
        (3, struct.pack("=I", radio.index)),
        (4, radio.name.encode() + b"\0"),
        (5, struct.pack("=I", nl80211.IFTYPE_STATION)),
    )
    return _generic(FAMILY_ID, MULTI, seq, nl80211.NEW_INTERFACE, *parts)


def _station(radio: Radio, dbm: int, seq: int) -> bytes:
    level = struct.pack("=b", dbm)
    inside = attribute(7, level) + attribute(13, level)  # SIGNAL, SIGNAL_AVG
    parts = ((3, struct.pack("=I", radio.index)), (6, _STATION), (21, inside))
    return _generic(FAMILY_ID, MULTI, seq, nl80211.NEW_STATION, *parts)


def _disconnect(radio: Radio) -> bytes:
    parts = ((3, struct.pack("=I", radio.index)), (54, struct.pack("=H", radio.reason)))
    return _generic(FAMILY_ID, 0, 0, nl80211.DISCONNECT, *parts)


def probes(root: Path) -> Probes:
    """Return the ways to the machine below `root`."""
    seams = root / SEAMS

    def firmware(command: str) -> bytes | None:
        reply = read_object(seams / REPLIES).get(command)
        return reply.encode() if isinstance(reply, str) else None

    def program(arguments: Sequence[str], timeout_s: float) -> bytes | None:
        output = read_object(seams / PROGRAMS).get(" ".join(arguments))
        return output.encode() if isinstance(output, str) else None

    netlink = MachineNetlink(seams / RADIO)
    return Probes(HostFiles(root), netlink, firmware, program)


def main(argv: Sequence[str]) -> int:
    """Run the agent until a signal stops it."""
    parser = argparse.ArgumentParser(prog="python -m hil.agent_process")
    parser.add_argument("--config", type=Path, required=True, help="the agent's file")
    parser.add_argument("--host-root", type=Path, required=True, help="the machine (hil.machine)")
    args = parser.parse_args(argv)
    path, root = args.config, args.host_root
    clock_file, library = root / SEAMS / CLOCK_FILE, root / SEAMS / LIBC_TIME
    if library.exists() and os.environ.get("LD_PRELOAD") != str(library):
        environment = {**os.environ, "LD_PRELOAD": str(library), "HIL_CLOCK": str(clock_file)}
        command = [sys.executable, "-m", "hil.agent_process", *argv]
        os.execve(sys.executable, command, environment)
    try:
        settings = load_agent(path)
        log.set_up(settings.log_level)
        clock, ways = MachineClock(clock_file), probes(root)
        # The kernel's own error bound is this computer's, not the machine's.
        sync = TimeSync(clock, ways.files, lambda: None)
        boot_id = ways.files.boot_id()
        spool = Spool.open(settings.spool, settings.gateway_id, boot_id, clock)
    except (GatewayError, OSError) as error:
        print(f"agent_process: {error}", file=sys.stderr)
        return 1
    agent = Agent(path, settings, spool, boot_id, clock, ways.files, ways, sync)
    return asyncio.run(agent.run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
