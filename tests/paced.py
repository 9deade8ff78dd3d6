"""Driving the paced server and the libmodbus programs: independent peers for the bus.

Owns building the C sources of tests/bench (gcc, cached by content) and the control lines of
`paced_server.c`. What its registers hold from the start is `initial`, the same formula as there.
"""

import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.config.agent import BusSettings, DeviceSettings

SOURCES = Path(__file__).parent / "bench"
CONTROL_TIMEOUT_S = 10.0
FAULTS = (
    *("flip", "drop", "trunc", "split", "gbef", "gbet", "foreign", "fmaster", "wunit", "dup"),
    *("noreply", "late", "echo"),
)


def build(name: str, *libraries: str) -> Path:
    """Compile tests/bench/NAME.c once per content; return the program."""
    source = SOURCES / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"edge-gateway-programs-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    program = folder / f"{name}-{digest}"
    if not program.exists():
        fresh = folder / f"{name}-{digest}.{os.getpid()}"
        flags = [f"-l{library}" for library in libraries]
        subprocess.run(["gcc", "-O2", "-o", fresh, source, *flags], check=True)
        fresh.rename(program)
    return program


def initial(unit_id: int, address: int, kind: int = 0) -> int:
    """Return what a register holds from the start.

    `kind`: 0 holding, 1 input, 2 coils, 3 discrete inputs (of which the lowest bit counts).
    """
    x = (unit_id * 40503 + kind * 977 + address * 2654435761) & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 2246822519 & 0xFFFFFFFF
    x ^= x >> 13
    return x & 0xFFFF


def registers(unit_id: int, address: int, count: int, kind: int = 0) -> tuple[int, ...]:
    """Return the start values of `count` registers."""
    return tuple(initial(unit_id, at, kind) for at in range(address, address + count))


def characters_s(baud: int, bits: int, count: float) -> float:
    """Return how long `count` characters take."""
    return count * bits / baud


def silence_s(baud: int, bits: int) -> float:
    """Return t3.5 (1.75 ms above 19200 baud)."""
    return 0.00175 if baud > 19200 else characters_s(baud, bits, 3.5)


class PacedServer:
    """A paced server in a process of its own, on the tty `path`; units 1 and 2 answer.

    `seed` feeds its faults. `rt`: real-time priority, 0 for none.
    """

    def __init__(
        self,
        path: Path,
        baud: int = 19200,
        bits: int = 11,
        turnaround_ms: float = 2.0,
        delivery: str = "byte",
        model: str = "queue",
        seed: int = 1,
        relay: Path | None = None,
        rt: int = 0,
    ) -> None:
        self.path, self.baud, self.bits = path, baud, bits
        arguments = {
            "--link": path,
            "--baud": baud,
            "--bits": bits,
            "--turn-ms": turnaround_ms,
            "--delivery": delivery,
            "--model": model,
            "--seed": seed,
            "--rt": rt,
        }
        if relay is not None:
            arguments["--relay"] = relay
        self._process = subprocess.Popen(
            [build("paced_server"), *(str(x) for pair in arguments.items() for x in pair)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def tell(self, *words: object) -> dict[str, Any]:
        """Send one command line (see `command` in paced_server.c) and return its answer."""
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)
        answer = self._answer()
        assert "error" not in answer, f"{words}: {answer}"
        return answer

    def stats(self) -> dict[str, Any]:
        """Return the counts since the start or the last `reset`."""
        return self.tell("stats")

    def bus_settings(self, **changes: Any) -> BusSettings:
        """Return settings for this server's tty."""
        changes = {"name": "bus1", "devices": (), **changes}
        stop_bits = self.bits - 9  # start, 8 data, no parity on a pty
        return BusSettings(
            port=str(self.path), baud=self.baud, parity="none", stop_bits=stop_bits, **changes
        )

    def transaction_s(self, count: int, turnaround_s: float) -> float:
        """Return the physical limit of one read of `count` registers, silence included."""
        characters = characters_s(self.baud, self.bits, 8 + 5 + 2 * count)
        return characters + turnaround_s + silence_s(self.baud, self.bits)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(CONTROL_TIMEOUT_S)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the paced server died"
        answer: dict[str, Any] = json.loads(line)
        return answer


def device(unit_id: int, **changes: Any) -> DeviceSettings:
    """Return settings of a device without points: what the bus needs to know of it."""
    return DeviceSettings(name=f"unit{unit_id}", unit_id=unit_id, points=(), **changes)


class LibmodbusServer:
    """libmodbus's server as one unit, on the tty `path` (a paced server's relay)."""

    def __init__(self, path: Path, unit_id: int = 1) -> None:
        program = build("libmodbus_server", "modbus")
        self._process = subprocess.Popen(
            [program, str(path), str(unit_id)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"{}\n", "libmodbus's server did not start"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=CONTROL_TIMEOUT_S)
