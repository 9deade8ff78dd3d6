"""What one row of the table of error strings holds.

Owns the type; the rows are in `network_signatures`, `handshake_signatures`, `close_signatures`,
and `signatures` looks them up. Words of `agent.faults` and `centre.ending` stand here as text: this
floor knows neither room, and a test holds both sides together.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Match:
    """One cause that a row explains. `codes` empty: whatever the code is, unless another row
    names it."""

    cause: str
    codes: frozenset[int] = frozenset()


def on(cause: str, *codes: int) -> Match:
    """Match a cause, or only some of its codes."""
    return Match(cause, frozenset(codes))


@dataclass(frozen=True, slots=True)
class Signature:
    """One error string that people search for.

    `key`: short, stable, fit for a URL. `name`: as it is searched for. `log`: the words that a log
    line of it carries; ``{code}`` stands for the number. `bare`: it ends a session without a Close,
    which RFC 6455 §7.1.5 calls 1006. `agent`, `centre`: the causes it explains, as that side calls
    them.
    """

    key: str
    name: str
    log: str
    seen: str
    cause: str
    check: str
    agent: tuple[Match, ...] = ()
    centre: tuple[Match, ...] = ()
    bare: bool = False

    def words(self, code: int | None, in_session: bool) -> str:
        """Return what a log line carries of it."""
        words = self.log.replace("{code}", "unknown" if code is None else str(code))
        return f"{words} close=1006" if self.bare and in_session else words
