"""A cabinet as a technician finds it: a bus with a sensor, an inverter, a scale and a small UPS.

Owns the virtual devices behind it and the file that describes them; who reads them (an agent, a
command by itself) is the test's.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.process.control_client import ControlClient, NoAgentError
from tests.agent.test_port import Pty
from tests.agent.test_serial_reader import Ups
from tests.inverter import inverter
from tests.rig import Daemon, free_port
from tests.site import wait_for
from tests.virtual_site import virtual_bus

CONFIG = """
[gateway]
id = "site-1"
state_directory = "{directory}"
[uplink]
url = "ws://127.0.0.1:1/gateway"
[spool]
directory = "{directory}/spool"
max_bytes = 8388608
keep_free_bytes = 0
[metrics]
listen = "127.0.0.1:{metrics}"
[[bus]]
name = "b"
port = "{port}"
baud = 19200
parity = "none"
[[bus.device]]
name = "room"
unit_id = 12
profile = "xy-md02"
poll_interval_s = 0.2
[[bus]]
name = "roof"
port = "{roof}"
baud = 115200
parity = "none"
[[bus.device]]
name = "pv"
unit_id = 1
profile = "sunspec"
poll_interval_s = 0.2
[[serial]]
name = "scale"
port = "{scale}"
format = "regex"
[serial.options]
pattern = 'ST,GS,(?P<weight>[+-]\\d+\\.\\d)kg'
[[serial.point]]
name = "weight"
unit = "kg"
decimals = 1
[[serial]]
name = "ups"
port = "{ups}"
format = "delimited"
ask = "Q1\\r"
poll_interval_s = 60
timeout_s = 0.3
[serial.options]
start = "("
end = "\\r"
delimiter = " "
fields = ["count", "frequency"]
[[serial.point]]
name = "count"
[[serial.point]]
name = "frequency"
unit = "Hz"
"""


class Scale(threading.Thread):
    """Says its weight every 0.1 s; `garbled`: something that no pattern fits."""

    def __init__(self, pty: Pty) -> None:
        super().__init__(daemon=True)
        self._pty = pty
        self._stopped = threading.Event()
        self.garbled = False

    def run(self) -> None:
        while not self._stopped.wait(0.1):
            os.write(self._pty.adapter, b"?!\xff\r\n" if self.garbled else b"ST,GS,+0012.3kg\r\n")

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def agent_listens(path: Path) -> bool:
    """Say whether an agent serves the control socket (a killed one leaves its file)."""
    with contextlib.suppress(NoAgentError):
        ControlClient(path).close()
        return True
    return False


@dataclass(slots=True)
class Cabinet:
    """The devices, and the file. No agent runs until `agent` is entered."""

    directory: Path
    scale: Scale
    ups: Ups
    scale_pty: Pty

    @property
    def file(self) -> Path:
        return self.directory / "gateway.toml"

    def listens(self) -> bool:
        return agent_listens(self.directory / "control.sock")

    @contextlib.contextmanager
    def agent(self) -> Iterator[Daemon]:
        """Run an agent with the file until the block ends."""
        daemon = Daemon(["run", "--config", str(self.file)], self.directory / "log")
        daemon.start()
        try:
            wait_for("the control socket", lambda: daemon.check() is None and self.listens())
            yield daemon
        finally:
            daemon.ensure_gone()


@contextlib.contextmanager
def cabinet(directory: Path) -> Iterator[Cabinet]:
    """Switch everything on."""
    scale_pty, ups_pty = Pty(directory / "scale"), Pty(directory / "ups")
    with contextlib.ExitStack() as stack:
        stack.callback(scale_pty.close)
        stack.callback(ups_pty.close)
        port = stack.enter_context(virtual_bus(directory, 19200, "xymd02:12"))
        pv = stack.enter_context(inverter())
        ups = stack.enter_context(Ups(ups_pty))
        scale = Scale(scale_pty)
        scale.start()
        stack.callback(scale.stop)
        found = Cabinet(directory, scale, ups, scale_pty)
        found.file.write_text(
            CONFIG.format(
                directory=directory,
                metrics=free_port(),
                port=port,
                roof=pv.port,
                scale=scale_pty.path,
                ups=ups_pty.path,
            )
        )
        yield found
