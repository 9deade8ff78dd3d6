"""Tests of what a host shows around a silence."""

import pytest

from gateway.correlation.account import Account, Told
from gateway.correlation.evidence import Boot, GatewayEvidence, Look, Seen
from gateway.correlation.history import History
from gateway.correlation.surroundings import (
    Silence,
    explain,
    is_radio,
    supply,
    weak_seconds,
    well_throughout,
)
from gateway.correlation.verdict import Cause
from gateway.event import Scalar
from gateway.host.reboot import Confidence

S = 1_000_000_000
HEARD, ENDED = 100, 140


def event(kind: str, at: float, **fields: Scalar) -> Seen:
    return Seen("x", round(at * S), 0, kind, tuple(fields.items()))


def looks(
    low: int,
    high: int,
    dbm: float | None = -60.0,
    carrier: bool | None = True,
    interface: str = "wlan0",
) -> list[Look]:
    """Return a look a second."""
    return [Look("x", at * S, 5.0, False, dbm, carrier, interface) for at in range(low, high)]


def explained(
    seen: list[Seen],
    looked: list[Look],
    told: Told = Told.SILENT,
    cause: str = "half_open",
    watched: bool = True,
) -> tuple[Cause | None, Confidence]:
    history = History(GatewayEvidence("g", (), (Boot("x", 0, 0),), tuple(seen), tuple(looked)))
    account = Account(told, cause, "path", None, "", False, None, None)
    found = explain(history, Silence("x", HEARD * S, ENDED * S, account, watched))
    return found.cause, found.confidence


WIRED = looks(85, 145, None, True, "eth0")
RADIO = looks(85, 145)
GONE = event("carrier_lost", 101.0, interface="wlan0", operstate="gone")


def test_an_adapter_that_is_gone_is_the_link() -> None:
    """Whatever it was; surer if the socket said so too, or looks show no carrier."""
    assert explained([GONE], RADIO) == (Cause.LINK_LOST, Confidence.PROBABLE)
    assert explained([], [], Told.ADAPTER) == (Cause.LINK_LOST, Confidence.CERTAIN)
    dark = RADIO + looks(101, 145, None, False)
    assert explained([GONE], dark) == (Cause.LINK_LOST, Confidence.CERTAIN)


def test_a_wire_without_carrier_is_the_link() -> None:
    """Unless it flapped, or the session did not go over it."""
    lost = event("carrier_lost", 101.0, interface="eth0", operstate="down")
    flap = event("carrier_lost", 101.0, interface="eth0", operstate="up")
    assert explained([lost], WIRED)[0] is Cause.LINK_LOST
    assert explained([flap], WIRED)[0] is Cause.PATH_DEAD
    assert explained([lost], RADIO)[0] is Cause.PATH_DEAD
    assert explained([lost], [])[0] is None


@pytest.mark.parametrize(
    ("beside", "cause"),
    [
        (event("route_changed", 102.0, **{"from": "eth0", "to": ""}), Cause.LINK_LOST),
        (event("route_changed", 110.0, **{"from": "eth0", "to": ""}), None),
        (event("route_changed", 102.0, **{"from": "wwan0", "to": ""}), None),
    ],
)
def test_the_route_tells_what_was_in_use(beside: Seen, cause: Cause | None) -> None:
    """The default route left the interface that lost its carrier, then."""
    lost = event("carrier_lost", 101.0, interface="eth0", operstate="down")
    assert explained([lost, beside], [])[0] is cause
    assert explained([lost], [], cause="no_route")[0] is Cause.LINK_LOST


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"by_ap": True, "reason": 3}, Cause.RADIO),
        ({"by_ap": False, "reason": 4}, Cause.RADIO),
        ({"by_ap": False, "reason": 3}, Cause.PATH_DEAD),
        ({"dbm": -91.0}, Cause.RADIO),
        ({"dbm": -50.0, "reason": 8}, Cause.PATH_DEAD),
        ({}, Cause.RADIO),
    ],
)
def test_words_of_a_lost_radio(fields: dict[str, Scalar], cause: Cause) -> None:
    """The access point's, a reason that is not the station's own, a bad level, or silence on an
    interface that stayed."""
    assert explained([event("radio_lost", 101.0, interface="wlan0", **fields)], RADIO)[0] is cause


def test_a_silent_radio_whose_interface_did_not_stay_says_nothing() -> None:
    """It may have been pulled out."""
    lost = event("radio_lost", 101.0, interface="wlan0")
    assert explained([lost], looks(85, 101) + looks(101, 145, None, False))[0] is None


