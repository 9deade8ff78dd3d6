"""Pins the order in which devices are looked for."""

from gateway.modbus.search import (
    ALL_UNIT_IDS,
    BAUDS,
    PARITIES,
    Settings,
    question_s,
    settings_order,
    unit_ids_order,
)


def test_every_setting_is_tried_once_the_usual_first() -> None:
    """9600 8N1 is what makers ship, 19200 8E1 what the standard says; odd parity comes last."""
    order = settings_order(BAUDS, PARITIES)
    assert len(order) == len(set(order)) == len(BAUDS) * len(PARITIES)
    assert [str(one) for one in order[:3]] == ["9600 8N1", "19200 8E1", "9600 8E1"]
    odd = [one.parity == "odd" for one in order]
    assert odd == sorted(odd)


def test_how_profiles_ship_comes_early() -> None:
    """A setting that known devices leave the factory with is tried before the others."""
    order = settings_order(BAUDS, PARITIES, [Settings(115200, "even", 2)])
    assert order[2] == Settings(115200, "even")


def test_only_what_is_wanted_is_tried() -> None:
    """--baud and --parity hold, also against profiles."""
    assert settings_order((4800,), ("odd",), [Settings(9600, "none")]) == (Settings(4800, "odd"),)
    assert settings_order((300,), ("none",)) == (Settings(300, "none"),)


def test_unit_ids_the_usual_first_then_the_rest() -> None:
    """Every unit id is asked once; those of profiles are among the first."""
    quick, rest = unit_ids_order(ALL_UNIT_IDS, [192, 1])
    assert quick[:3] == (1, 2, 3)
    assert 192 in quick
    assert sorted(quick + rest) == list(ALL_UNIT_IDS)


def test_a_short_list_needs_no_second_round() -> None:
    """--units 3,40 is asked at every setting."""
    assert unit_ids_order((40, 3)) == ((40, 3), ())


def test_a_dead_unit_id_costs_its_characters_the_wait_and_the_silence() -> None:
    """At 9600 8N1: 8.3 ms of request, 60 ms, 3.6 ms of silence."""
    assert abs(question_s(Settings(9600, "none"), 0.06) - 0.07198) < 1e-4
    assert question_s(Settings(9600, "even"), 0.06) > question_s(Settings(9600, "none"), 0.06)
