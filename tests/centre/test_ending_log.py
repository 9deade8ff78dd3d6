"""Pins what the centre's journal says of endings, and what a mass of them costs."""

import errno
import logging

import pytest

from gateway.centre.ending import EndCause, Ending, Side, closed_by_agent, cut
from gateway.centre.ending_log import LINES, EndingLog


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    """As in production: DEBUG is off."""
    caplog.set_level(logging.INFO)


def test_an_ending_carries_the_words_people_search_for(caplog: pytest.LogCaptureFixture) -> None:
    """The errno's name and the close code stand in the line."""
    EndingLog().ended("site-1", 7, cut(ConnectionResetError(errno.ECONNRESET, "reset")))
    EndingLog().ended("site-1", 7, cut(None))
    EndingLog().ended("site-2", 8, closed_by_agent(1011, "boom"))
    EndingLog().ended("site-3", 9, Ending(Side.CENTRE, EndCause.NO_PONG, 1011, "no pong"))
    reset, eof, boom, silent = caplog.messages
    assert "gateway=site-1 session=7 side=network cause=reset error=ECONNRESET close=1006" in reset
    assert "cause=end_of_stream close=1006" in eof
    assert "side=agent cause=peer_error close=1011" in boom
    assert "cause=no_pong close_sent=1011 error=KEEPALIVE_PING_TIMEOUT" in silent


def test_what_is_expected_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """Goodbyes, and connections that never were sessions, are for DEBUG."""
    log = EndingLog()
    log.ended("site-1", 7, closed_by_agent(1001, ""))
    log.ended("site-1", 0, cut(None))
    assert caplog.messages == []


def test_ten_thousand_endings_cost_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond a number of lines endings are counted by kind, and the count is told."""
    log = EndingLog()
    for number in range(1, 10_001):
        log.ended(f"site-{number}", number, cut(None))
    assert len(caplog.messages) == LINES
    log.flush()
    assert caplog.messages[LINES:] == [
        f"more sessions ended count={10_000 - LINES} side=network cause=end_of_stream close=1006"
    ]
    log.flush()
    assert len(caplog.messages) == LINES + 1
    log.ended("site-1", 7, cut(None))
    assert "gateway=site-1" in caplog.messages[-1]
