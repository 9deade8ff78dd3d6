"""What the gateway remembers of itself, across starts, crashes of the disk and damage."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.agent import boots as boots_module
from gateway.agent.boot_records import TraceFile, TracePoint, state_from, state_json, trace_from
from gateway.agent.boots import (
    MAX_BOOTS,
    Boots,
    Instant,
    mark_stopping,
    read_boots,
    read_state,
    read_trace,
    trace_names,
)
from gateway.host.boot_evidence import BootEvidence
from gateway.host.reboot import Phase, RebootClass

S = 1_000_000_000
WALL = 1_800_000_000 * S


def evidence(boot: int, **fields: object) -> BootEvidence:
    found = BootEvidence(f"{boot:032x}", model="Raspberry Pi 5 Model B Rev 1.0")
    return replace(found, **fields)


def at(boottime_s: float, wall_s: float = 0.0, synced: bool = True) -> Instant:
    return Instant(round(boottime_s * S), WALL + round(wall_s * S), synced)


def started(directory: Path, boot: int, when: Instant, **fields: object) -> Boots:
    boots = Boots(directory)
    boots.begin(evidence(boot, **fields), when)
    boots.flush().result()
    return boots


def test_the_course_of_a_gateways_life(tmp_path: Path) -> None:
    """First start, orderly reboot, crash within the boot, pulled plug: each from the files."""
    first = started(tmp_path, 1, at(10))
    assert first.verdict is not None and first.verdict.reboot is RebootClass.FIRST_START
    first.write(at(50), Phase.SYSTEM_STOPPING, "reboot")
    first.close()
    second = started(tmp_path, 2, at(10, 100))
    assert second.verdict is not None and second.verdict.reboot is RebootClass.ORDERLY_REBOOT
    second.close()
    crashed = started(tmp_path, 2, at(60, 150))
    assert crashed.verdict is not None and crashed.verdict.reboot is RebootClass.DAEMON_CRASH
    crashed.close()
    third = started(tmp_path, 3, at(10, 900), rsts=0x1000)
    assert third.verdict is not None and third.verdict.reboot is RebootClass.POWER_CUT
    third.settle(at(11, 901))
    third.close()
    kept = read_boots(tmp_path)
    assert [(b.number, b.reboot, b.restarts, b.crashes) for b in kept] == [
        (1, "first_start", 0, 0),
        (2, "orderly_reboot", 1, 1),
        (3, "power_cut", 0, 0),
    ]
    assert third.totals == {
        "first_start": 1,
        "orderly_reboot": 1,
        "daemon_crash": 1,
        "power_cut": 1,
    }


def test_a_sag_before_the_end_is_remembered(tmp_path: Path) -> None:
    """The state says that the supply was still low, and the next boot is a brown-out."""
    boots = started(tmp_path, 1, at(10))
    boots.supply(True, at(500))
    boots.close()
    after = started(tmp_path, 2, at(5), rsts=0x1000)
    assert after.verdict is not None and after.verdict.reboot is RebootClass.BROWN_OUT
    after.close()


def test_a_sag_that_was_over_explains_only_half_a_minute(tmp_path: Path) -> None:
    """The centre's last reading says how long ago it was."""
    boots = started(tmp_path, 1, at(10))
    boots.supply(True, at(500))
    boots.supply(False, at(520))
    boots.close()
    after = Boots(tmp_path)
    told = {"boot_id": f"{1:032x}", "last_source_time_ns": 545 * S}
    assert after.last_seen(told, at(5)).undervoltage_age_s == 25.0
    assert after.last_seen({**told, "boot_id": "another"}, at(5)).undervoltage_age_s == 0.0
    after.close()


