"""`[[serial]]`: what it may say, and what a technician is told of each mistake."""

import pytest

from gateway.config.agent import parse
from gateway.config.diff import diff
from gateway.config.serial import SerialSettings, Unavailable
from gateway.serial.builtin import BUILT_IN
from gateway.serial.format import Options
from gateway.serial.source import Asking
from gateway.serial.values import FieldSpec, FieldType

HEAD = """
[gateway]
id = "g"
[uplink]
url = "wss://centre.example.net/g"
"""
UPS = """
[[serial]]
name = "ups"
port = "/dev/serial/by-id/usb-ups"
baud = 2400
parity = "even"
data_bits = 7
stop_bits = 2
format = "delimited"
ask = "Q1\\r"
poll_interval_s = 5.0
timeout_s = 0.8
silent_after_s = 20.0

[serial.options]
fields = ["input", "load"]
delimiter = " "
start = "("
end = "\\r"

[[serial.point]]
name = "input_voltage"
field = "input"
unit = "V"
minimum = 0.0
maximum = 300.0
null_patterns = ["---.-"]
decimals = 1

[[serial.point]]
name = "load"
type = "text"
"""
FORMATS = {
    **BUILT_IN,
    "dsmr": Unavailable('found "dsmr", which needs dsmr_parser, not installed', "install it"),
}


def told(text: str) -> list[str]:
    """Return the problems of a file, without its name."""
    parsed = parse(HEAD + text, "g.toml", {}, formats=FORMATS)
    return [str(problem).removeprefix("g.toml:") for problem in parsed.problems]


def one(text: str) -> SerialSettings:
    """Return the one source of a good file."""
    parsed = parse(HEAD + text, "g.toml", {}, formats=FORMATS)
    assert parsed.settings is not None, parsed.problems
    (settings,) = parsed.settings.serials
    return settings


def test_everything_it_can_say() -> None:
    """Each key comes through, control characters as bytes."""
    settings = one(UPS)
    assert settings == SerialSettings(
        name="ups",
        port="/dev/serial/by-id/usb-ups",
        format="delimited",
        format_type=BUILT_IN["delimited"],
        options=Options.of(
            BUILT_IN["delimited"].OPTIONS,
            {"fields": ("input", "load"), "delimiter": " ", "start": "(", "end": "\r"},
        ),
        points=(
            FieldSpec(
                "input_voltage",
                "input",
                unit="V",
                minimum=0.0,
                maximum=300.0,
                null_patterns=("---.-",),
                decimals=1,
            ),
            FieldSpec("load", "load", FieldType.TEXT),
        ),
        baud=2400,
        parity="even",
        data_bits=7,
        stop_bits=2,
        asking=Asking(b"Q1\r", 5.0, 0.8),
        silent_after_s=20.0,
    )


