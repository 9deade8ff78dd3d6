"""Set-up that every test shares: system programs, and printed seeds."""

import pytest

from tests.system import need, need_root


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Honour `system(name)` and `root`: skip without them, or fail in CI."""
    for marker in item.iter_markers("system"):
        for name in marker.args:
            need(name)
    if item.get_closest_marker("root"):
        need_root()
