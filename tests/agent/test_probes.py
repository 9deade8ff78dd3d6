"""The seams on this very machine: netlink answers, programs end, nothing raises."""

import sys

from gateway.agent.probes import KernelNetlink, firmware_reply, program_output
from gateway.agent.wifi import _is_end
from gateway.host.netlink import NLMSG_ERROR, family, get_family, messages


def test_the_kernel_answers_generic_netlink() -> None:
    """`nlctrl` is family 16 on every Linux; a family that is not there is errno 2."""
    netlink = KernelNetlink()
    try:
        (datagram,) = netlink.ask(get_family("nlctrl", 7), _is_end(7))
        found = [family(message) for message in messages(datagram)]
        assert found[0] is not None and (found[0].id, found[0].group("notify")) == (16, 16)
        netlink.subscribe(16)
        assert netlink.pending() == []
        (datagram,) = netlink.ask(get_family("no_such_family", 8), _is_end(8))
        (message,) = messages(datagram)
        assert (message.type, message.error) == (NLMSG_ERROR, 2)
    finally:
        netlink.close()


def test_a_question_nobody_answers_ends() -> None:
    """The time-out gives what came, and the next question is not confused by it."""
    netlink = KernelNetlink()
    try:
        netlink.ask(get_family("nlctrl", 1), lambda datagram: False)
        assert netlink.ask(get_family("nlctrl", 2), _is_end(2))
    finally:
        netlink.close()


def test_programs() -> None:
    """Output, failure, absence and a program that does not end."""
    run = sys.executable
    assert program_output((run, "-c", "print('x')"), 10.0) == b"x\n"
    assert program_output((run, "-c", "raise SystemExit(3)"), 10.0) is None
    said = (run, "-c", "print('degraded'); raise SystemExit(1)")
    assert program_output(said, 10.0) == b"degraded\n"
    assert program_output(("no-such-program-here",), 1.0) is None
    assert program_output((run, "-c", "import time; time.sleep(60)"), 0.2) is None


def test_no_firmware_here() -> None:
    """A machine without the device says nothing."""
    assert firmware_reply("get_throttled") is None
