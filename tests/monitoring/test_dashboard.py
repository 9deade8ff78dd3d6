"""Pins that the dashboard is one Grafana can load, and that each of its queries finds something.

The fixture `prometheus` is a real one that scraped a real centre and a real agent.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring.asking import Prometheus, selectors
from tests.monitoring.site import RULES

BOARD = RULES.parent / "grafana/gateways.json"
DASHBOARD: dict[str, Any] = json.loads(BOARD.read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
DRAWN = [panel for panel in PANELS if panel["type"] != "row"]
WIDTH = 24
"""Columns of Grafana's grid."""
VALUES = {"job": "gateway-centre", "instance": ".*", "gateway": ".*", "agent": ".*"}
SPANS = {"__rate_interval": "10s", "__interval": "1s", "__range": "1h"}


def _annotations() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DASHBOARD["annotations"]["list"]
    return [each for each in found if not each.get("builtIn")]


def _expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def filled(expression: str) -> str:
    """Put in what Grafana puts in for its variables."""
    return re.sub(
        r"\$(\w+)", lambda found: (VALUES | SPANS)[found.group(1)], expression.replace("${", "$")
    )


def test_panels_have_ids_places_and_titles() -> None:
    """Ids are unique; panels lie within the grid and not on one another."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        assert panel["title"] and place["x"] >= 0 and place["x"] + place["w"] <= WIDTH
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_panels_ask_the_chosen_datasource() -> None:
    """Every query goes to the datasource variable, none to one of somebody's own Grafana."""
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in DRAWN:
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["datasource"] == chosen and panel["targets"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        assert all(target["datasource"] == chosen for target in panel["targets"])
        assert panel["fieldConfig"]["defaults"]["unit"]
    assert all(
        each["datasource"] == each["target"]["datasource"] == chosen for each in _annotations()
    )


def test_every_variable_is_declared_and_used() -> None:
    """No query names a variable that is not there, and none is there for nothing."""
    declared = {each["name"] for each in DASHBOARD["templating"]["list"]}
    named = set(re.findall(r"\$\{?(\w+)", json.dumps([PANELS, DASHBOARD["templating"]])))
    assert named - set(SPANS) - {"__all"} == declared
    assert set(VALUES) == declared - {"datasource"}


def test_the_dashboard_is_one() -> None:
    """What Grafana's import asks for; no id of somebody's installation."""
    assert DASHBOARD["title"] and DASHBOARD["schemaVersion"] >= 36
    assert re.fullmatch(r"[a-z0-9-]{1,40}", DASHBOARD["uid"])
    assert "id" not in DASHBOARD and "__inputs" not in DASHBOARD
    text = BOARD.read_text()
    assert "http://" not in text and "https://" not in text


@pytest.mark.parametrize(
    "subject",
    [
        "ws_active_connections",
        "centre_incidents_total",
        "centre_lost_gateways_total",
        "centre_reconnect_gap_seconds",
        "centre_reboots_total",
        "ws_close_total",
        "centre_sensor_to_store_seconds",
        "ws_heartbeat_round_trip_seconds",
        "ws_tls_handshake_seconds",
        "process_resident_memory_bytes",
        "centre_gateways_undervoltage",
        "centre_gateways_radio_out_of_range",
        "gateway_radio_signal_dbm",
        "gateway_supply_volts",
    ],
)
def test_what_must_be_seen_is_drawn(subject: str) -> None:
    """The subjects that the dashboard is for each have a panel."""
    assert any(subject in text for panel in DRAWN for text in _expressions(panel))


def test_every_query_of_a_panel_finds_something(prometheus: Prometheus) -> None:
    """Each expression, with the variables filled in, yields a result from what was scraped."""
    empty = [
        (panel["title"], text)
        for panel in DRAWN
        for text in _expressions(panel)
        if not prometheus.query(filled(text))
    ]
    assert empty == []


def test_every_annotation_looks_at_something(prometheus: Prometheus) -> None:
    """Each selector finds series, and the conditions themselves are understood."""
    assert any("centre_incidents_total" in each["target"]["expr"] for each in _annotations())
    for each in _annotations():
        text = filled(each["target"]["expr"])
        prometheus.query(text)
        assert all(prometheus.query(selector) for selector in selectors(text)), each["name"]


def test_every_variable_has_values(prometheus: Prometheus) -> None:
    """Each list of a variable is not empty."""
    for each in DASHBOARD["templating"]["list"]:
        if each["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", each["query"]["query"])
            assert found, each["name"]
            samples = prometheus.query(filled(found.group(1)))
            assert samples and all(sample["metric"][found.group(2)] for sample in samples)


def test_the_file_is_where_the_docs_say() -> None:
    """docs/monitoring.md leads to the dashboard."""
    page = Path(RULES.parents[1] / "docs/monitoring.md").read_text()
    assert "config/grafana/gateways.json" in page
