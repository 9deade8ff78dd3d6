"""A virtual RS-485 bus as a context: its process, its port, its counts.

Owns starting and ending `python -m gateway.cli.virtual_bus` with chosen devices.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.child import Child


@contextlib.contextmanager
def virtual_bus(directory: Path, baud: int, *devices: str) -> Iterator[str]:
    """Run a bus with devices (``sdm120:3``); yield its port."""
    command = [sys.executable, "-m", "gateway.cli.virtual_bus", "--baud", str(baud)]
    for device in devices:
        command += ["--device", device]
    child = Child(f"bus at {baud}", command, directory / f"bus{baud}.log", pipes=True)
    try:
        port: str = json.loads(child.line())["port"]
        yield port
    finally:
        child.process.communicate("", timeout=30)
