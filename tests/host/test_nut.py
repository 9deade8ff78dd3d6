"""What upsd says of a UPS: names, answers, voltages, the feed's state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.host.alarm import UnderVoltage
from gateway.host.nut import UpsName, UpsReading, alarm_of, answer, question, reading, ups_name

UPS = UpsName("qnapups")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nut:ups", UpsName("ups")),
        ("nut:ups@10.0.0.5", UpsName("ups", "10.0.0.5")),
        ("nut:my-ups.1@nas.local:3500", UpsName("my-ups.1", "nas.local", 3500)),
        ("nut:ups@[fe80::1]:3493", UpsName("ups", "fe80::1")),
        ("nut:ups/battery.voltage", UpsName("ups", variable="battery.voltage")),
        ("nut:ups@h/input.L1-N.voltage", None),
        ("nut:ups@h/input.voltage", UpsName("ups", "h", variable="input.voltage")),
        ("nut:", None),
        ("nut:ups@h:0", None),
        ("nut:ups@h:65536", None),
        ("nut:a b", None),
        ("hwmon:ina226/in1", None),
    ],
)
def test_names(text: str, name: UpsName | None) -> None:
    """As NUT's own tools write them, with a voltage if one is wanted."""
    assert ups_name(text) == name


def test_what_is_asked() -> None:
    """One variable a line, the status last."""
    assert question(UPS, "ups.status") == b"GET VAR qnapups ups.status\n"
    assert UPS.variables == ("input.voltage", "battery.voltage", "ups.status")
    assert UpsName("u", variable="output.voltage").variables == ("output.voltage", "ups.status")


def test_answers() -> None:
    """The examples of NUT's net-protocol.txt, and the errors with their cures."""
    assert answer(b'VAR qnapups ups.status "OL CHRG"\n', UPS, "ups.status") == ("OL CHRG", "")
    escaped = b'VAR qnapups ups.mfr "a \\"b\\\\c"\n'
    assert answer(escaped, UPS, "ups.mfr") == ('a "b\\c', "")
    for line, told in (
        (b"ERR UNKNOWN-UPS\n", "`upsc -l` lists them"),
        (b"ERR DATA-STALE\n", "check its cable"),
        (b"ERR DRIVER-NOT-CONNECTED", "upsdrvctl start"),
        (b"ERR INVALID-ARGUMENT", "see the log of upsd"),
    ):
        value, fault = answer(line, UPS, "ups.status")
        assert value is None and told in fault


@pytest.mark.parametrize(
    "line",
    [
        b"SSH-2.0-OpenSSH_9.2p1\n",
        b'VAR other ups.status "OL"\n',
        b'VAR qnapups ups.load "3"\n',
        b'VAR qnapups ups.status "OL\n',
        b"",
    ],
)
def test_an_answer_to_something_else_ends_the_conversation(line: bytes) -> None:
    """Nothing behind it can be trusted."""
    with pytest.raises(ValueError, match="not of NUT"):
        answer(line, UPS, "ups.status")


@given(line=st.binary(max_size=300))
def test_any_line_is_an_answer_or_none(line: bytes) -> None:
    """Never another exception."""
    try:
        value, fault = answer(line, UPS, "ups.status")
    except ValueError:
        return
    assert (value is None) == bool(fault)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("OL", UnderVoltage.OK),
        ("OL CHRG LB", UnderVoltage.OK),
        ("OB DISCHRG", UnderVoltage.UNDER),
        ("OB LB", UnderVoltage.UNDER),
        ("LB", UnderVoltage.UNDER),
        ("OFF", UnderVoltage.UNKNOWN),
        ("BYPASS", UnderVoltage.UNKNOWN),
        ("", UnderVoltage.UNKNOWN),
        (None, UnderVoltage.UNKNOWN),
    ],
)
def test_the_status_is_the_feed_s_alarm(status: str | None, state: UnderVoltage) -> None:
    """On battery the feed has failed; what says neither is unknown, never good."""
    assert alarm_of(status) is state


def test_the_input_counts_before_the_battery() -> None:
    """The feed falls first; a UPS that does not measure it tells its battery; 0 V is a value."""
    none: tuple[None, str] = (None, "VAR-NOT-SUPPORTED: it does not tell")
    status = ("OL", "")
    assert reading(
        {"input.voltage": ("230.4", ""), "battery.voltage": ("27.3", ""), "ups.status": status}, UPS
    ) == UpsReading(230.4, UnderVoltage.OK)
    assert reading(
        {"input.voltage": none, "battery.voltage": ("27.3", ""), "ups.status": status}, UPS
    ) == UpsReading(27.3, UnderVoltage.OK)
    assert reading({"input.voltage": ("0.0", ""), "ups.status": ("OB", "")}, UPS) == UpsReading(
        0.0, UnderVoltage.UNDER
    )
    silent = reading({"input.voltage": none, "battery.voltage": none, "ups.status": status}, UPS)
    assert (silent.volts, silent.alarm) == (
        None,
        UnderVoltage.OK,
    ) and "NOT-SUPPORTED" in silent.fault
    odd = reading({"input.voltage": ("n/a", ""), "ups.status": status}, UPS)
    assert odd == UpsReading(None, UnderVoltage.OK, "it tells no voltage")
