"""Pins how a device is found and named: presence, 43/14, probe clauses, plausible registers."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.modbus.crc import seal
from gateway.modbus.identify import (
    Answer,
    Candidate,
    Certainty,
    Clause,
    Identity,
    answered,
    frames_in,
    identification,
    identification_request,
    identify,
    presence_request,
    signature,
)
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.modbus.request import Request

READ = presence_request(7)


def spec(name: str, address: int, unit: str, kind: DataType = DataType.F32) -> PointSpec:
    """An input register point."""
    registers = 2 if kind is DataType.F32 else 1
    scale = 1.0 if kind is DataType.F32 else 0.1
    return PointSpec(name, Table.INPUT, address, kind, registers, unit, scale=scale)


ONE_PHASE = Candidate(
    "acme-one", "Acme", "ONE", (), (spec("voltage", 0, "V"), spec("frequency", 70, "Hz"))
)
THREE_PHASES = Candidate(
    "acme-three",
    "Acme",
    "THREE-3",
    (),
    (*(spec(f"voltage_l{i + 1}", 2 * i, "V") for i in range(3)), spec("frequency", 70, "Hz")),
)
ROOM = Candidate(
    "acme-room",
    "Acme",
    "R",
    (),
    (spec("temperature", 1, "°C", DataType.S16), spec("humidity", 2, "%RH", DataType.U16)),
)
MARKED = Candidate(
    "acme-marked",
    "Acme",
    "MARKED",
    (Clause(Table.HOLDING, 0x100, (0x4232, 0x3300), (0xFFFF, 0xFF00)),),
    (spec("voltage", 0, "V"),),
)


def floats(**at: float) -> Callable[[Request], Answer]:
    """A device with f32 values: ``r70=50.0``; everything else is refused."""
    cells = {int(name[1:]): struct.unpack(">2H", struct.pack(">f", v)) for name, v in at.items()}

    def answer(request: Request) -> Answer:
        return cells.get(request.address) if request.count == 2 else None

    return answer


def named(
    candidates: tuple[Candidate, ...],
    answer: Callable[[Request], Answer],
    said: tuple[str, ...] = (),
) -> tuple[Identity, list[Request]]:
    """Let `identify` ask a device; return the verdict and what was asked."""
    asked: list[Request] = []
    search = identify(7, candidates, said)
    try:
        request = next(search)
        while True:
            asked.append(request)
            request = search.send(answer(request))
    except StopIteration as done:
        identity: Identity = done.value
        return identity, asked


def test_any_reply_proves_a_device() -> None:
    """A good reply and an exception count; another unit's frame and garbage do not."""
    whole = answered(READ.frame)
    assert whole(seal(bytes((7, 4, 4, 0, 1, 0, 2))))
    assert whole(seal(bytes((7, 0x84, 2))))
    assert not whole(seal(bytes((8, 4, 4, 0, 1, 0, 2))))
    assert not whole(b"\x07\x04\x04\x00")
    assert not whole(b"")


def test_the_echo_of_the_request_is_no_answer() -> None:
    """An adapter that echoes does not make 247 devices."""
    assert frames_in(READ.frame, READ.frame) == []
    reply = seal(bytes((7, 0x84, 1)))
    assert frames_in(READ.frame + reply, READ.frame) == [reply]


def test_a_frame_is_found_behind_noise() -> None:
    """A character of line noise before a reply does not hide it."""
    reply = seal(bytes((9, 4, 4, 1, 2, 3, 4)))
    assert reply in frames_in(b"\xff" + reply)


@given(st.binary(max_size=300))
def test_frames_of_any_garbage_are_valid(data: bytes) -> None:
    """Whatever comes, only whole frames come out, and every one is a piece of it."""
    for frame in frames_in(data):
        assert frame in data
        assert len(frame) >= 4


def objects(*texts: bytes, more: int = 0, following: int = 0, first: int = 0) -> bytes:
    """A device identification reply (§6.21)."""
    body = b"".join(bytes((first + i, len(t))) + t for i, t in enumerate(texts))
    head = bytes((7, 43, 14, 1, 0x83, more, following, len(texts)))
    return seal(head + body)


