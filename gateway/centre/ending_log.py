"""What the journal says of sessions that ended: a line each, or a count when many end at once.

Owns how many lines a mass of endings may cost: the loop must not write 10,000 lines while gateways
wait to come in again. Every line carries the words people search for (`correlation.signatures`).
"""

import logging
from collections import Counter

from gateway.centre.ending import EndCause, Ending
from gateway.correlation.signatures import CENTRE, log_words

LOGGER = logging.getLogger(__name__)
LINES = 20
"""Lines between two calls of `flush`; what is beyond is counted."""
_EXPECTED = frozenset(
    {EndCause.NORMAL, EndCause.GOING_AWAY, EndCause.DRAINING, EndCause.REPLACED, EndCause.NO_HELLO}
)


class EndingLog:
    """Tells of endings. Used by the loop's thread only."""

    def __init__(self) -> None:
        self._left = LINES
        self._counted: Counter[tuple[str, str, str]] = Counter()

    def ended(self, gateway: str, session: int, ending: Ending) -> None:
        """Tell of one ending; `session` 0: it never was one. What is expected is for DEBUG."""
        level = logging.DEBUG if ending.cause in _EXPECTED or not session else logging.INFO
        if not LOGGER.isEnabledFor(level):
            return
        words = _words(ending)
        if level == logging.INFO:
            if not self._left:
                self._counted[ending.side.value, ending.cause.value, words] += 1
                return
            self._left -= 1
        LOGGER.log(
            level,
            "session ended gateway=%s session=%d side=%s cause=%s %s text=%r",
            gateway,
            session,
            ending.side,
            ending.cause,
            words,
            ending.reason,
        )

    def flush(self) -> None:
        """Tell what was only counted since the last call, a line per kind of ending."""
        for (side, cause, words), count in self._counted.items():
            LOGGER.info(
                "more sessions ended count=%d side=%s cause=%s %s", count, side, cause, words
            )
        self._counted.clear()
        self._left = LINES


def _words(ending: Ending) -> str:
    """Return the searchable words; a cut connection keeps its errno's name as the reason."""
    cut = ending.code == 1006
    return log_words(ending.cause.value, ending.reason if cut else ending.code, CENTRE)
