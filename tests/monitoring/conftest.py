"""The one Prometheus that the tests of this package ask."""

from collections.abc import Iterator

import pytest

from tests.monitoring.asking import Prometheus
from tests.monitoring.site import monitored


@pytest.fixture(scope="package")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A real Prometheus that has scraped a centre and an agent through their troubles."""
    with monitored(tmp_path_factory.mktemp("monitored")) as server:
        yield server
