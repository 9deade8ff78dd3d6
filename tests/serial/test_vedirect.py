"""VE.Direct blocks: the sum, HEX messages within, blocks cut short, a monitor's two kinds."""

import pytest

from gateway.serial.format import Options
from gateway.serial.line import Fault, FaultKind, Field, Line
from gateway.serial.vedirect import VeDirect

CHARGER = (("PID", "0xA042"), ("V", "12800"), ("VPV", "3350"), ("PPV", "130"), ("LOAD", "ON"))
MONITOR = (("PID", "0x203"), ("V", "26201"), ("SOC", "876"), ("Alarm", "OFF"))
HISTORY = tuple((f"H{n}", str(n)) for n in range(1, 19))


def block(fields: tuple[tuple[str, str], ...], hex_message: bytes = b"") -> bytes:
    """Return a block, with a HEX message (that no sum covers) behind its first field."""
    lines = [f"\r\n{label}\t{value}".encode() for label, value in fields]
    text = b"".join(lines) + b"\r\nChecksum\t"
    return lines[0] + hex_message + text[len(lines[0]) :] + bytes([-sum(text) % 256])


def made(*before: bytes) -> VeDirect:
    """Return a format that is in step and has seen these."""
    one = VeDirect(Options(()))
    one.reset(0.0, in_step=True)
    one.feed(b"".join(before), 0.0)
    return one


def read(format: VeDirect, data: bytes) -> list[dict[str, Field] | FaultKind]:
    """Return what came of bytes: fields of a block, or what was wrong."""
    found: list[Line | Fault] = format.feed(data, 1.0)
    return [dict(one.fields) if isinstance(one, Line) else one.kind for one in found]


def test_a_block_counts_from_the_second_alike_on() -> None:
    """One alone may be a longer one cut short whose sum fits by chance."""
    format, data = made(), block(CHARGER)
    assert read(format, data) == [FaultKind.FORMAT]
    assert read(format, data) == [dict(CHARGER)]
    changed = block((*CHARGER[:1], ("V", "11900"), *CHARGER[2:]))
    (fields,) = read(format, changed)
    assert isinstance(fields, dict) and fields["V"] == "11900"


def test_a_monitor_sends_two_kinds_in_turn() -> None:
    """Its history has a block of its own, whose points have their own source time."""
    both = block(MONITOR) + block(HISTORY)
    format = made(both)
    assert read(format, both) == [FaultKind.FORMAT, FaultKind.FORMAT]
    both_again = made(block(MONITOR) * 2, block(HISTORY) * 2)
    assert read(both_again, both) == [dict(MONITOR), dict(HISTORY)]
    assert format.group("H7") == "history" and format.group("H19") == ""


def test_a_hex_message_within_is_left_out() -> None:
    """Whoever asks the device by HEX does not spoil the text; a sum may be a colon itself."""
    for message in (b":7F0ED009600DB\n", b":A4F10000000008\n"):
        data = block(CHARGER, message)
        assert read(made(data, data), data) == [dict(CHARGER)]
    for n in range(4000):
        colon = block((*CHARGER, ("ERR", str(n))))
        if colon.endswith(b":"):
            break
    assert read(made(colon, colon), colon)[0] == dict((*CHARGER, ("ERR", str(n))))


@pytest.mark.parametrize(
    "fields",
    [
        (("P:D", "1"),),
        (("PID", "1"), ("", "2")),
        (("PID", "1"), ("VoltageAndMore", "2")),
        (("PID", "x" * 34),),
    ],
)
def test_what_is_no_field_is_no_block(fields: tuple[tuple[str, str], ...]) -> None:
    """Though its sum is right, however often it comes."""
    data = block(fields)
    assert set(read(made(), data * 3)) <= {FaultKind.FORMAT}


def test_a_flipped_bit_and_an_empty_block() -> None:
    """The sum finds any single bit; a block without fields is none."""
    data = block(CHARGER)
    for at in range(len(data) - 11):
        spoilt = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        found = read(made(data, data), spoilt)
        assert not any(isinstance(one, dict) for one in found), at
    empty = b"\r\nChecksum\t"
    assert read(made(), (empty + bytes([-sum(empty) % 256])) * 3) == 3 * [FaultKind.FORMAT]


def test_fields_are_labels() -> None:
    """As the paper writes them; the sum itself is none."""
    format = made()
    assert format.group("V") == format.group("SER#") == format.group("VPV") == ""
    assert format.group("Checksum") is None and format.group("battery voltage") is None


def test_kinds_remembered_are_bounded() -> None:
    """A device that changes its labels for ever costs no memory."""
    format = made()
    for n in range(50):
        data = block((("PID", "1"), (f"X{n}", "2")))
        assert read(format, data * 2)[-1] == {"PID": "1", f"X{n}": "2"}
    assert len(format._shapes) == 8
