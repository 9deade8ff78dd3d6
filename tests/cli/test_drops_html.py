"""Pins the HTML report: well-formed, self-contained, readable without eyes, safe and bounded."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli import drops_html, drops_plot, drops_trace
from gateway.cli.drops_html import Chapter, page, told_in_full
from gateway.cli.drops_source import Looked
from gateway.cli.drops_trace import Trace
from gateway.correlation.evidence import Sample
from gateway.correlation.verdict import Cause, Drop
from tests.cli.drops_golden import meanings
from tests.cli.drops_made import NASTY, ZONE, S, at, hostile, incident, looked, loss, story

VOID = {"meta", "br", "img", "link", "input", "hr", "base"}
TRACE = tuple(
    Trace(-second, 5.1 - (0.4 if second < 20 else 0.0), second < 10, -60.0 - second / 9)
    for second in range(120, 0, -1)
)


@dataclass
class Page(HTMLParser):
    """A page taken apart. `open`: the elements that are not closed yet."""

    open: list[str] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag}: an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> within {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of a kind."""
        return [attrs for name, attrs in self.elements if name == tag]


ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "div"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "a", "article", "dl", "dt", "dd"),
    *("details", "summary", "ul", "ol", "li", "span", "br", "footer"),
    *("svg", "desc", "path", "text", "rect", "g"),
}