def test_identification_request_is_seven_characters() -> None:
    """§6.21: unit id, 43, 14, code 1 (basic), object, CRC."""
    assert identification_request(7, 2) == seal(bytes((7, 43, 14, 1, 2)))


def test_identification_gives_the_objects() -> None:
    """Vendor, product and revision come as text, in order, and nothing is left to ask."""
    request = identification_request(7)
    got, more = identification(objects(b"Acme", b"TH-7", b"V1.2"), request)
    assert got == {0: "Acme", 1: "TH-7", 2: "V1.2"}
    assert more is None


def test_identification_that_does_not_fit_goes_on() -> None:
    """More Follows names the object to ask for next; one that leads back is not followed."""
    request = identification_request(7)
    assert identification(objects(b"Acme", more=0xFF, following=1), request)[1] == 1
    assert identification(objects(b"Acme", more=0xFF, following=0), request)[1] is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        seal(bytes((7, 0xAB, 1))),
        seal(bytes((8, 43, 14, 1, 0x83, 0, 0, 0))),
        seal(bytes((7, 43, 13, 1, 0x83, 0, 0, 0))),
        seal(bytes((7, 43))),
        seal(bytes((7, 43, 14, 1))),
    ],
    ids=["silence", "exception", "another unit", "another MEI", "too short", "headless"],
)
def test_anything_else_identifies_nothing(data: bytes) -> None:
    """A device without the function, or with a broken one, is simply not identified by it."""
    assert identification(data, identification_request(7)) == ({}, None)


@given(st.binary(max_size=60))
def test_identification_survives_any_objects(body: bytes) -> None:
    """Objects that are cut or lie about their length never raise, and texts stay printable."""
    request = identification_request(7)
    got, _ = identification(seal(bytes((7, 43, 14, 1, 0x83, 0, 0, 3)) + body), request)
    assert all(text.isprintable() and len(text) <= 64 for text in got.values())


def test_a_probe_clause_settles_it() -> None:
    """Registers that only this model has make the name certain; the masked byte may differ."""

    def answer(request: Request) -> Answer:
        return (0x4232, 0x3320) if request.address == 0x100 else None

    identity, asked = named((ONE_PHASE, MARKED), answer)
    assert (identity.profile, identity.certainty) == ("acme-marked", Certainty.CERTAIN)
    assert identity.evidence == ("holding 0x0100 holds 4232 3320",)
    assert len(asked) == 1


def test_a_probe_clause_that_differs_excludes_the_profile() -> None:
    """A meter with plausible voltage but another type text is not that model."""
    meter = floats(r0=230.0)

    def answer(request: Request) -> Answer:
        return (1, 1) if request.address == 0x100 else meter(request)

    assert named((MARKED,), answer)[0].profile is None


def test_a_refused_probe_leaves_plausibility() -> None:
    """An old firmware without the probe's register is named all the same, as probable."""
    identity, _ = named((MARKED,), floats(r0=230.0))
    assert (identity.profile, identity.certainty) == ("acme-marked", Certainty.PROBABLE)


def test_its_own_words_name_the_model() -> None:
    """A product code that holds the model's name is certain without further reads."""
    identity, asked = named((ONE_PHASE, THREE_PHASES), floats(), ("Acme Ltd", "Three 3 MID"))
    assert (identity.profile, identity.certainty) == ("acme-three", Certainty.CERTAIN)
    assert asked == []


def test_short_model_names_are_not_found_in_words() -> None:
    """A model called "R" is not in every text with an r."""
    assert named((ROOM,), floats(), ("Other maker",))[0].profile is None


