"""Pins that every ending either side records is explained by one table, and the docs show it."""

import errno
import re
import socket
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from gateway.agent.faults import FaultCause, Phase, of_connect
from gateway.centre.ending import EndCause, cut
from gateway.correlation.signatures import (
    AGENT,
    CENTRE,
    SIGNATURES,
    log_words,
    matches,
    signature_for,
)
from tests.signature_docs import PAGE, section


def test_every_cause_of_the_agent_has_a_row() -> None:
    """Whatever the agent records, with any code, is explained."""
    for cause in FaultCause:
        for code in (None, 0, 104, 1006, 4001):
            assert signature_for(cause.value, code) is not None, cause


def test_every_ending_of_the_centre_has_a_row() -> None:
    """Whatever the centre records is explained."""
    for cause in EndCause:
        assert signature_for(cause.value, 1006, CENTRE) is not None, cause


def test_no_row_names_a_cause_that_nobody_records() -> None:
    """A renamed cause does not leave its row behind."""
    agent = {match.cause for _, match in matches(AGENT)}
    centre = {match.cause for _, match in matches(CENTRE)}
    assert agent == {cause.value for cause in FaultCause}
    assert centre == {cause.value for cause in EndCause}
    assert all(row.agent or row.centre for row in SIGNATURES)


def test_a_cause_nobody_has_is_unknown() -> None:
    """A newer agent's cause is not explained by guessing."""
    assert signature_for("witchcraft", 1006) is None
    assert log_words("witchcraft", 1006) == "error=UNKNOWN"


def test_keys_are_unique_and_fit_for_a_url() -> None:
    """A key identifies its row in a link."""
    keys = [row.key for row in SIGNATURES]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in keys)


def test_rows_are_one_line_of_words() -> None:
    """Every row fits a table and says something in each column; its log words are key=value."""
    for row in SIGNATURES:
        for text in (row.name, row.log, row.seen, row.cause, row.check):
            assert text.strip() == text and text and "\n" not in text and "|" not in text
        assert all(re.fullmatch(r"[a-z_]+=\S+", word) for word in row.log.split()), row.key


@pytest.mark.parametrize(
    ("error", "phase", "words"),
    [
        (OSError(errno.ETIMEDOUT, ""), Phase.SESSION, "error=ETIMEDOUT close=1006"),
        (OSError(errno.ECONNRESET, ""), Phase.SESSION, "error=ECONNRESET close=1006"),
        (OSError(errno.EPIPE, ""), Phase.SESSION, "error=EPIPE close=1006"),
        (OSError(errno.EIO, ""), Phase.SESSION, "error=EIO close=1006"),
        (OSError(errno.ENODEV, ""), Phase.SESSION, "error=ENODEV close=1006"),
        (OSError(errno.ECONNREFUSED, ""), Phase.TCP, "error=ECONNREFUSED"),
        (OSError(errno.EHOSTUNREACH, ""), Phase.TCP, "error=EHOSTUNREACH"),
        (OSError(errno.ENETUNREACH, ""), Phase.TCP, "error=ENETUNREACH"),
        (TimeoutError(), Phase.TCP, "error=ETIMEDOUT"),
        (socket.gaierror(socket.EAI_AGAIN, ""), Phase.DNS, "error=EAI_AGAIN"),
        (socket.gaierror(socket.EAI_FAIL, ""), Phase.DNS, "error=EAI_FAIL"),
        (socket.gaierror(socket.EAI_NONAME, ""), Phase.DNS, "error=NXDOMAIN"),
        (socket.gaierror(socket.EAI_NODATA, ""), Phase.DNS, "error=EAI_NODATA"),
    ],
)
def test_a_system_error_is_logged_under_its_own_name(
    error: OSError, phase: Phase, words: str
) -> None:
    """From the exception itself to the words of the log, by the agent's own table of faults."""
    fault = of_connect(error, phase, True, 0)
    assert log_words(fault.cause.value, fault.code, in_session=phase is Phase.SESSION) == words


@pytest.mark.parametrize(
    ("code", "synced", "words"),
    [
        (9, True, "verify=9"),
        (10, True, "verify=10"),
        (10, False, "verify=10 clock=unsynchronised"),
        (18, True, "verify=18"),
        (19, True, "verify=19"),
        (20, True, "verify=20"),
        (21, True, "verify=21"),
        (62, True, "verify=62"),
    ],
)
def test_a_certificate_is_refused_by_its_number(code: int, synced: bool, words: str) -> None:
    """Whose fault it is stands beside the number that people search for."""
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "no"
    fault = of_connect(error, Phase.TLS, synced, 0)
    found = log_words(fault.cause.value, fault.code, in_session=False)
    assert found == f"error=CERTIFICATE_VERIFY_FAILED {words}"


def test_1011_received_and_sent_are_two_things() -> None:
    """The number alone says nothing: who sent it does."""
    received, sent = signature_for("peer_error", 1011), signature_for("half_open", 1011)
    assert received is not None and sent is not None and received is not sent
    assert log_words("peer_error", 1011) == "close=1011"
    assert log_words("half_open", 1011) == "close_sent=1011 error=KEEPALIVE_PING_TIMEOUT"
    assert signature_for("no_pong", 1011, CENTRE) is sent
    assert log_words("half_open", None) == "error=KEEPALIVE_PING_TIMEOUT close=1006"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 426, 429, 502, 503, 504, 200, 302])
def test_an_http_status_is_logged_as_one(status: int) -> None:
    """A status on the way to a WebSocket is found by its number."""
    error = InvalidStatus(Response(status, "", Headers()))
    fault = of_connect(error, Phase.UPGRADE, True, 0)
    assert log_words(fault.cause.value, fault.code, in_session=False) == f"http={status}"


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        ("peer_stopped", 1000),
        ("peer_stopped", 1001),
        ("eof", 1006),
        ("peer_policy", 1008),
        ("peer_too_big", 1009),
        ("peer_error", 1011),
        ("peer_stopped", 1012),
        ("peer_try_later", 1013),
        ("bad_gateway", 1014),
    ],
)
def test_a_close_code_is_logged_as_one(cause: str, code: int) -> None:
    """A received close code is found by its number."""
    assert f"close={code}" in log_words(cause, code).split()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "close=1006"),
        (ConnectionResetError(errno.ECONNRESET, ""), "error=ECONNRESET close=1006"),
        (BrokenPipeError(errno.EPIPE, ""), "error=EPIPE close=1006"),
        (TimeoutError(errno.ETIMEDOUT, ""), "error=ETIMEDOUT close=1006"),
        (OSError(errno.EHOSTUNREACH, ""), "error=EHOSTUNREACH close=1006"),
        (OSError(errno.ENETUNREACH, ""), "error=ENETUNREACH close=1006"),
        (ssl.SSLError(), "error=network close=1006"),
    ],
)
def test_the_centre_names_what_cut_a_session(error: Exception | None, words: str) -> None:
    """The centre keeps an errno's name as the reason; the words follow from it."""
    ending = cut(error)
    assert log_words(ending.cause.value, ending.reason, CENTRE) == words


def test_the_docs_show_the_table() -> None:
    """docs/operations.md holds the table as it is: `python -m tests.signature_docs` rewrites it."""
    assert section() in PAGE.read_text("utf-8")
