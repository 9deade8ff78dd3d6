"""The frame around every page: head, navigation, live light, footer; and the response it goes in.

Owns the headers that keep a page from being framed, sniffed, cached or made to run foreign code.
Sources: CSP Level 3, OWASP HTTP Headers Cheat Sheet. No inline script or style anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from gateway.centre.api import iso
from gateway.centre.web import words
from gateway.centre.web.markup import NOTHING, Child, Markup, address, el, join

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_STATIC = Path(__file__).parent / "static"
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: `user` is empty without a login, `form` what the log-out form sends back.
    `node` is this centre's name, `now_ns` the instant of the page."""

    node: str
    now_ns: int
    user: str = ""
    form: str = ""


class Assets:
    """The style sheet, the script and the icon, under names that change with their content."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str]] = {}
        self.urls: dict[str, str] = {}
        for path in sorted(_STATIC.iterdir()):
            if path.suffix in _KINDS:
                body = path.read_bytes()
                name = f"{path.stem}-{sha256(body).hexdigest()[:10]}{path.suffix}"
                self._files[name] = body, _KINDS[path.suffix]
                self.urls[path.name] = address("static", name)

    async def serve(self, request: web.Request) -> web.Response:
        """Answer with a file; its name is its version, so it may be kept for ever."""
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="no such file\n")
        response = web.Response(body=found[0], content_type=found[1], charset="utf-8")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


ASSETS = Assets()
_TABS = (("fleet", "Fleet", "/"), ("incidents", "Incidents", "/incidents"))


def page(
    title: str,
    body: Child,
    viewer: Viewer | None,
    *,
    tab: str = "",
    live: bool = True,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return a whole page. `viewer` ``None``: nobody is logged in (the login page, errors)."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{title} · {viewer.node if viewer else 'centre'}"),
        el("link", rel="icon", href=ASSETS.urls["icon.svg"], type="image/svg+xml"),
        el("link", rel="stylesheet", href=ASSETS.urls["page.css"]),
        el("script", src=ASSETS.urls["live.js"], defer=True) if viewer and live else NOTHING,
    )
    content = el(
        "body",
        _header(viewer, tab, live) if viewer else NOTHING,
        el("main", body, id="main"),
        _footer(viewer) if viewer else NOTHING,
        data_stream="/live" if viewer and live else None,
    )
    text = f"<!doctype html>\n{el('html', head, content, lang='en')}\n"
    response = web.Response(text=text, content_type="text/html", status=status, headers=headers)
    response.headers["Cache-Control"] = "no-store"
    response.enable_compression()
    return response


def _header(viewer: Viewer, tab: str, live: bool) -> Markup:
    tabs = (
        el("a", text, href=href, aria_current="page" if name == tab else None)
        for name, text, href in _TABS
    )
    return el(
        "header",
        el("a", "Skip to content", href="#main", class_="skip"),
        el(
            "div",
            el(
                "a",
                el("img", src=ASSETS.urls["icon.svg"], alt="", class_="mark"),
                el("b", viewer.node),
                href="/",
                class_="brand",
            ),
            el("nav", tabs, aria_label="Pages"),
            el(
                "div",
                el("span", "live", class_="light", id="light", role="status", hidden=True)
                if live
                else NOTHING,
                _leave(viewer) if viewer.user else NOTHING,
                class_="who",
            ),
            class_="bar",
        ),
    )


def _leave(viewer: Viewer) -> Markup:
    return el(
        "form",
        el("span", viewer.user, class_="user"),
        el("input", type="hidden", name="form", value=viewer.form),
        el("button", "Log out", class_="plain"),
        method="post",
        action="/logout",
    )


def _footer(viewer: Viewer) -> Markup:
    return el(
        "footer",
        "Times are UTC. Page of ",
        el("time", words.full(viewer.now_ns), datetime=iso(viewer.now_ns), id="now"),
        el("span", " Without scripts it stands still: reload it for news.", id="still"),
    )


def card(title: Child, *body: Child, id_: str | None = None, live: str | None = None) -> Markup:
    """Return a titled part of a page. `live`: the topics on which the script fetches it again."""
    return el(
        "section",
        el("h2", title) if title else NOTHING,
        *body,
        class_="card",
        id=id_,
        data_live=live,
    )


def facts(pairs: Mapping[str, Child]) -> Markup:
    """Return a list of names and values; empty values are left out."""
    rows = (
        el("div", el("dt", name), el("dd", value))
        for name, value in pairs.items()
        if value not in (None, "")
    )
    return el("dl", rows, class_="facts")


def table(head: tuple[str, ...], rows: list[tuple[Child, ...]], *, empty: str) -> Markup:
    """Return a table whose rows become blocks on a phone, the last cell all across; `empty` stands
    there without rows."""
    if not rows:
        return el("p", empty, class_="dim")
    return el(
        "table",
        el("thead", el("tr", (el("th", name, scope="col") for name in head))),
        el(
            "tbody",
            (
                el(
                    "tr",
                    (el("td", cell, data_name=name) for name, cell in zip(head, row, strict=True)),
                )
                for row in rows
            ),
        ),
        class_="rows told",
    )


def problem(status: int, title: str, text: str, viewer: Viewer | None) -> web.Response:
    """Return a page that says what is wrong."""
    body = el("div", el("h1", title), el("p", text), class_="problem")
    return page(title, join([body]), viewer, live=False, status=status)
