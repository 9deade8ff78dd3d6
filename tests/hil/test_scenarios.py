"""Every scenario can be found, says what it is about, and can be run."""

import pytest

from hil import scenario


@pytest.mark.parametrize("name", scenario.names())
def test_a_scenario_is_a_page(name: str) -> None:
    """A sentence, an entry, and a page's length."""
    page = scenario.page(name)
    assert (page.__doc__ or "").strip().splitlines()[0].endswith(".")
    assert callable(page.run)
    assert page.__file__ is not None
    with open(page.__file__, encoding="utf-8") as file:
        assert len(file.readlines()) <= 60
