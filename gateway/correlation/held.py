"""Why a lost gateway was not back sooner.

Owns the choice among what it told of its failed attempts to connect, and what `agent.faults`'
causes come down to here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.correlation.account import text_of
from gateway.correlation.evidence import Seen
from gateway.correlation.history import History, Turn
from gateway.correlation.timeline import SECOND_NS
from gateway.correlation.verdict import HeldBy, Proof

_HELD = {
    "credentials": HeldBy.CREDENTIALS,
    "unauthorised": HeldBy.CREDENTIALS,
    "dns_unreachable": HeldBy.DNS,
    "dns_no_name": HeldBy.DNS,
    "no_route": HeldBy.NO_ROUTE,
    "adapter_lost": HeldBy.NO_ROUTE,
    "refused": HeldBy.REFUSED,
    "reset": HeldBy.REFUSED,
    "connect_timeout": HeldBy.TIMEOUT,
    "tls_timeout": HeldBy.TIMEOUT,
    "upgrade_timeout": HeldBy.TIMEOUT,
    "welcome_timeout": HeldBy.TIMEOUT,
    "path_timeout": HeldBy.TIMEOUT,
    "half_open": HeldBy.TIMEOUT,
    "tls_clock": HeldBy.CLOCK,
    "tls_expired": HeldBy.CERTIFICATE,
    "tls_untrusted": HeldBy.CERTIFICATE,
    "tls_wrong_name": HeldBy.CERTIFICATE,
    "tls_not_tls": HeldBy.TLS,
    "tls_policy": HeldBy.TLS,
    "upgrade_eof": HeldBy.UPGRADE,
    "upgrade_stripped": HeldBy.UPGRADE,
    "subprotocol": HeldBy.UPGRADE,
    "redirected": HeldBy.UPGRADE,
    "proxy_refused": HeldBy.UPGRADE,
    "bad_gateway": HeldBy.UPGRADE,
    "http_error": HeldBy.UPGRADE,
    "rate_limited": HeldBy.OVERLOAD,
    "overloaded": HeldBy.OVERLOAD,
}
UNREACHED = frozenset(
    {"refused", "connect_timeout", "tls_timeout", "upgrade_eof", "tls_policy", "no_route"}
)
"""Failures that a proxy which is dead leaves: nobody behind its address."""
SOON_NS = 60 * SECOND_NS
"""What a gateway met so soon after it was cut is about that cut: a session that is missing from the
evidence must not bring the failures of a later fault to this one."""
SLACK_NS = 2 * SECOND_NS
_FAR_NS = 1 << 62
_DOWN_SHARE = 4
"""Failures that took less than a quarter of the time are not what kept a rebooted gateway away."""


@dataclass(frozen=True, slots=True)
class Held:
    """The answer. `unreached`: an attempt soon after met nobody behind the address."""

    by: HeldBy
    proofs: tuple[Proof, ...]
    unreached: bool


@dataclass(frozen=True, slots=True)
class _Failure:
    at_ns: int
    seen: Seen

    @property
    def cause(self) -> str:
        return text_of(self.seen.fields, "cause")


def held_by(history: History, turn: Turn, lost_ns: int) -> Held:
    """Say what kept the gateway away after `lost_ns`."""
    following = turn.following
    failures = list(_failures(history, turn, lost_ns))
    proofs = tuple(_proof(history, failure) for failure in failures[:4])
    unreached = any(
        failure.cause in UNREACHED and failure.at_ns - lost_ns <= SOON_NS for failure in failures
    )
    if following is None:
        return Held(HeldBy.UNKNOWN, proofs, unreached)
    back_ns = following.opened_ns
    if not failures:
        return Held(HeldBy.DOWN if turn.new_run else HeldBy.NOTHING, proofs, unreached)
    longest, took_ns = _longest(failures, back_ns)
    if turn.new_run and took_ns * _DOWN_SHARE < back_ns - lost_ns:
        return Held(HeldBy.DOWN, proofs, unreached)
    return Held(longest, proofs, unreached)


def _failures(history: History, turn: Turn, lost_ns: int) -> Iterator[_Failure]:
    """Yield the failed attempts between the loss and the return, in order."""
    following = turn.following
    boots = [turn.session.boot_id]
    if following is not None and not turn.same_boot:
        boots.append(following.boot_id)
    found = []
    back_ns = _FAR_NS if following is None else following.opened_ns + SLACK_NS
    for boot_id in boots:
        low, high = 0, _FAR_NS
        zero_ns = history.timeline.source_ns(boot_id, 0)
        if zero_ns is not None:  # it spoke to the centre: look only where it can be
            low, high = zero_ns + lost_ns - 2 * SLACK_NS, zero_ns + back_ns + SLACK_NS
        for seen in history.between(boot_id, low, high, ("connect_failed",)):
            placed = history.timeline.place(boot_id, seen.source_time_ns)
            if placed is not None and lost_ns - SLACK_NS <= placed.at_ns <= back_ns:
                found.append(_Failure(placed.at_ns, seen))
    yield from sorted(found, key=lambda one: (one.at_ns, one.cause))


def _longest(failures: Sequence[_Failure], back_ns: int) -> tuple[HeldBy, int]:
    """Return what lasted longest: a failure is told once, until another comes."""
    ends = [*(failure.at_ns for failure in failures[1:]), back_ns]
    lasted: dict[HeldBy, int] = {}
    for failure, end_ns in zip(failures, ends, strict=True):
        name = _HELD.get(failure.cause, HeldBy.UNKNOWN)
        lasted[name] = lasted.get(name, 0) + max(0, end_ns - failure.at_ns)
    longest = max(lasted, key=lambda name: (lasted[name], name.value))
    return longest, sum(lasted.values())


def _proof(history: History, failure: _Failure) -> Proof:
    seen = failure.seen
    text = f"could not connect: {failure.cause} ({text_of(seen.fields, 'text')[:120]})"
    return history.proof(seen.boot_id, seen.source_time_ns, "agent", text, supports=False)