def test_the_carrier_of_a_radio_is_its_association() -> None:
    """A radio that lost it while it was in use faded or was thrown out."""
    lost = event("carrier_lost", 101.0, interface="wlan0", operstate="down")
    assert explained([lost], RADIO)[0] is Cause.RADIO
    assert explained([lost], WIRED)[0] is Cause.PATH_DEAD


def test_four_bad_seconds_make_a_radio_three_do_not() -> None:
    """And four missing ones forbid a dead path: what is taken away leaves unknown."""
    for bad, cause in ((4, Cause.RADIO), (3, Cause.PATH_DEAD)):
        faded = looks(85, 110) + looks(110, 110 + bad, -85.0) + looks(110 + bad, 145)
        assert explained([], faded)[0] is cause
        healthy = [look for look in faded if look.dbm == -60.0]
        assert explained([], healthy)[0] is (None if bad == 4 else Cause.PATH_DEAD)


def test_mobile_levels_have_limits_of_their_own() -> None:
    """RSRP -105 dBm is no bad Wi-Fi level; -120 is bad."""
    assert explained([], looks(85, 145, -105.0, True, "wwan0"))[0] is Cause.PATH_DEAD
    assert explained([], looks(85, 145, -120.0, True, "wwan0"))[0] is Cause.RADIO
    assert explained([], looks(85, 145, -112.0, True, "wwan0"))[0] is None


def test_both_signs_of_a_radio_are_surer() -> None:
    """It faded, and then it was gone."""
    lost = event("radio_lost", 101.0, interface="wlan0", reason=4)
    assert explained([lost], looks(85, 101, -88.0)) == (Cause.RADIO, Confidence.CERTAIN)


def test_a_level_that_is_not_known_is_not_good() -> None:
    """Carrier without a level is well on a wire whose name is known, else not."""
    assert explained([], WIRED)[0] is Cause.PATH_DEAD
    assert explained([], looks(85, 145, None, True, ""))[0] is None
    assert explained([], looks(85, 145, None, True, "wlan0"))[0] is None
    assert explained([], looks(85, 145, -60.0, None))[0] is None
    assert explained([], []) == (None, Confidence.NONE)


def test_who_watches_no_host_cannot_be_asked() -> None:
    """Possible is all that can be said."""
    assert explained([], [], watched=False) == (Cause.PATH_DEAD, Confidence.POSSIBLE)


def test_a_run_told_by_its_ends_speaks_for_all_of_it() -> None:
    """A look that covers the seconds before it, even from behind the silence."""
    covering = Look("x", 160 * S, 5.0, False, -60.0, True, "wlan0", 70.0)
    assert explained([], [covering])[0] is Cause.PATH_DEAD
    short = Look("x", 160 * S, 5.0, False, -60.0, True, "wlan0", 30.0)
    assert explained([], [short])[0] is None


def test_seconds() -> None:
    """The longest run of bad ones; well ones without a gap; nothing at all is not well."""
    some = [Look("x", at * S, dbm=-90.0) for at in (1, 2, 5, 6, 7, 9)]
    assert weak_seconds(some) == range(5, 8)
    assert weak_seconds([]) == range(0)
    assert not well_throughout([], 5 * S, 6 * S)


def test_radios_by_their_names() -> None:
    """As the kernel and systemd call them."""
    assert [is_radio(n) for n in ("wlan0", "wlp2s0", "wwan0", "ppp0", "eth0", "enp1s0", "")] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip


def test_the_supply() -> None:
    """Low within half a minute counts; what was earlier stands beside it."""

    def low(*seen: Seen, looked: tuple[Look, ...] = ()) -> tuple[bool, list[str]]:
        history = History(GatewayEvidence("g", (), (Boot("x", 0, 0),), seen, looked))
        found, proofs = supply(history, "x", 100 * S)
        return found, [proof.text for proof in proofs]

    assert low() == (False, [])
    assert low(event("supply_low", 90, volts=4.5)) == (True, ["supply low: 4.5 V"])
    early = event("supply_low", 60), event("supply_recovered", 65)
    assert low(*early) == (False, ["supply low", "supply recovered"])
    assert low(looked=(Look("x", 95 * S, 4.41, True),)) == (
        True, ["supply 4.41 V at the least of the last minute"],
    )  # fmt: skip
    assert low(looked=(Look("x", 95 * S, None, False),)) == (False, [])
