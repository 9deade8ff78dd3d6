"""One simulated gateway's hardware: a directory that the bench writes and its agent reads.

Owns the layout of that directory and every way to change it while the agent runs. Never starts a
process and never says why something changes: what is written here is what a real machine's kernel,
firmware and service manager would show.

    proc/ sys/ run/        the host's files (`HostFiles`)
    .seams/clock           CLOCK_BOOTTIME at which this boot began; ns the wall clock is off
    .seams/replies.json    what the Raspberry Pi's firmware answers
    .seams/programs.json   what helper programs write (`systemctl is-system-running`)
    .seams/radio.json      what nl80211 knows of the station
    .seams/libc_time.so    libc's `time` on this machine, if it has one of its own
"""

import json
import mmap
import os
import random
import shutil
import struct
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.boards import TRAITS, Board, Reset, link, reset_evidence, supply, tree

CLOCK = struct.Struct("<qq")
CLOCK_FILE, REPLIES, PROGRAMS, RADIO = "clock", "replies.json", "programs.json", "radio.json"
BOOT_S = 4.0
"""Between the start of a kernel and the start of the agent on a small board."""
SYNCED = "/run/systemd/timesync/synchronized"
IS_RUNNING = "systemctl is-system-running"
LIST_JOBS = "systemctl list-jobs --no-legend --plain --no-pager"
SEAMS, LIBC_TIME = ".seams", "libc_time.so"


@dataclass(frozen=True, slots=True)
class Radio:
    """What nl80211 knows. `dbm` ``None``: not associated. `news`: how often that happened so far,
    `reason` the last one's IEEE 802.11 reason code."""

    name: str
    index: int
    dbm: int | None
    news: int = 0
    reason: int = 0


def read_object(path: Path) -> dict[str, Any]:
    """Return what stands in a file of `.seams`; an empty object where the machine has none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_radio(path: Path) -> Radio | None:
    """Return what nl80211 knows; ``None`` on a machine without a radio."""
    found = read_object(path)
    return Radio(**found) if found else None


def board_of(number: int) -> Board:
    """Return the board of the fleet's agent `number`: all kinds take turns."""
    boards = tuple(Board)
    return boards[number % len(boards)]


