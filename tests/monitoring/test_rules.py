"""Pins that rules, alerts and dashboard say what they should, to promtool and a real Prometheus."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.correlation.verdict import QUIET
from tests.monitoring.asking import Prometheus, selectors
from tests.monitoring.site import RULES
from tests.system import need

ROOT = RULES.parents[1]
ALERTS = re.findall(r"(?m)^      - alert: (\w+)$", (RULES / "alerts.yml").read_text())
RULE_FILES = ("recording.yml", "alerts.yml")


def _promtool(*words: str) -> None:
    done = subprocess.run(
        [need("promtool"), *words], cwd=RULES, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_scrape_config_are_valid() -> None:
    """promtool reads the rules and the example that loads them."""
    _promtool("check", "rules", *RULE_FILES)
    _promtool("check", "config", "prometheus.example.yml")


@pytest.mark.parametrize("name", sorted(path.name for path in (RULES / "tests").glob("*.yml")))
def test_alerts_fire_when_they_should(name: str) -> None:
    """promtool runs the unit tests of the rules."""
    _promtool("test", "rules", f"tests/{name}")


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_proved_both_ways(alert: str) -> None:
    """Each alert has a unit test in which it fires, and one in which it is silent."""
    text = "".join(path.read_text() for path in (RULES / "tests").glob("*.yml"))
    assert f"alertname: {alert}\n        exp_alerts:\n          - exp_labels" in text
    assert f"alertname: {alert}, exp_alerts: []" in text


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_documented(alert: str) -> None:
    """docs/monitoring.md has a section for each alert, which says what it means and what to do."""
    text = (ROOT / "docs/monitoring.md").read_text()
    section = re.search(rf"(?ms)^### {alert}\n(.*?)(?=^##|\Z)", text)
    assert section and len(section.group(1).split()) > 15, alert


def test_what_is_done_on_purpose_is_not_alarmed() -> None:
    """The causes left out of the alert and put aside in the dashboard are the analysis' own."""
    texts = (RULES / "alerts.yml", RULES.parent / "grafana/gateways.json")
    lists = [re.findall(r"cause!?[=~]~?\W*(centre_drained[a-z_|]*)", t.read_text()) for t in texts]
    assert [len(found) for found in lists] == [1, 2]
    assert all(set(each.split("|")) == {*QUIET} for found in lists for each in found)


def test_every_runbook_is_there() -> None:
    """The link of each alert leads to a heading."""
    links = re.findall(r"runbook_url: (\S+)", (RULES / "alerts.yml").read_text())
    assert len(links) == len(ALERTS)
    for link in links:
        page, _, anchor = link.partition("#")
        assert anchor in _anchors(ROOT / page), link


def _rules(prometheus: Prometheus, kind: str) -> list[dict[str, Any]]:
    groups = prometheus.get("/api/v1/rules")["groups"]
    return [rule for group in groups for rule in group["rules"] if rule["type"] == kind]


def test_every_recording_rule_has_a_result(prometheus: Prometheus) -> None:
    """Each expression, but without its `offset` (nobody waits a day here), yields something."""
    rules = _rules(prometheus, "recording")
    assert len(rules) == (RULES / "recording.yml").read_text().count("- record:")
    empty = [rule["name"] for rule in rules if not prometheus.query(_now(rule["query"]))]
    assert empty == []
    assert {rule["health"] for rule in rules} == {"ok"}


def test_every_selector_of_an_alert_finds_series(prometheus: Prometheus) -> None:
    """What an alert looks at is there: no name or label in it is misspelt."""
    rules = _rules(prometheus, "alerting")
    assert {rule["name"] for rule in rules} == set(ALERTS)
    assert {rule["health"] for rule in rules} == {"ok"}
    empty = [
        (rule["name"], selector)
        for rule in rules
        for selector in selectors(rule["query"])
        if not prometheus.query(selector) and selector not in LATE
    ]
    assert empty == []


def test_a_killed_centre_and_a_crashed_agent_are_alerted(prometheus: Prometheus) -> None:
    """What happened to the real ones while they were scraped fires; nothing says the disk did."""
    alerts = prometheus.get("/api/v1/alerts")["alerts"]
    firing = {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
    assert {"CentreWasKilled", "AgentRebooted"} <= firing
    (rebooted,) = [a for a in alerts if a["labels"]["alertname"] == "AgentRebooted"]
    assert rebooted["labels"]["class"] == "daemon_crash"
    assert not firing & {"CentreStoreNotWritable", "AgentLosesReadings", "AgentUnderVoltage"}


LATE = {"job:ws_connections_lost:churn"}
"""Recorded from ten minutes ago on; its own expression is tried without the offset."""


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+\s+(.*)$", page.read_text())
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", head.lower())) for head in headings}


def _now(expression: str) -> str:
    return re.sub(r" offset \w+", "", expression)


def test_selectors_are_found() -> None:
    """The reader of expressions sees each selector, and nothing else."""
    text = (
        'sum by (job, le) (rate(a_b{c="d"}[5m])) > 2 * (j:x:y or up) unless on (job) z_t offset 1h'
    )
    assert selectors(text) == ['a_b{c="d"}', "j:x:y", "up", "z_t"]