def test_a_sag_that_only_the_centre_has_counts(tmp_path: Path) -> None:
    """The card lost the last minutes; what reached the centre makes it a brown-out, not later
    than half a minute before the last record."""
    started(tmp_path, 1, at(10)).close()
    told = {"boot_id": f"{1:032x}", "last_source_time_ns": 545 * S}
    boots = started(tmp_path, 2, at(5), rsts=0x1000)
    assert boots.verdict is not None and boots.verdict.reboot is RebootClass.POWER_CUT
    assert boots.revise({**told, "low_source_time_ns": 510 * S}, at(30)) is None
    another = {**told, "boot_id": "another", "low_source_time_ns": 540 * S}
    assert boots.revise(another, at(30)) is None
    revised = boots.revise({**told, "low_source_time_ns": 540 * S}, at(30))
    assert revised is not None and (revised.reboot, revised.rule) == (RebootClass.BROWN_OUT, 7)
    assert revised.evidence[0] == "supply low 5 s before the last record"
    boots.close()


def test_the_silence_takes_the_centre_and_a_clock(tmp_path: Path) -> None:
    """Without either it is unknown; with both the class may be another."""
    started(tmp_path, 1, at(10)).close()
    boots = started(tmp_path, 2, at(20, 10_000, synced=False))
    assert boots.verdict is not None and boots.verdict.reboot is RebootClass.UNCLEAN_UNKNOWN
    told = {"boot_id": f"{1:032x}", "last_wall_ns": WALL + 5_000 * S}
    assert boots.last_seen(told, at(20, 10_000, synced=False)).gap_s is None
    assert boots.last_seen(told, at(20, 10_000)).gap_s == 4_980.0
    revised = boots.revise(told, at(30, 10_010))
    assert revised is not None and revised.reboot is RebootClass.POWER_CUT and revised.rule == 11
    assert boots.revise(told, at(40, 10_020)) is None
    boots.close()
    (_, last) = read_boots(tmp_path)
    assert (last.reboot, last.revised) == ("power_cut", True)
    assert boots.totals == {"first_start": 1}


def test_a_boot_is_counted_once_its_class_is_final(tmp_path: Path) -> None:
    """No total ever shrinks: a counter that does would count twice."""
    started(tmp_path, 1, at(10)).close()
    boots = started(tmp_path, 2, at(20, 10_000, synced=False))
    assert boots.totals == {"first_start": 1}
    told = {"boot_id": f"{1:032x}", "last_wall_ns": WALL + 5_000 * S}
    assert boots.revise(told, at(30, 10_010)) is not None
    assert boots.totals == {"first_start": 1}
    boots.settle(at(30, 10_010))
    boots.settle(at(31, 10_011))
    assert boots.totals == {"first_start": 1, "power_cut": 1}
    boots.close()
    state = read_state(tmp_path)
    assert state is not None and (state.uncounted, dict(state.totals)) == ("", boots.totals)


def test_a_boot_that_nobody_judged_is_counted_by_the_next_start(tmp_path: Path) -> None:
    """Also when the agent was killed: what was still open stands in the state file."""
    started(tmp_path, 1, at(10)).close()
    started(tmp_path, 2, at(20, 10_000, synced=False)).close()
    restarted = started(tmp_path, 2, at(90, 10_070, synced=False))
    assert restarted.totals == {"first_start": 1, "unclean_unknown": 1, "daemon_crash": 1}
    restarted.close()
    again = started(tmp_path, 2, at(95, 10_075, synced=False))
    assert again.totals == {"first_start": 1, "unclean_unknown": 1, "daemon_crash": 2}
    again.close()


def test_direct_evidence_is_not_revised(tmp_path: Path) -> None:
    """Rules 1 to 6 do not depend on the silence."""
    started(tmp_path, 1, at(10)).close()
    boots = started(tmp_path, 2, at(20, 10_000), bootstatus=(("watchdog0", 32),))
    told = {"boot_id": f"{1:032x}", "last_wall_ns": WALL}
    assert boots.revise(told, at(30, 10_010)) is None
    boots.close()


def test_thirty_two_boots(tmp_path: Path) -> None:
    """Older ones are forgotten; their number and totals are not."""
    for boot in range(1, 41):
        started(tmp_path, boot, at(10)).close()
    kept = read_boots(tmp_path)
    assert len(kept) == MAX_BOOTS and kept[-1].number == 40
    state = read_state(tmp_path)
    assert state is not None and dict(state.totals)["unclean_unknown"] == 38
    assert state.uncounted == "unclean_unknown"


