"""The conversation about a UPS: with NUT's own upsd, and with peers that misbehave."""

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.agent.ups import UpsReader
from gateway.host.alarm import UnderVoltage
from gateway.host.nut import UpsName, UpsReading
from tests.rig import free_port

NUT = Path("/lib/nut")
ON_LINE = "ups.status: OL CHRG\ninput.voltage: 230.4\nbattery.voltage: 27.30\n"
ON_BATTERY = "ups.status: OB DISCHRG\ninput.voltage: 0.0\nbattery.voltage: 25.10\n"


class Upsd:
    """NUT's server with its dummy driver, which says what stands in a file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._run: list[subprocess.Popen[bytes]] = []
        (directory / "ups.conf").write_text(
            f"[bench]\ndriver = dummy-ups\nport = {directory}/bench.dev\nmode = dummy-loop\n"
        )
        (directory / "upsd.conf").write_text(f"LISTEN 127.0.0.1 {self.port}\nMAXAGE 5\n")
        (directory / "upsd.users").write_text("")
        for name in ("ups.conf", "upsd.conf", "upsd.users"):
            (directory / name).chmod(0o640)
        self.say(ON_LINE)

    def say(self, text: str) -> None:
        """Let the UPS say this from its driver's next look on."""
        fresh = self.directory / "bench.new"
        fresh.write_text(text + "TIMER 1\n")
        fresh.replace(self.directory / "bench.dev")

    def start(self) -> None:
        for words in (
            [str(NUT / "dummy-ups"), "-D", "-a", "bench", "-u", "root"],
            [str(NUT / "upsd"), "-D", "-u", "root"],
        ):
            where = {"NUT_CONFPATH": str(self.directory), "NUT_STATEPATH": str(self.directory)}
            with (self.directory / "log").open("ab") as log:
                self._run.append(
                    subprocess.Popen(words, env=os.environ | where, stdout=log, stderr=log)
                )

    def stop(self) -> None:
        for process in self._run:
            process.terminate()
            process.wait(10)
        self._run.clear()


@pytest.fixture
def upsd(tmp_path: Path) -> Iterator[Upsd]:
    """A UPS on line. The directory is short: the driver's socket stands in it."""
    one = Upsd(tmp_path)
    yield one
    one.stop()


def read_until(reader: UpsReader, what: Callable[[UpsReading], bool]) -> UpsReading:
    deadline = time.monotonic() + 20
    while not what(found := reader.read()):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


@pytest.mark.system("upsd")
@pytest.mark.root
def test_what_nut_itself_says(upsd: Upsd) -> None:
    """Not there yet, on line, on battery, a name it does not know, gone, and there again."""
    reader = UpsReader(UpsName("bench", "127.0.0.1", upsd.port))
    assert "is nut-server running?" in reader.read().fault
    upsd.start()
    assert read_until(reader, lambda found: found.volts is not None) == UpsReading(
        230.4, UnderVoltage.OK
    )
    upsd.say(ON_BATTERY)
    assert read_until(reader, lambda found: found.alarm is UnderVoltage.UNDER).volts == 0.0
    battery = UpsReader(UpsName("bench", "127.0.0.1", upsd.port, "battery.voltage"))
    assert battery.read().volts == 25.1
    stranger = UpsReader(UpsName("other", "127.0.0.1", upsd.port))
    assert "UNKNOWN-UPS" in stranger.read().fault
    unmeasured = UpsReader(UpsName("bench", "127.0.0.1", upsd.port, "output.voltage"))
    assert "VAR-NOT-SUPPORTED" in unmeasured.read().fault
    for one in (battery, stranger, unmeasured):
        one.close()
    upsd.stop()
    assert read_until(reader, lambda found: bool(found.fault)).volts is None
    upsd.say(ON_LINE)
    upsd.start()
    assert read_until(reader, lambda found: not found.fault).volts == 230.4
    reader.close()


@contextlib.contextmanager
def peer(answers: Callable[[socket.socket], None]) -> Iterator[UpsName]:
    """Listen where upsd would, and treat each connection so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        answers(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield UpsName("bench", "127.0.0.1", server.getsockname()[1])
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def endless(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b"x" * 4096)


def stranger(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    connection.recv(100)


def hang_up(connection: socket.socket) -> None:
    connection.recv(10)


@pytest.mark.parametrize(
    ("misbehaviour", "told"),
    [
        (endless, "more than 1024 bytes"),
        (stranger, "not of NUT"),
        (hang_up, "closed"),
    ],
)
def test_a_peer_that_is_no_upsd(misbehaviour: Callable[[socket.socket], None], told: str) -> None:
    """A fault in words each time, nothing held, nothing raised."""
    with peer(misbehaviour) as name:
        reader = UpsReader(name)
        for _ in range(3):
            found = reader.read()
            assert found.volts is None and found.alarm is UnderVoltage.UNKNOWN
            assert told in found.fault or "reset" in found.fault.lower()
        reader.close()


def test_an_answer_in_pieces(tmp_path: Path) -> None:
    """However the bytes come; one connection for all questions."""
    connections = []

    def slow(connection: socket.socket) -> None:
        connections.append(1)
        held = b""
        while data := connection.recv(100):
            held += data
            while b"\n" in held:
                line, _, held = held.partition(b"\n")
                variable = line.split()[3]
                for byte in b'VAR bench %s "%s"\n' % (
                    variable,
                    b"OL" if variable == b"ups.status" else b"24.1",
                ):
                    connection.sendall(bytes([byte]))

    with peer(slow) as name:
        reader = UpsReader(name)
        assert reader.read() == reader.read() == UpsReading(24.1, UnderVoltage.OK)
        assert len(connections) == 1
        reader.close()
