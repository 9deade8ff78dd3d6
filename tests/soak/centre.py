"""The centre, long: the link fuzzed against `ServerProtocol`, the store killed again and again."""

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

from tests.centre import test_handshake, test_link, test_store

EXAMPLES = int(os.environ.get("SOAK_EXAMPLES", "30000"))
KILLS = int(os.environ.get("SOAK_KILLS", "25"))


def main() -> int:
    """Raise at the first difference; print what was run."""
    long = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    for test in (
        test_link.test_any_bytes_in_any_split_are_what_server_protocol_makes_of_them,
        test_link.test_a_frame_that_comes_alone_is_what_server_protocol_makes_of_it,
        test_link.test_any_request_ends_in_an_answer_or_waits,
        test_handshake.test_what_the_short_path_takes_websockets_takes_too,
    ):
        long(test)()
        print(f"{test.__name__}: {EXAMPLES} examples")
    for number in range(KILLS):
        with tempfile.TemporaryDirectory() as folder:
            test_store.test_kill_minus_nine_loses_nothing_that_was_acked(Path(folder), number)
    print(f"store: {4 * KILLS} kills, nothing acked lost, nothing twice")
    return 0
