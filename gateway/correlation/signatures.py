"""The table of error strings that people search for, and how to find a row.

Owns the look-up from what either side recorded to the one row that explains it. Used by log lines,
by `gateway drops show`, and by the section of `docs/operations.md` that is generated from it.
"""

import errno
from collections.abc import Iterator

from gateway.correlation.close_signatures import CLOSE, OWN
from gateway.correlation.handshake_signatures import HTTP, TLS
from gateway.correlation.network_signatures import NETWORK
from gateway.correlation.signature import Match, Signature

SECTIONS = (
    ("The network", NETWORK),
    ("TLS", TLS),
    ("HTTP on the way to a WebSocket", HTTP),
    ("WebSocket close codes and goodbyes", CLOSE),
    ("What each side does itself", OWN),
)
SIGNATURES = tuple(row for _, rows in SECTIONS for row in rows)

AGENT = "agent"
CENTRE = "centre"
_NUMBERS = {name: number for number, name in errno.errorcode.items()}


def _indexed(observer: str) -> dict[tuple[str, int | None], Signature]:
    """Return (cause, code) → row; code ``None`` is the row for any other code."""
    found: dict[tuple[str, int | None], Signature] = {}
    for row, match in matches(observer):
        for code in match.codes or (None,):
            if found.setdefault((match.cause, code), row) is not row:
                raise AssertionError(f"two rows explain {match.cause} {code} of the {observer}")
    return found


def matches(observer: str) -> Iterator[tuple[Signature, Match]]:
    """Return what each row explains of one side's causes."""
    for row in SIGNATURES:
        for match in row.agent if observer == AGENT else row.centre:
            yield row, match


def signature_for(
    cause: str, code: int | str | None = None, observer: str = AGENT
) -> Signature | None:
    """Return the row for a cause of `agent.faults`, or of `centre.ending` for observer ``centre``;
    ``None`` for a cause that neither has. `code`: a number, or an errno's name."""
    number = _NUMBERS.get(code) if isinstance(code, str) else code
    rows = _ROWS[observer]
    return rows.get((cause, number)) or rows.get((cause, None))


def log_words(
    cause: str, code: int | str | None, observer: str = AGENT, in_session: bool = True
) -> str:
    """Return what a log line of an ending carries so that a search finds it, such as
    ``error=ECONNRESET close=1006``."""
    row = signature_for(cause, code, observer)
    if row is None:
        return "error=UNKNOWN"
    return row.words(code if isinstance(code, int) else None, in_session)


_ROWS = {AGENT: _indexed(AGENT), CENTRE: _indexed(CENTRE)}