class Machine:
    """The bench's side of one gateway's hardware. Every change is whole: written aside, renamed."""

    def __init__(self, root: Path, board: Board, gateway: str, seed: int = 0) -> None:
        self.root = root
        self.seams = root / SEAMS
        self.board = board
        self.traits = TRAITS[board]
        self._random = random.Random(f"{seed} {gateway}")
        self._cycles = 0
        self._downs = 0
        self._radio = Radio(self.traits.interface, 3, -60 if self.traits.wifi else None)

    # -- life ----------------------------------------------------------------------------------

    def make(self) -> None:
        """Build it for the first time and put power on."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.seams.mkdir(parents=True)
        self._put(tree(self.board, f"{self._random.getrandbits(64):016x}"))
        self.boot(Reset.POWER_ON, clean=True)

    def boot(
        self,
        reset: Reset,
        *,
        clean: bool,
        sagged: bool = False,
        synced: bool = True,
        wall_off_s: float = 0.0,
    ) -> None:
        """Begin a boot: new boot id, boottime near zero, what the reset left behind.

        `clean`: the file systems were unmounted. `wall_off_s`: how far the wall clock is off until
        it is synchronised.
        """
        shutil.rmtree(self.root / "run", ignore_errors=True)
        self._cycles += reset is Reset.POWER_ON
        number = uuid.UUID(int=self._random.getrandbits(128), version=4)
        self._put({"/proc/sys/kernel/random/boot_id": f"{number}\n".encode()})
        self._put(reset_evidence(self.board, reset, clean, self._cycles, sagged))
        self.supply_v(self.traits.volts)
        self._downs = 0
        self.link(True)
        if self.traits.wifi:
            self._tune(Radio(self.traits.interface, 3, -60))
        self._put_json(PROGRAMS, {IS_RUNNING: "running\n"})
        self.wall(wall_off_s, synced=synced, boottime_s=BOOT_S)

    def config(self) -> str:
        """Return the agent's `[host]` section for this board."""
        lines = ["[host]", 'modem = "none"', "aggregate_s = 5.0"]
        limits = (("supply_warn_v", self.traits.warn_v), ("supply_crit_v", self.traits.crit_v))
        lines += [f"{key} = {volts}" for key, volts in limits if volts is not None]
        return "\n".join(lines) + "\n"

    def time_from_libc(self) -> None:
        """Make libc's `time` the machine's wall clock too, from the agent's next start on."""
        library = self.seams / LIBC_TIME
        source = Path(__file__).with_name("libc_time.c")
        command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-o", str(library), str(source)]
        if not library.exists():
            subprocess.run(command, check=True, capture_output=True, timeout=60.0)

    def stopping(self, target: str) -> None:
        """Let systemd say that the system stops for `target` (``reboot``, ``poweroff``)."""
        jobs = f"412 {target}.target start waiting\n"
        self._put_json(PROGRAMS, {IS_RUNNING: "stopping\n", LIST_JOBS: jobs})

    def exited(self, result: str, code: str, status: str) -> None:
        """Leave what ExecStopPost= notes of the daemon's end (systemd.exec(5))."""
        note = {"result": result, "code": code, "status": status}
        self._put({"/run/gateway/exit.json": json.dumps(note).encode()})

    def crash_dump(self, text: str) -> None:
        """Leave a kernel's last words in pstore (Linux ABI/testing/pstore)."""
        name = f"/sys/fs/pstore/dmesg-ramoops-{self._random.getrandbits(16)}"
        self._put({name: f"Panic#1 Part1\n<0>Kernel panic - not syncing: {text}\n".encode()})

    # -- while it runs -------------------------------------------------------------------------

    def supply_v(self, volts: float) -> None:
        """Set the supply's voltage."""
        files, replies = supply(self.board, volts)
        self._put(files)
        if replies:
            self._put_json(REPLIES, replies)

    def link(self, carrier: bool) -> None:
        """Give the uplink's interface its carrier and default route, or take both away."""
        self._downs += not carrier
        if not carrier and not self.traits.wifi:
            # Reading them of a link that is down gives EINVAL.
            for name in ("speed", "duplex"):
                (self.root / f"sys/class/net/{self.traits.interface}/{name}").unlink(True)
        self._put(link(self.board, carrier, self._downs))

    def unplug(self) -> None:
        """Take the adapter out: the interface and its routes are gone."""
        self._put({"/proc/net/route": link(self.board, False, 0)["/proc/net/route"]})
        aside = self.seams / "unplugged"
        shutil.rmtree(aside, ignore_errors=True)
        (self.root / "sys/class/net" / self.traits.interface).rename(aside)
        shutil.rmtree(aside)

    def plug(self) -> None:
        """Put the adapter back: an interface that starts to count anew."""
        self._downs = 0
        self.link(True)

    def radio_dbm(self, dbm: int) -> None:
        """Set how well the station is heard; associates it if it was not."""
        if self._radio.dbm is None:
            self.link(True)
        self._tune(Radio(self._radio.name, 3, dbm, self._radio.news, self._radio.reason))

    def radio_lost(self, reason: int = 4) -> None:
        """Disassociate the station (reason 4: inactivity, IEEE 802.11-2020 Table 9-49)."""
        self._tune(Radio(self._radio.name, 3, None, self._radio.news + 1, reason))
        self.link(False)

    def wall(self, off_s: float, *, synced: bool, boottime_s: float | None = None) -> None:
        """Set the wall clock off by `off_s`, and whether time synchronisation says it is right.

        `boottime_s`: how long this boot has lasted, ``None`` leaves that as it is.
        """
        path = self.seams / CLOCK_FILE
        real_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if boottime_s is not None:
            zero_ns = real_ns - round(boottime_s * 1e9)
        else:
            zero_ns = CLOCK.unpack(path.read_bytes())[0]
        packed = CLOCK.pack(zero_ns, round(off_s * 1e9))
        if not path.exists():
            path.write_bytes(packed)
        # In place, because the agent has it mapped.
        with path.open("r+b") as file, mmap.mmap(file.fileno(), CLOCK.size) as mapped:
            mapped[:] = packed
        mark = self.root / SYNCED.lstrip("/")
        if synced:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        else:
            mark.unlink(missing_ok=True)

    # -- writing -------------------------------------------------------------------------------

    def _tune(self, radio: Radio) -> None:
        self._radio = radio
        fields = ("name", "index", "dbm", "news", "reason")
        self._put_json(RADIO, {name: getattr(radio, name) for name in fields})

    def _put(self, files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            _replace(self.root / name.lstrip("/"), data)

    def _put_json(self, name: str, value: Mapping[str, object]) -> None:
        _replace(self.seams / name, json.dumps(value).encode())


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole; nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".new")
    aside.write_bytes(data)
    os.replace(aside, path)