def test_three_phases_are_told_from_one() -> None:
    """Both profiles share registers; the one whose further registers are there too wins."""
    three = floats(r0=230.1, r2=229.0, r4=231.5, r70=50.01)
    identity, _ = named((ONE_PHASE, THREE_PHASES), three)
    assert (identity.profile, identity.others) == ("acme-three", ())
    assert identity.certainty is Certainty.PROBABLE
    one = floats(r0=230.1, r70=50.01)
    assert named((ONE_PHASE, THREE_PHASES), one)[0].profile == "acme-one"


def test_registers_that_read_zero_speak_against_a_profile() -> None:
    """A single-phase meter that gives 0 for what it has not is not taken for a three-phase one."""
    zeros = floats(r0=230.1, r2=0.0, r4=0.0, r70=50.0)
    assert named((ONE_PHASE, THREE_PHASES), zeros)[0].profile == "acme-one"


def test_profiles_that_fit_as_well_are_named() -> None:
    """Look-alikes are said, not chosen in silence."""
    twin = Candidate("acme-twin", "Acme", "TWIN", (), ONE_PHASE.specs)
    identity, _ = named((ONE_PHASE, twin), floats(r0=230.0, r70=50.0))
    assert (identity.profile, identity.others) == ("acme-one", ("acme-twin",))


def test_implausible_values_name_nothing() -> None:
    """A humidity of 230 % or a frequency of 3 Hz is no such device."""

    def answer(request: Request) -> Answer:
        return (2300,) * request.count

    assert named((ROOM, ONE_PHASE), answer)[0] == Identity()
    assert named((ONE_PHASE,), floats(r0=230.0, r70=3.0))[0].profile is None


@pytest.mark.parametrize("value", [1e-30, float("nan"), -230.0, 1e9])
def test_floats_that_are_none_name_nothing(value: float) -> None:
    """Integers read as a float are tiny, broken or absurd: another profile's registers."""
    assert named((ONE_PHASE,), floats(r0=value, r70=50.0))[0].profile is None


def test_a_null_pattern_is_neither_for_nor_against() -> None:
    """A phase that the device says it has not got does not exclude its profile."""
    lamp = Candidate(
        "acme-lamp",
        "Acme",
        "LAMP",
        (),
        (
            PointSpec("v2", Table.INPUT, 4, DataType.U16, unit="V", null_patterns=(0xFFFF,)),
            spec("frequency", 70, "Hz"),
        ),
    )

    def answer(request: Request) -> Answer:
        return floats(r70=50.0)(request) if request.address == 70 else (0xFFFF,)

    assert named((lamp,), answer)[0].profile == "acme-lamp"


def test_values_that_are_only_possible_name_nothing() -> None:
    """Currents and temperatures alone could be anything."""
    loose = Candidate("acme-loose", "Acme", "LOOSE", (), (spec("current", 0, "A"),))
    assert named((loose,), floats(r0=3.0))[0].profile is None


def test_nothing_known_asks_nothing() -> None:
    """Without a profile there is nothing to ask, and the device's words are kept."""
    identity, asked = named((), floats(), ("Acme", "X"))
    assert (identity.profile, identity.said, asked) == (None, ("Acme", "X"), [])


def test_a_register_is_asked_once() -> None:
    """Profiles that share registers share the reads."""
    _, asked = named((ONE_PHASE, THREE_PHASES), floats(r0=230.0, r70=50.0))
    places = [(request.function, request.address, request.count) for request in asked]
    assert len(places) == len(set(places))


def test_a_signature_is_short_and_begins_with_what_tells() -> None:
    """Frequency first, texts and bit fields never, at most six."""
    many = Candidate(
        "many",
        "",
        "",
        (),
        (
            *(spec(f"current_{i}", 10 * i, "A") for i in range(9)),
            PointSpec("serial", Table.HOLDING, 900, DataType.STR, 8),
            PointSpec("alarm", Table.INPUT, 901, DataType.BITS, 1),
            spec("frequency", 70, "Hz"),
        ),
    )
    chosen = signature(many)
    assert chosen[0].name == "frequency"
    assert len(chosen) == 6
    assert {one.unit for one in chosen} == {"Hz", "A"}
