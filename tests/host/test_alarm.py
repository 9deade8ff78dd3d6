"""The under-voltage alarm: three states, and that unknown is never good."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.host.alarm import (
    LEGACY_PATH,
    MODEL_PATH,
    THROTTLED_PATH,
    AlarmKind,
    UnderVoltage,
    alarm_state,
    combine,
    find_alarm,
    has_detector,
)

OK, UNDER, UNKNOWN = UnderVoltage.OK, UnderVoltage.UNDER, UnderVoltage.UNKNOWN
DRIVER = {
    "/sys/class/hwmon/hwmon1/name": b"rpi_volt\n",
    "/sys/class/hwmon/hwmon1/in0_lcrit_alarm": b"0\n",
}
FIRMWARE = {THROTTLED_PATH: b"throttled=0x50005"}
PI4 = {MODEL_PATH: b"Raspberry Pi 4 Model B Rev 1.4\0"}


@pytest.mark.parametrize(
    ("model", "has"),
    [
        *(("Raspberry Pi Zero 2 W Rev 1.0", False), ("Raspberry Pi Zero W Rev 1.1", False)),
        *(("Raspberry Pi 3 Model B Plus Rev 1.3", True), ("Raspberry Pi 5 Model B Rev 1.0", True)),
        *(("Raspberry Pi Compute Module 3 Plus Rev 1.0", False),),
        *(("Raspberry Pi Compute Module Rev 1.0", False),),
        *(("Raspberry Pi Compute Module 4 Rev 1.1", True),),
        *(("Raspberry Pi Compute Module 5 Rev 1.0", True),),
    ],
)
def test_which_boards_can_tell(model: str, has: bool) -> None:
    """The Zero family and the early compute modules have no detector."""
    assert has_detector(model) is has
    alarm, note = find_alarm({MODEL_PATH: model.encode() + b"\0", **DRIVER, **FIRMWARE})
    assert (alarm is not None) is has
    assert has or note == f"{model} has no under-voltage detector"


def test_the_order() -> None:
    """The driver, then the firmware's word, and the deprecated file only where neither is."""
    legacy = {LEGACY_PATH: b"0\n"}
    found = [find_alarm({**PI4, **files})[0] for files in (DRIVER, FIRMWARE, legacy, {})]
    kinds = [None if alarm is None else alarm.kind for alarm in found]
    assert kinds == [AlarmKind.HWMON, AlarmKind.FIRMWARE, AlarmKind.LEGACY, None]
    both, _ = find_alarm({**PI4, **DRIVER, **FIRMWARE, **legacy})
    assert both is not None and both.kind is AlarmKind.HWMON


@pytest.mark.parametrize(
    ("files", "data", "state"),
    [
        *((DRIVER, b"1\n", UNDER), (DRIVER, b"0\n", OK), (DRIVER, b"", UNKNOWN)),
        *((DRIVER, None, UNKNOWN), (DRIVER, b"2", UNKNOWN), (DRIVER, b"x", UNKNOWN)),
        *((FIRMWARE, b"throttled=0x1", UNDER), (FIRMWARE, b"throttled=0x50000", OK)),
        *((FIRMWARE, b"throttled=0x80000001", UNKNOWN), (FIRMWARE, None, UNKNOWN)),
        *(({LEGACY_PATH: b"0"}, b"50005\n", UNDER), ({LEGACY_PATH: b"0"}, b"0\n", OK)),
        *(({LEGACY_PATH: b"0"}, b"80000001\n", UNKNOWN), ({LEGACY_PATH: b"0"}, b"", UNKNOWN)),
    ],
)
def test_what_it_says(files: dict[str, bytes], data: bytes | None, state: UnderVoltage) -> None:
    """Set, not set, or not known; a mailbox error is not bits."""
    alarm, _ = find_alarm({**PI4, **files})
    assert alarm_state(alarm, data) is state


@pytest.mark.parametrize(
    ("alarm", "volts", "crit_v", "state"),
    [
        *((UNKNOWN, None, None, UNKNOWN), (UNKNOWN, 12.0, None, UNKNOWN)),
        *((UNKNOWN, None, 4.7, UNKNOWN), (UNKNOWN, 5.1, 4.7, OK), (UNKNOWN, 4.6, 4.7, UNDER)),
        *((OK, None, None, OK), (OK, 4.6, 4.7, UNDER), (UNDER, 5.1, 4.7, UNDER)),
        *((UNDER, None, None, UNDER), (OK, 5.1, 4.7, OK)),
    ],
)
def test_together(
    alarm: UnderVoltage, volts: float | None, crit_v: float | None, state: UnderVoltage
) -> None:
    """Either one is believed when it says "under"; "ok" takes one that can tell."""
    assert combine(alarm, volts, crit_v) is state


@given(st.dictionaries(st.sampled_from([*DRIVER, *FIRMWARE, *PI4, LEGACY_PATH]), st.binary()))
def test_garbage_is_never_good(files: dict[str, bytes]) -> None:
    """Only a clear zero of a board that can tell is good."""
    alarm, _ = find_alarm(files)
    state = alarm_state(alarm, files.get(alarm.path) if alarm else None)
    if state is OK:
        assert alarm is not None and any(
            digit in files[alarm.path] for digit in b"0123456789abcdefABCDEF"
        )
    if (
        b"Zero" in files.get(MODEL_PATH, b"").split(b"\n")[0]
        and b"Raspberry Pi" in files[MODEL_PATH]
    ):
        assert state is UNKNOWN
