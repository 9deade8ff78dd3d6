"""The bench's judge is strict: right, honestly unknown or wrong, and every loss counted once."""

from dataclasses import replace

from gateway.correlation.report import Report
from gateway.correlation.verdict import Cause, HeldBy, Incident, Loss
from gateway.host.reboot import Confidence
from hil.comparison import NOTHING, compare, matrix, summary
from hil.ledger import Entry, Expected

S = 1_000_000_000


def entry(number: int, fault: str, at_s: int, expected: Expected) -> Entry:
    """Return a fault that lasted ten seconds."""
    done = Entry(number, fault, "gateway", expected, at_s * S)
    done.injected_ns, done.cleared_ns = (at_s + 1) * S, (at_s + 5) * S
    done.settled_ns = (at_s + 10) * S
    return done


def loss(gateway: str, at_s: int, cause: Cause, held_by: HeldBy = HeldBy.NOTHING) -> Loss:
    """Return a loss."""
    return Loss(
        gateway=gateway,
        session=1,
        node="a",
        proxy="",
        software="",
        labels=(),
        opened_ns=0,
        lost_ns=at_s * S,
        returned_ns=(at_s + 5) * S,
        cause=cause,
        confidence=Confidence.CERTAIN,
        held_by=held_by,
        pending=False,
    )


def report(*incidents: tuple[Loss, ...]) -> Report:
    """Return a report of these incidents."""
    made = tuple(
        Incident(
            identity=str(number),
            started_ns=losses[0].lost_ns,
            ended_ns=None,
            cause=losses[0].cause,
            confidence=Confidence.CERTAIN,
            quiet=False,
            losses=losses,
            groups=(),
            drop=None,
        )
        for number, losses in enumerate(incidents)
    )
    return Report(0, 1000 * S, (), made, 4, 4)


RADIO = entry(1, "wifi_fades", 100, Expected(("gw-1",), Cause.RADIO))
CUT = entry(2, "power", 100, Expected(("gw-2",), Cause.BROWN_OUT, also=(Cause.POWER_CUT,)))


def test_all_right_leaves_nothing_to_say() -> None:
    """A cause that is right as well counts as right."""
    found = compare(
        [RADIO, CUT],
        report((loss("gw-1", 103, Cause.RADIO),), (loss("gw-2", 104, Cause.POWER_CUT),)),
    )
    assert (found.right, found.unknown, len(found.wrong), found.share) == (2, 0, 0, 1.0)
    assert found.shortcomings() == []


def test_unknown_is_not_wrong_but_not_right_either() -> None:
    """Honest, and still it counts against the share."""
    found = compare([RADIO], report((loss("gw-1", 103, Cause.UNKNOWN),)))
    assert (found.right, found.unknown, len(found.wrong), found.share) == (0, 1, 0, 0.0)
    assert any("0.0%" in line for line in found.shortcomings())


def test_a_wrong_cause_is_named() -> None:
    """One wrong verdict among a hundred right ones is still a shortcoming."""
    found = compare([RADIO], report((loss("gw-1", 103, Cause.PATH_DEAD),)))
    assert len(found.wrong) == 1
    assert any("path_dead" in line for line in found.shortcomings(least=0.0))


def test_power_without_power_is_blamed_wherever_it_is_said() -> None:
    """Also of a loss nothing was injected for."""
    found = compare(
        [RADIO],
        report((loss("gw-1", 103, Cause.BROWN_OUT),), (loss("gw-9", 300, Cause.POWER_CUT),)),
    )
    assert len(found.blamed) == 2
    assert not compare([CUT], report((loss("gw-2", 103, Cause.BROWN_OUT),))).blamed


def test_a_gateway_in_no_incident_is_missed() -> None:
    """It lowers the share."""
    found = compare([RADIO, CUT], report((loss("gw-1", 103, Cause.RADIO),)))
    assert found.missed == ((2, "gw-2"),)
    assert found.share == 0.5


def test_a_loss_at_another_time_belongs_to_nothing() -> None:
    """It is false, and has a row of its own."""
    found = compare([RADIO], report((loss("gw-1", 150, Cause.RADIO),)))
    assert len(found.false) == 1 and found.missed == ((1, "gw-1"),)
    _, rows = matrix(found)
    assert rows[-1][0] == NOTHING


def test_two_incidents_of_one_fault_are_one_too_many() -> None:
    """And two faults in one incident one too few."""
    both = entry(1, "reset", 100, Expected(("gw-1", "gw-2"), Cause.RESET_IN_PATH))
    one, two = (loss(name, 103, Cause.RESET_IN_PATH) for name in ("gw-1", "gw-2"))
    assert compare([both], report((one,), (two,))).split == (1,)
    assert compare([both], report((one, two))).split == ()
    merged = compare([RADIO, CUT], report((replace(one, cause=Cause.RADIO), two)))
    assert merged.merged == (1, 2)


def test_a_fault_that_comes_back_may_stay_one_incident() -> None:
    """The same fault of the same gateways, twice; of other gateways it is another fault."""
    first, again, other = (
        entry(number, "idle", at_s, Expected((gateway,), Cause.PROXY_IDLE))
        for number, at_s, gateway in ((1, 100, "gw-1"), (2, 140, "gw-1"), (3, 140, "gw-2"))
    )
    early, late = (loss("gw-1", at_s, Cause.PROXY_IDLE) for at_s in (103, 143))
    assert compare([first, again], report((early, late))).merged == ()
    apart = loss("gw-2", 143, Cause.PROXY_IDLE)
    assert compare([first, other], report((early, apart))).merged == (1, 3)


def test_a_second_loss_by_the_same_fault_is_an_echo() -> None:
    """It is not counted as another lost gateway."""
    first, second = loss("gw-1", 103, Cause.RADIO), loss("gw-1", 106, Cause.UNKNOWN)
    found = compare([RADIO], report((first, second)))
    assert len(found.lost) == 1 and len(found.echoes) == 1
    assert found.shortcomings() == []


def test_whoever_may_fall_beside_is_not_counted() -> None:
    """Neither for nor against."""
    expected = Expected(("gw-1",), Cause.RADIO, side_effects=("gw-2",))
    found = compare(
        [entry(1, "x", 100, expected)],
        report((loss("gw-1", 103, Cause.RADIO),), (loss("gw-2", 103, Cause.UNKNOWN),)),
    )
    assert len(found.lost) == 1 and found.shortcomings() == []


def test_held_by_is_judged_only_where_it_is_looked_at() -> None:
    """One of two."""
    clock = Expected(("gw-1",), Cause.POWER_CUT, (HeldBy.CLOCK,))
    found = compare(
        [entry(1, "clock", 100, clock), CUT],
        report(
            (loss("gw-1", 103, Cause.POWER_CUT, HeldBy.CLOCK),),
            (loss("gw-2", 103, Cause.POWER_CUT, HeldBy.DOWN),),
        ),
    )
    assert found.held == (1, 1)
    assert any("1 of 1" in line for line in summary(found))


def test_a_fault_that_failed_is_left_out() -> None:
    """What was not injected cannot be found."""
    broken = entry(1, "wifi_fades", 100, Expected(("gw-1",), Cause.RADIO))
    broken.failure = "TimeoutError"
    assert compare([broken], report()).entries == ()
