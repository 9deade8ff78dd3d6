"""Sessions of browsers and the budget of login attempts; time is a number."""

from gateway.centre.web.visitors import IDLE_S, LIFE_S, MAX_VISITS, Attempts, FormSeal, Visits


def test_a_session_ends_unused_or_old_or_logged_out() -> None:
    """Idle time, life time, log-out; each use counts against the first only."""
    visits = Visits()
    token = visits.begin("anna", 0.0)
    found = visits.find(token, IDLE_S)
    assert found is not None and found.user == "anna" and found.form
    assert visits.find(token + "x", 1.0) is None
    assert visits.find(token, 2 * IDLE_S + 1) is None
    assert visits.find(token, 2 * IDLE_S) is None, "gone for good"

    token, now = visits.begin("anna", 0.0), 0.0
    while now < LIFE_S:
        assert visits.find(token, now)
        now += IDLE_S - 1
    assert visits.find(token, LIFE_S + 1) is None

    token = visits.begin("anna", 0.0)
    visits.end(token)
    visits.end(token)
    assert visits.find(token, 1.0) is None


def test_who_is_no_user_any_more_is_logged_out() -> None:
    """The others stay."""
    visits = Visits()
    anna, bert = visits.begin("anna", 0.0), visits.begin("bert", 0.0)
    assert visits.names() == {"anna", "bert"}
    visits.keep({"bert"})
    assert visits.find(anna, 1.0) is None and visits.find(bert, 1.0)


def test_sessions_are_bounded() -> None:
    """The one that was unused for longest makes room."""
    visits = Visits()
    first, second = visits.begin("a", 0.0), visits.begin("a", 0.0)
    assert visits.find(first, 1.0)
    for _ in range(MAX_VISITS - 1):
        visits.begin("b", 2.0)
    assert visits.find(first, 3.0) and visits.find(second, 3.0) is None


def test_a_form_belongs_to_the_browser_it_was_sent_to() -> None:
    """Neither half can be had without the other, nor from another process."""
    seal = FormSeal()
    one, other = seal.cookie(), seal.cookie()
    assert seal.fits(one, seal.field(one))
    assert not seal.fits(one, seal.field(other))
    assert not seal.fits("", seal.field(""))
    assert not seal.fits(one, FormSeal().field(one))
    assert not seal.fits(one, "\udc80")


def test_an_address_has_five_attempts_and_then_one_every_twelve_seconds() -> None:
    """Waiting gives them back, and so does a login that succeeds."""
    attempts = Attempts()
    waits = [attempts.wait_s("a", 0.0) for _ in range(7)]
    assert waits[:5] == [0.0] * 5 and waits[5] == waits[6] == Attempts.EVERY_S
    assert attempts.wait_s("b", 0.0) == 0.0
    assert 0.9 < attempts.wait_s("a", 11.0) < 1.1
    assert attempts.wait_s("a", 12.0) == 0.0 and attempts.wait_s("a", 12.0) > 0
    attempts.forgive("a")
    assert attempts.wait_s("a", 12.0) == 0.0


def test_many_addresses_together_are_slowed_down_and_forgotten() -> None:
    """A guess from everywhere costs no more than a tenth of a core, and bounded memory."""
    attempts = Attempts()
    taken = sum(attempts.wait_s(f"a{n}", 0.0) == 0.0 for n in range(1000))
    assert taken == Attempts.ALL_BURST
    taken = sum(attempts.wait_s(f"b{n}", n / 10) == 0.0 for n in range(20_000))
    assert taken <= Attempts.ALL_BURST + 2000 / Attempts.ALL_EVERY_S
    assert len(attempts._spent) <= Attempts.MAX_ADDRESSES