def checked(html: str) -> Page:
    """Take a page apart and check what holds for every one of them."""
    html.encode("utf-8")
    found = Page()
    found.feed(html)
    found.close()
    assert found.open == [], "everything is closed"
    assert {tag for tag, _ in found.elements} <= ALLOWED, "no script, no image, no frame, no form"
    ids = [attrs["id"] for _, attrs in found.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    for tag, attrs in found.elements:
        assert not any(name.startswith("on") or name == "style" for name in attrs), tag
        assert "src" not in attrs and "srcset" not in attrs
        if tag == "a":
            target = attrs["href"] or ""
            assert target.startswith("#") and target[1:] in ids, "links stay on the page"
    for svg in re.findall(r"(?s)<svg.*?</svg>", html):
        tree = ElementTree.fromstring(svg)  # the standard library's parser loads nothing
        assert tree[0].tag == "title" and tree[1].tag == "desc" and tree[1].text
        assert tree.get("role") == "img"
        assert set((tree.get("aria-labelledby") or "").split()) == {
            tree[0].get("id"),
            tree[1].get("id"),
        }
        for number in re.findall(r"[-\d.e]+", " ".join(_geometry(tree))):
            assert abs(float(number)) < 5000
        assert re.fullmatch(r"[-\d.e\s]*", " ".join(_geometry(tree))), "no NaN, no infinity"
    style = re.findall(r"(?s)<style>(.*?)</style>", html)
    assert len(style) == 1 and "url(" not in style[0] and "@import" not in style[0]
    assert "prefers-color-scheme:dark" in style[0]
    policy = [m["content"] for m in found.all("meta") if "http-equiv" in m]
    assert policy == [drops_html.POLICY] and "default-src 'none'" in drops_html.POLICY
    assert found.all("html") == [{"lang": "en"}]
    return found


def _geometry(tree: ElementTree.Element) -> list[str]:
    names = ("x", "y", "width", "height")
    values = [one.get(name, "") for one in tree.iter() for name in names]
    paths = [re.sub(r"[MLHVhvlz]", " ", one.get("d", "")) for one in tree.iter()]
    return [*values, *paths]


def written(day: Looked, traces: dict[str, Any] | None = None) -> str:
    """Return the page of a made day."""
    chapters = [
        Chapter(one, story(one), meanings(), traces or {})
        for one in told_in_full(day.report.incidents)
    ]
    return page(day, chapters, ZONE)


def test_the_page() -> None:
    """Everything of the list stands in the page, each incident with its story and its plots."""
    names = [f"site-{number:03}" for number in range(40)]
    html = written(looked(), dict.fromkeys(names, TRACE))
    found = checked(html)
    text = " ".join(found.text)
    for one in looked().report.incidents:
        assert any(attrs.get("id") == one.identity for attrs in found.all("article"))
    for said in (
        "feeder=north 12 of 12", "power_cut (probable)", "centre_drained (certain), quiet",
        "1 not back", "connections 240 → 120", "looked at 240 gateways, 731 sessions",
        "measure the supply of feeder north under load", "ETIMEDOUT", "supply 4.61 V",
        "pending: 1 of 1", "since 2026-11-23 02:00:00+01:00", "2026-11-23 04:12:07+01:00",
    ):  # fmt: skip
        assert said in text, said
    plots = re.findall(r'<svg class="(\w+)"', html)
    assert plots.count("small") == 12 + 12 + 3 + 1 + 1, "at most twelve of an incident"
    assert plots.count("wide") == 1 + 5
    assert "12 of 40 gateways with such records" in text
    assert "width=device-width" in html and len(html) < 400_000


def test_a_plot_says_what_it_shows() -> None:
    """Who cannot see a plot reads its figures."""
    html = written(looked(), {"site-000": TRACE})
    assert "between 228 and 240 connections; 3 drops, 5 incidents" in html
    assert "site-000 3 min 53 s; site-001 3 min 57 s" in html
    assert "120 of 120 came back: half of them within" in html
    assert "supply from 5.10 V to 4.70 V, at least 4.70 V; under-voltage first seen 9 s" in html
    assert "radio from -73 to -60 dBm, at worst -73 dBm" in html


@pytest.mark.parametrize("text", NASTY)
def test_hostile_gateways(text: str) -> None:
    """Names, labels and reasons are text, whatever they look like."""
    day = hostile(text)
    found = checked(written(day, {f"{text}{place}": TRACE for place in range(40)}))
    assert found.all("script") == [] and found.all("img") == []


@given(text=st.text(st.characters(), max_size=60), value=st.floats(), second=st.floats(-200, 20))
@settings(max_examples=60, deadline=None)
def test_any_gateway(text: str, value: float, second: float) -> None:
    """Any text and any number a gateway can send leave the page well-formed."""
    some = [Trace(second, value, True, value, None), Trace(12.0, 5.0, None, None)]
    checked(written(hostile(text, 3), {f"{text}{place}": some for place in range(3)}))


def test_a_large_incident_is_a_small_page() -> None:
    """10,000 gateways lost at once are a curve, fifty stories and a number, not megabytes."""
    many = tuple(loss(n, 100 + n / 1000, 130 + n / 50, Cause.PROXY_FAILED) for n in range(10_000))
    day = looked()
    one = incident("20261123T000140-beef", many)
    report = type(day.report)(at(0), at(86_400), (), (one,), 10_000, 20_000)
    html = written(Looked(day.asked, report, day.series))
    checked(html)
    assert len(html) < 200_000
    assert "10000 of 10000 came back" in html and "and 9,950 gateways more" in html


def test_many_incidents_are_told_in_part() -> None:
    """Of hundreds of incidents the alarming and large ones are told, all of them are listed."""
    day = looked()
    quiet = [
        incident(
            f"20261123T0000{n:02}-aaaa", (loss(n, n, n + 1, Cause.CENTRE_DRAINED),) * 9, quiet=True
        )
        for n in range(60)
    ]
    alarming = [
        incident(f"20261123T0001{n:02}-bbbb", (loss(n, 60 + n, 61 + n, Cause.RADIO),))
        for n in range(40)
    ]
    told = told_in_full([*quiet, *alarming])
    assert len(told) == 60 and set(alarming) <= set(told)
    report = type(day.report)(at(0), at(86_400), (), (*quiet, *alarming), 9, 9)
    found = checked(written(Looked(day.asked, report, day.series)))
    assert len(found.all("article")) == 60
    assert sum(attrs.get("data-name") == "cause" for attrs in found.all("td")) == 100


def course(samples: Sequence[Sample], hole_s: float = 100) -> str:
    """Return the line of a plot of a day."""
    svg = drops_plot.connections(samples, (), (), (at(0), at(86_400)), round(hole_s * S), ZONE)
    found = re.search(r'class="line" d="([^"]*)"', svg)
    assert found is not None
    return found[1]


def test_no_dip_falls_between_two_columns() -> None:
    """One sample of 86,400 that is low is drawn; the line has a bounded number of points."""
    samples = [Sample(at(n), 0 if n == 40_001 else 100) for n in range(86_400)]
    line = course(samples)
    assert line.count("V") == 2 and len(line) < 20_000
    restless = course([Sample(at(n), n * 7919 % 101) for n in range(86_400)])
    assert len(restless) < 40_000


def test_a_hole_is_a_hole() -> None:
    """Where nothing is known nothing is drawn: neither a fall nor a straight line."""
    samples = [Sample(at(n), 9) for n in (*range(0, 1000), *range(50_000, 51_000))]
    line = course(samples)
    assert line.count("M") == 2 and "V" not in line
    assert course([]) == ""


def test_a_drop_is_marked() -> None:
    """A drop is shaded from its start until its recovery; one between samples is only outlined."""
    drops = (Drop(at(10), at(11), at(20), 9, 3), Drop(at(30), at(30), None, 9, 8, True))
    svg = drops_plot.connections([Sample(at(0), 9)], drops, (), (at(0), at(60)), S, ZONE)
    shades = re.findall(r'<rect class="(shade[^"]*)" x="([\d.]+)" y="26" width="([\d.]+)"', svg)
    assert [kind for kind, *_ in shades] == ["shade", "shade hidden"]
    assert float(shades[0][2]) == pytest.approx(640 / 6, abs=1)
    assert "9 to 8, between two samples" in svg


def test_a_flag_at_the_edge_keeps_its_words() -> None:
    """What fell a minute ago is what the report is made for: its cause is not cut off."""
    for second in (0, 86_390):
        fell = incident("one", (loss(1, second, None, Cause.CENTRE_KILLED),))
        svg = drops_plot.connections([], (), [fell], (at(0), at(86_400)), S, ZONE)
        found = re.search(r'<text x="([\d.]+)" y="11" text-anchor="middle">centre_killed<', svg)
        assert found is not None
        half = 6.8 * len("centre_killed") / 2
        assert half <= float(found[1]) <= 720 - half


def test_connections_are_whole() -> None:
    """A fleet of two has no half a connection on its axis."""
    svg = drops_plot.connections([Sample(at(0), 2)], (), (), (at(0), at(60)), S, ZONE)
    assert re.findall(r'text-anchor="end">([^<]+)<', svg) == ["0", "1", "2"]


def test_traces_of_losses() -> None:
    """A trace shows what is known and says what is not."""
    plain = drops_trace.trace("k", "site", [Trace(-10.0, 5.0), Trace(-5.0, 4.9)])
    assert plain.count("not known") == 2 and "supply from 5.00 V to 4.90 V" in plain
    dark = drops_trace.trace("k", "site", [])
    assert "supply not known; radio not known." in dark
