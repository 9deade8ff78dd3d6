"""The way in: which names the page answers to, who may see it, and the login form.

Owns the check of `Host` (DNS rebinding), the login wall, cookies and the form's protection. Never
shows data. Passwords are checked in a thread, one at a time: a hash costs memory and 0.2 s.
Sources: OWASP Authentication and CSRF Cheat Sheets; RFC 6265bis §4.1.3 (``__Host-``).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from gateway.centre.web.markup import NOTHING, address, el
from gateway.centre.web.shell import HEADERS, page
from gateway.centre.web.users import LONGEST, NOBODY, Users
from gateway.centre.web.visitors import Attempts, FormSeal, Visit, Visits
from gateway.config.centre import WebSettings, is_loopback
from gateway.errors import ConfigError
from gateway.process.clock import Clock

LOGGER = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_OPEN = ("/login", "/static/")
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_PLAIN, _SECURE = "gateway_visit", "__Host-gateway_visit"
_FORM_PLAIN, _FORM_SECURE = "gateway_form", "__Host-gateway_form"
MAX_FORM = 16 * 1024


class Guard:
    """One per listener. Without `users_file` everybody on this machine may look."""

    def __init__(
        self, settings: WebSettings, base: Path, clock: Clock, trusted: tuple[str, ...]
    ) -> None:
        self._clock = clock
        self._trusted = frozenset(trusted)
        self._own_tls = settings.certificate_file is not None
        own = _host(settings.listen)
        self._hosts = frozenset({own, *settings.hosts, *_LOCAL})
        self._any_host = not settings.hosts and not is_loopback(settings.listen)
        self.users = None if settings.users_file is None else Users(base / settings.users_file)
        self.visits = Visits()
        self._seal = FormSeal()
        self._attempts = Attempts()
        self._hashing = asyncio.Semaphore(1)
        self._fault = ""

    @property
    def walled(self) -> bool:
        """Tell whether one has to log in."""
        return self.users is not None

    def routes(self) -> list[web.RouteDef]:
        """Return the login's routes; none without a login."""
        if self.users is None:
            return []
        return [
            web.get("/login", self._form),
            web.post("/login", self._login),
            web.post("/logout", self._logout),
        ]

    def look_at_users(self) -> None:
        """Read the file of users again if it changed; who is gone from it, or has another
        password, is logged out."""
        if self.users is None:
            return
        before = {name: self.users.get(name) for name in self.visits.names()}
        try:
            if self.users.refresh():
                kept = {name for name, user in before.items() if user == self.users.get(name)}
                self.visits.keep(kept)
                LOGGER.info("users of the page read again users=%d", len(self.users))
            self._fault = ""
        except ConfigError as error:
            if str(error) != self._fault:
                LOGGER.error("users of the page cannot be read, the old ones stay error=%s", error)
            self._fault = str(error)

    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through, or answer it."""
        if not self._host_fits(request):
            return web.Response(
                status=421, text="this page does not go by that name; see web.hosts\n"
            )
        if self.users is None or request.path.startswith(_OPEN) or self.visit(request):
            return await handler(request)
        if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
            return _see(address("login", next=_local(request.path_qs)))
        return web.Response(status=401, text="log in first\n")

    def visit(self, request: web.Request) -> Visit | None:
        """Return the session a request belongs to; ``None`` without a login."""
        cookie = request.cookies.get(self._name(request, _PLAIN, _SECURE), "")
        return self.visits.find(cookie, self._clock.now()) if cookie else None

    def _host_fits(self, request: web.Request) -> bool:
        """Tell whether `Host` is a name of ours: a page of another origin that points its name at
        this address must not read what a browser on this machine may."""
        if self._any_host:
            return True
        return _host(request.headers.get("Host", "")) in self._hosts

    # Login

    async def _form(self, request: web.Request) -> web.Response:
        return self._show(request, _local(request.query.get("next", "/")))

    def _show(
        self, request: web.Request, target: str, trouble: str = "", status: int = 200
    ) -> web.Response:
        cookie = self._seal.cookie()
        form = el(
            "form",
            el("h1", "Log in"),
            el("p", trouble, class_="trouble", role="alert") if trouble else NOTHING,
            el(
                "label",
                "Name",
                el(
                    "input",
                    name="name",
                    autocomplete="username",
                    autocapitalize="none",
                    spellcheck="false",
                    required=True,
                    autofocus=True,
                    maxlength=64,
                ),
            ),
            el(
                "label",
                "Password",
                el(
                    "input",
                    name="password",
                    type="password",
                    autocomplete="current-password",
                    required=True,
                    maxlength=LONGEST,
                ),
            ),
            el("input", type="hidden", name="next", value=target),
            el("input", type="hidden", name="form", value=self._seal.field(cookie)),
            el("button", "Log in"),
            method="post",
            action="/login",
            class_="login",
        )
        response = page("Log in", form, None, live=False, status=status)
        self._set_cookie(request, response, _FORM_PLAIN, _FORM_SECURE, cookie)
        return response

    async def _login(self, request: web.Request) -> web.StreamResponse:
        assert self.users is not None
        fields = await request.post()
        name, password, seal, target = (
            value if isinstance(value := fields.get(key, ""), str) else ""
            for key in ("name", "password", "form", "next")
        )
        target = _local(target)
        cookie = request.cookies.get(self._name(request, _FORM_PLAIN, _FORM_SECURE), "")
        if not same_origin(request) or not self._seal.fits(cookie, seal):
            return self._show(request, target, "The form was too old. Try once more.", 403)
        who = self._address(request)
        wait_s = self._attempts.wait_s(who, self._clock.now())
        if wait_s > 0:
            text = f"Too many attempts. Try again in {wait_s:.0f} s."
            response = self._show(request, target, text, 429)
            response.headers["Retry-After"] = str(int(wait_s) + 1)
            return response
        user = self.users.get(name)
        async with self._hashing:
            fits = await asyncio.to_thread((user or NOBODY).fits, password)
        if user is None or not fits or self.users.get(name) != user:
            LOGGER.warning("login to the page failed address=%s known_name=%s", who, bool(user))
            return self._show(request, target, "Name or password is wrong.", 403)
        self._attempts.forgive(who)
        LOGGER.info("login to the page user=%s address=%s", name, who)
        done = _see(target)
        token = self.visits.begin(name, self._clock.now())
        self._set_cookie(request, done, _PLAIN, _SECURE, token)
        self._drop_cookie(request, done, _FORM_PLAIN, _FORM_SECURE)
        return done

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        visit = self.visit(request)
        field = (await request.post()).get("form", "")
        if not same_origin(request) or visit is None or field != visit.form:
            raise web.HTTPForbidden(text="this form is not from this page\n")
        self.visits.end(request.cookies.get(self._name(request, _PLAIN, _SECURE), ""))
        done = _see("/login")
        self._drop_cookie(request, done, _PLAIN, _SECURE)
        return done

    # Cookies and addresses

    def _encrypted(self, request: web.Request) -> bool:
        """Tell whether the browser speaks TLS. Whoever forges the header only keeps their own
        cookie from plain HTTP."""
        return self._own_tls or request.headers.get("X-Forwarded-Proto", "").lower() == "https"

    def _name(self, request: web.Request, plain: str, secure: str) -> str:
        return secure if self._encrypted(request) else plain

    def _set_cookie(
        self,
        request: web.Request,
        response: web.StreamResponse,
        plain: str,
        secure: str,
        value: str,
    ) -> None:
        response.set_cookie(
            self._name(request, plain, secure),
            value,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self._encrypted(request),
        )

    def _drop_cookie(
        self, request: web.Request, response: web.StreamResponse, plain: str, secure: str
    ) -> None:
        response.del_cookie(
            self._name(request, plain, secure),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self._encrypted(request),
        )

    def _address(self, request: web.Request) -> str:
        """Return who knocks; behind a proxy of `link.trusted_proxies` or of this machine, whom it
        names last."""
        peer = request.remote or ""
        if peer in self._trusted or peer in _LOCAL:
            named = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            return named[:64] or peer
        return peer


def _see(target: str) -> web.Response:
    return web.Response(status=303, headers={"Location": target, "Cache-Control": "no-store"})


def same_origin(request: web.Request) -> bool:
    """Tell whether a form comes from a page of this host, as far as the browser says."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    return urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower()


def _host(header: str) -> str:
    """Return the name in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.rpartition(":")[0].lower() if ":" in header else header.lower()


def _local(target: str) -> str:
    """Return an address on this host: never one that a browser takes for another host."""
    safe = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target[:2000] if safe and "\\" not in target else "/"


async def dress(request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer the headers that keep the page to itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "gateway-centre"
