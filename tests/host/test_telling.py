"""What is told on a day that has too many changes, and what never may be hidden."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.event import EventKind
from gateway.host.telling import BURST, REFILL_S, Bucket, Telling, Told
from gateway.host.trouble import Change


def lost(name: str = "eth0") -> Change:
    return Change(EventKind.CARRIER_LOST, True, (("interface", name),))


def returned(name: str = "eth0") -> Change:
    return Change(EventKind.CARRIER_RETURNED, False, (("interface", name),))


def moved(start: str, end: str) -> Change:
    return Change(EventKind.ROUTE_CHANGED, not end, (("from", start), ("to", end)))


def test_the_bucket() -> None:
    """Ten at once, then one every thirty seconds."""
    bucket = Bucket()
    assert [bucket.take(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert [bucket.take(t) for t in (29.0, 30.5, 31.0)] == [False, True, False]


def test_an_end_is_told_where_its_beginning_was() -> None:
    """With no token left, too; what came and went untold is counted."""
    telling = Telling(Bucket(level=1.0))
    assert telling.admit([lost()], 0.0) == [Told(lost())]
    assert telling.admit([returned()], 11.0) == [Told(returned())]
    assert telling.admit([lost()], 12.0) == []
    assert telling.admit([returned()], 25.0) == []
    assert telling.admit([lost()], 40.0) == [Told(lost(), suppressed=2)]


def test_a_trouble_that_lasts_is_told_late() -> None:
    """As soon as there is a token, and how late it is."""
    telling = Telling(Bucket(level=1.0))
    telling.admit([lost("eth0")], 0.0)
    assert telling.admit([lost("wlan0")], 10.0) == []
    assert telling.admit([], 20.0) == []
    assert telling.admit([], 31.0) == [Told(lost("wlan0"), delayed_s=21.0)]
    assert telling.admit([returned("wlan0")], 50.0) == [Told(returned("wlan0"))]


def test_moves_of_the_route_are_joined() -> None:
    """From the first to the last; there and back is none."""
    telling = Telling(Bucket(level=0.0, at=0.0))
    assert telling.admit([moved("eth0", "")], 1.0) == []
    assert telling.admit([moved("", "wwan0")], 2.0) == []
    assert telling.admit([], 31.0) == [Told(moved("eth0", "wwan0"), 1, 30.0)]
    assert telling.admit([moved("wwan0", ""), moved("", "wwan0")], 32.0) == []
    assert telling.admit([], 100.0) == []


troubles = st.lists(
    st.tuples(st.floats(0.5, 40.0), st.sampled_from(["eth0", "wlan0", "wwan0"])), max_size=120
)


@given(troubles)
def test_nothing_is_hidden_for_good(steps: list[tuple[float, str]]) -> None:
    """However it flaps: events are bounded, alternate per interface, and once it is quiet what was
    told is how things are."""
    telling, now, down, known = Telling(), 0.0, set[str](), set[str]()
    troubles_told = 0

    def note(told: list[Told]) -> int:
        count = 0
        for one in told:
            name = str(dict(one.change.fields)["interface"])
            assert (name in known) is not one.change.trouble
            known.symmetric_difference_update({name})
            count += one.change.trouble
        return count

    for pause_s, name in steps:
        now += pause_s
        down.symmetric_difference_update({name})
        change = lost(name) if name in down else returned(name)
        troubles_told += note(telling.admit([change], now))
    assert troubles_told <= BURST + now / REFILL_S + 1
    for _ in range(4):
        now += REFILL_S
        note(telling.admit([], now))
    assert known == down