def test_the_mark_of_a_stopping_system(tmp_path: Path) -> None:
    """It is only made in a state of this very boot."""
    assert not mark_stopping(tmp_path, "reboot", "0" * 32)
    started(tmp_path, 1, at(10)).close()
    assert not mark_stopping(tmp_path, "reboot", "f" * 32)
    assert mark_stopping(tmp_path, "poweroff", f"{1:032x}")
    state = read_state(tmp_path)
    assert state is not None
    assert (state.memory.phase, state.memory.target) == (Phase.SYSTEM_STOPPING, "poweroff")


def trace(number: int, points: int = 1) -> TraceFile:
    point = TracePoint(number * S, 11.5, "under", "eth0", (("eth0", True, None),))
    return TraceFile("supply_low", 7, number * S, WALL, True, (point,) * points)


def test_traces_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest give way, by number and by size."""
    monkeypatch.setattr(boots_module, "MAX_TRACES", 5)
    boots = Boots(tmp_path)
    for number in range(1, 9):
        boots.keep_trace(trace(number))
    boots.flush().result()
    names = trace_names(tmp_path)
    assert [read_trace(tmp_path, name) for name in names] == [trace(n) for n in range(4, 9)]
    monkeypatch.setattr(boots_module, "_TRACE_BYTES", 20_000)
    for number in range(9, 14):
        boots.keep_trace(trace(number, 120))
    boots.close()
    sizes = [(tmp_path / "traces" / name).stat().st_size for name in trace_names(tmp_path)]
    assert 0 < sum(sizes) <= 20_000


def test_a_disk_that_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and the class is known all the same."""
    boots = started(tmp_path / "not-there", 1, at(10))
    assert boots.verdict is not None and boots.verdict.reboot is RebootClass.FIRST_START
    boots.close()
    assert len([r for r in caplog.records if "state cannot be kept" in r.message]) == 1


def test_damaged_files_are_no_files(tmp_path: Path) -> None:
    """Half a state is none: the next start is a first one."""
    started(tmp_path, 1, at(10)).close()
    text = (tmp_path / "state.json").read_text()
    (tmp_path / "state.json").write_text(text[: len(text) // 2])
    (tmp_path / "boots.json").write_text('{"boots": [1, {"number": "x"}, null]}')
    assert read_state(tmp_path) is None and read_boots(tmp_path) == ()
    assert read_trace(tmp_path, "../state.json") is None


def test_a_state_survives_json(tmp_path: Path) -> None:
    """What is read is what was written."""
    boots = started(tmp_path, 1, at(10), power_reset=2)
    boots.supply(True, at(20))
    boots.close()
    assert boots.state is not None
    assert state_from(json.loads(json.dumps(state_json(boots.state)))) == boots.state


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=10,
)


@settings(max_examples=150)
@given(st.data())
def test_json_of_another_form(data: st.DataObject) -> None:
    """Any value in the place of any field reads as a whole state or as none."""
    boots_state = {
        **{"boot_id": "x", "phase": "running", "target": "", "power_reset": None},
        **{"disks": [["a", 1, 2]], "pstore": ["k"], "number": 1, "boottime_ns": 1, "wall_ns": 1},
        **{"synced": True, "low_since_ns": None, "low_until_ns": None, "totals": {"a": 1}},
    }
    assert state_from(boots_state) is not None
    for key in data.draw(st.sets(st.sampled_from(sorted(boots_state)), min_size=1, max_size=3)):
        boots_state[key] = data.draw(json_values)
    state_from(boots_state)
    trace_from({"reason": "x", "boot": 1, "boottime_ns": 1, "wall_ns": 1, **boots_state})
    trace_from(
        {
            **{"reason": "x", "boot": 1, "boottime_ns": 1, "wall_ns": 1},
            "points": data.draw(st.lists(json_values, max_size=3)),
        }
    )
