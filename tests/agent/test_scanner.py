"""Pins the search on a virtual port: what is found, skipped, told; that interrupting keeps it."""

import contextlib
import os
import pty
import select
import struct
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.agent.bus import Bus
from gateway.agent.scanner import Found, Garbled, Scanner, Skipped, Step, Trying, Wanted
from gateway.cli.scan import candidates
from gateway.cli.snippet import snippet
from gateway.config.agent import BusSettings, parse
from gateway.errors import PortLostError
from gateway.modbus.crc import seal
from gateway.modbus.identify import Certainty
from gateway.modbus.search import Settings
from gateway.process.clock import Clock
from gateway.process.files import Profiles, profile_directories
from tests.virtual_site import virtual_bus

NAMES = candidates(Profiles(profile_directories()))
AT = Settings(19200, "none")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A port with a meter at 3 and a sensor at 12, at 19200 baud."""
    devices = ("abb-b23:3", "xymd02:12")
    with virtual_bus(tmp_path_factory.mktemp("bus"), 19200, *devices) as port:
        yield port


def scan(port: str, wanted: Wanted) -> list[Step]:
    """Run a whole scan."""
    return list(Scanner(port, wanted, NAMES, Clock()).run())


def found(steps: list[Step]) -> dict[int, str | None]:
    """Unit ids and profiles of what was found."""
    return {step.unit_id: step.identity.profile for step in steps if isinstance(step, Found)}


def test_a_usual_device_brings_the_others(port: str) -> None:
    """Where one of the usual unit ids answers, the rest are asked at once."""
    steps = scan(port, Wanted((AT,), (1, 3), (11, 12, 13), 0.06))
    assert found(steps) == {3: "abb-b23", 12: "xy-md02"}
    meter = next(step for step in steps if isinstance(step, Found))
    assert meter.identity.certainty is Certainty.CERTAIN
    assert meter.settings == AT


def test_a_wrong_baud_hears_nothing(port: str) -> None:
    """At another setting nobody answers, and the search goes on to the next."""
    steps = scan(port, Wanted((Settings(38400, "none"), AT), (3,), (), 0.06))
    assert [step.settings.baud for step in steps if isinstance(step, Trying)] == [38400, 19200]
    assert found(steps) == {3: "abb-b23"}


def test_a_parity_that_the_port_refuses_is_named_once(port: str) -> None:
    """A pty has no parity: said once, and no time is spent on it at other bauds."""
    settings = (Settings(9600, "even"), Settings(19200, "even"), AT)
    steps = scan(port, Wanted(settings, (3,), (), 0.06))
    (skipped,) = [step for step in steps if isinstance(step, Skipped)]
    assert "parity even is refused at any baud" in skipped.reason
    assert {step.settings for step in steps if isinstance(step, Trying)} == {AT}


def test_a_parity_refused_at_the_first_try_is_no_reason_to_give_up(port: str) -> None:
    """The kernel says EINVAL when nothing but the parity would change: the port itself is fine."""
    scan(port, Wanted((AT,), (3,), (), 0.06))  # the port is at 19200 8N1 now
    steps = scan(port, Wanted((Settings(19200, "even"), AT), (3,), (), 0.06))
    assert [step.settings.parity for step in steps if isinstance(step, Skipped)] == ["even"]
    assert found(steps) == {3: "abb-b23"}


def test_nobody_at_the_usual_ids_brings_all(port: str) -> None:
    """When no usual unit id answers anywhere, all are asked until a setting answers."""
    wanted = Wanted((Settings(38400, "none"), AT), (1,), (11, 12), 0.06)
    assert found(scan(port, wanted)) == {12: "xy-md02"}


def test_the_estimate_falls(port: str) -> None:
    """The time left is positive and gets less within a sweep."""
    steps = scan(port, Wanted((AT,), (20, 21, 22), (), 0.06))
    left = [step.left_s for step in steps if isinstance(step, Trying)][:3]
    assert left == sorted(left, reverse=True)
    assert left[-1] > 0


def test_what_was_found_stays_when_it_is_interrupted(port: str) -> None:
    """Each finding comes as it is made; leaving the iterator gives the port back."""
    steps = Scanner(port, Wanted((AT,), (3, 4, 5), (), 0.06), NAMES, Clock()).run()
    first = next(step for step in steps if isinstance(step, Found))
    assert first.unit_id == 3
    steps.close()  # type: ignore[attr-defined]
    again = Bus(BusSettings("b", port, 19200, "none"), Clock())
    again.open()
    again.close()


def test_a_port_that_is_in_use_is_refused(port: str) -> None:
    """The flock of whoever has the port keeps a search out."""
    holder = Bus(BusSettings("b", port, 19200, "none"), Clock())
    holder.open()
    try:
        with pytest.raises(PortLostError, match="in use"):
            scan(port, Wanted((AT,), (3,), (), 0.06))
    finally:
        holder.close()


def test_a_port_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Not skipped setting by setting."""
    with pytest.raises(PortLostError, match="does not exist"):
        scan(str(tmp_path / "none"), Wanted((AT,), (3,), (), 0.06))


