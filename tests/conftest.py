"""Set-up that every test shares: system programs, and a seed that is printed.

Hypothesis draws another seed at each run and the closing lines say which
(`--hypothesis-seed=N` repeats it). No test has a deadline: on a busy machine time says nothing
(timings live in tests/bench). In CI a failing example is printed as it was found: shrinking it may
take minutes, longer than `faulthandler_timeout` lets a test run, and then nothing would be printed.
"""

import secrets
import signal

import hypothesis
import pytest
from hypothesis import Phase

from tests.system import in_ci, need, need_root

hypothesis.settings.register_profile("project", deadline=None, print_blob=True, derandomize=False)
hypothesis.settings.register_profile(
    "ci",
    hypothesis.settings.get_profile("project"),
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.target),
)
hypothesis.settings.load_profile("ci" if in_ci() else "project")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C and so would every command that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed before Hypothesis asks for it; one given on the command line stays."""
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(secrets.randbelow(1 << 32))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what is needed to repeat this run, with -q too."""
    missing = "fails" if in_ci() else "skips"
    terminalreporter.write_line(
        f"seed: --hypothesis-seed={config.getoption('hypothesis_seed')}; "
        f"a missing system program {missing} its tests"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Honour `system(name)` and `root`: skip without them, or fail in CI."""
    for marker in item.iter_markers("system"):
        for name in marker.args:
            need(name)
    if item.get_closest_marker("root"):
        need_root()