def test_the_least_it_must_say() -> None:
    """A talking NMEA instrument takes three keys and a point."""
    settings = one(
        '[[serial]]\nname = "wind"\nport = "/dev/ttyS1"\nformat = "nmea"\n'
        '[[serial.point]]\nname = "speed"\nfield = "MWV.wind_speed"\n'
    )
    assert settings.asking is None and (settings.baud, settings.silent_after_s) == (9600, 60.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('format = "delimited"', 'format = "delimted"', 'did you mean "delimited"?'),
        ('format = "delimited"', 'format = "dsmr"', "needs dsmr_parser, not installed; install it"),
        ('format = "delimited"', "", "serial[ups].format: missing; add format"),
        ("baud = 2400", "baud = 2401", "serial[ups].baud: found 2401; give one of 300"),
        ("data_bits = 7", "data_bits = 9", "found 9; give a whole number from 7 to 8"),
        ('ask = "Q1\\r"', "", "poll_interval_s: given without ask"),
        ('ask = "Q1\\r"', "ask = 1", "serial[ups].ask: found 1; give a text of at most 256"),
        ('ask = "Q1\\r"', 'ask = "→"', "each character is a byte"),
        ("timeout_s = 0.8", "timeout_s = 8.0", "timeout_s: found 8; at most poll_interval_s (5)"),
        ("silent_after_s = 20.0", "silent_after_s = 2.0", "at least poll_interval_s (5)"),
        ('delimiter = " "', 'delimeter = " "', 'unknown key; did you mean "delimiter"?'),
        ('delimiter = " "', 'delimiter = ""', "serial[ups].options.delimiter: found"),
        ('delimiter = " "', "delimiter = 5", "options.delimiter: found 5; give a text"),
        ('start = "("', "merge = 1", "options.merge: found 1; give true or false"),
        ('start = "("', "max_length = 5000", "found 5000; give a whole number from 4 to 1024"),
        ('start = "("', "idle_gap_s = 0", "idle_gap_s: found 0; give a number from 0.005"),
        ('start = "("', 'check = "crc"', "options.check: found"),
        ('fields = ["input", "load"]', "", "options.fields: missing; give a name for each field"),
        ('fields = ["input", "load"]', "fields = []", "options.fields: found []; give a name"),
        ('fields = ["input", "load"]', 'fields = "x"', "options.fields: found"),
        ('field = "input"', 'field = "inptu"', 'has no field "inptu"; did you mean "input"?'),
        ('name = "load"', 'name = "input_voltage"', 'found "input_voltage" again'),
        ('type = "text"', 'type = "text"\nscale = 2.0', "scale: found on type text"),
        ('type = "text"', "scale = 0", "scale: found 0; a scale other than 0"),
        ("maximum = 300.0", "maximum = -1.0", "minimum: found 0; less than maximum -1"),
        ("decimals = 1", "decimals = 0", "decimals: found 0; give a whole number from 1 to 9"),
        ('name = "ups"', "", "name: missing"),
        ('port = "/dev/serial/by-id/usb-ups"', 'port = "COM1"', "a device path"),
        ("[serial.options]", "[serial.option]", 'unknown key; did you mean "options"?'),
    ],
)
def test_mistakes(old: str, new: str, message: str) -> None:
    """Each is told with its line, its key and its cure."""
    assert old in UPS
    problems = told(UPS.replace(old, new, 1))
    assert any(message in problem for problem in problems), problems
    assert all(problem[0].isdigit() for problem in problems)


def test_a_source_without_points() -> None:
    """Nothing would be read."""
    text = UPS[: UPS.index("[[serial.point]]")]
    assert told(text) == ["7:3: serial[ups].point: missing; add at least one [[serial.point]]"]


def test_names_and_ports_are_used_once() -> None:
    """Among sources, buses and devices alike: a reading's source and a port belong to one."""
    bus = (
        '[[bus]]\nname = "b"\nport = "/dev/serial/by-id/usb-ups"\n[[bus.device]]\nname = "ups"\n'
        'unit_id = 1\n[[bus.device.point]]\nname = "p"\ntable = "input"\naddress = 0\n'
        'type = "u16"\n'
    )
    assert [problem.partition("; ")[2] for problem in told(UPS + bus)] == [
        "give each source, bus and device its name",
        "give each source, bus and device its port",
    ]
    assert len(told(UPS + UPS)) == 2


def test_a_port_that_may_move() -> None:
    """As for a bus: the number of an adapter changes."""
    text = HEAD + UPS.replace("/dev/serial/by-id/usb-ups", "/dev/ttyUSB0")
    (warning,) = parse(text, "g.toml", {}).warnings
    assert "another adapter" in str(warning)


def test_a_plug_in_that_fails_is_a_problem_of_the_file() -> None:
    """Whatever a stranger's constructor raises."""

    class Broken(BUILT_IN["nmea"]):  # type: ignore[misc]  # a protocol's implementation
        def __init__(self, options: Options) -> None:
            raise RuntimeError("a bug")

    text = HEAD + UPS.replace('"delimited"', '"own"').replace("[serial.options]", "[serial.x]")
    parsed = parse(text, "g.toml", {}, formats={"own": Broken})
    assert any("cannot be made: RuntimeError('a bug')" in str(one) for one in parsed.problems)


def test_a_changed_source_restarts_alone() -> None:
    """Sources go by name among the buses."""
    before = parse(HEAD + UPS, "g.toml", {}).settings
    after = parse(HEAD + UPS.replace("5.0", "6.0", 1), "g.toml", {}).settings
    without = parse(HEAD, "g.toml", {}).settings
    assert before is not None and after is not None and without is not None
    assert diff(before, after).changed == ("ups",)
    assert diff(before, without).removed == ("ups",)
    assert diff(without, before).added == ("ups",)