@contextlib.contextmanager
def answering(answer: Callable[[bytes], bytes], delay_s: float = 0.0) -> Iterator[str]:
    """A port where each request (eight bytes, seven of 43/14) is answered so, after a delay."""
    master, slave = pty.openpty()
    tty.setraw(slave, termios.TCSANOW)
    stop = threading.Event()

    def serve() -> None:
        heard = b""
        while not stop.is_set():
            if select.select([master], [], [], 0.05)[0]:
                heard += os.read(master, 256)
            length = 7 if heard[1:2] == b"\x2b" else 8
            if len(heard) >= length:
                reply, heard = answer(heard[:length]), heard[length:]
                stop.wait(delay_s)
                os.write(master, reply)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        stop.set()
        thread.join()
        os.close(master)
        os.close(slave)


def test_an_answer_that_is_no_frame_is_told() -> None:
    """Two devices with one unit id: bytes, but no reply; nobody is invented."""
    with answering(lambda request: b"\x03\xff\x84\x00\x7f\x10") as port:
        steps = scan(port, Wanted((AT,), (3,), (), 0.06))
    assert {step.unit_id for step in steps if isinstance(step, Garbled)} == {3}
    assert found(steps) == {}


def registers(cells: dict[int, int]) -> Callable[[bytes], bytes]:
    """A device of unit id 3 with these holding registers; every other question is refused."""

    def answer(request: bytes) -> bytes:
        unit_id, function, first, count = struct.unpack(">BBHH", request[:6])
        if unit_id != 3:
            return b""
        wanted = range(first, first + count)
        if function != 3 or not all(address in cells for address in wanted):
            return seal(bytes((3, function | 0x80, 2)))
        data = struct.pack(f">{count}H", *(cells[address] for address in wanted))
        return seal(bytes((3, 3, len(data))) + data)

    return answer


def text(words: str, length: int) -> list[int]:
    """A SunSpec string."""
    raw = words.encode().ljust(2 * length, b"\0")
    return list(struct.unpack(f">{length}H", raw))


def test_a_sunspec_device_describes_itself() -> None:
    """Its maker, its model and its points come from the device; no profile is needed."""
    common = [*text("Acme", 16), *text("Sun 5", 16), *[0] * 34]
    chain = [0x5375, 0x6E53, 1, 66, *common, 103, 50, *[1] * 50, 0xFFFF, 0]
    cells = {40000 + i: word for i, word in enumerate(chain)}
    with answering(registers(cells), delay_s=0.002) as port:
        steps = scan(port, Wanted((AT,), (3,), (), 0.06))
    (device,) = [step for step in steps if isinstance(step, Found)]
    assert device.identity.said == ("Acme", "Sun 5")
    assert device.identity.evidence == ("SunSpec at 40000, models 1, 103",)
    assert device.identity.certainty is Certainty.CERTAIN
    names = [point.name for point in device.identity.points]
    assert "inverter.active_power" in names
    snippet_text = snippet(port, "bus", [device], Profiles(profile_directories()))
    head = '[gateway]\nid = "g"\n[uplink]\nurl = "wss://c/g"\n\n'
    parsed = parse(head + snippet_text, "f.toml", {})
    assert [str(one) for one in (*parsed.problems, *parsed.warnings)] == []
    assert parsed.settings is not None
    (made,) = parsed.settings.buses[0].devices
    assert made.name == "sun-5-bus-3"
    assert tuple(point.spec for point in made.points) == device.identity.points


def test_a_late_answer_counts_for_the_unit_that_gave_it() -> None:
    """A slow device is found while the next unit id is asked, under its own number."""

    def slow(request: bytes) -> bytes:
        return seal(bytes((3, request[1] | 0x80, 1))) if request[0] == 3 else b""

    with answering(slow, delay_s=0.06) as port:
        steps = scan(port, Wanted((AT,), (3, 4), (), 0.04))
    assert found(steps) == {3: None}
