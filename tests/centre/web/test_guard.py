"""The way in over HTTP: names, the login wall, forms of other sites, attempts, headers."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession, CookieJar

from gateway.centre.store.layout import open_writer
from gateway.centre.web import site as site_module
from gateway.centre.web.live import News
from gateway.centre.web.site import Site
from gateway.centre.web.users import User
from gateway.cli.certificates import make_certificates
from gateway.process.clock import Clock
from tests.centre.web.serving import NAME, PASSWORD, anna, serving, write_users
from tests.waiting import until

HTML = {"Accept": "text/html"}
BROWSER = {**HTML, "Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def user() -> User:
    return anna()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store."""
    path = tmp_path / "store.sqlite"
    open_writer(path).close()
    return path


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


class Visitor:
    """A browser as far as the login knows one."""

    def __init__(self, client: ClientSession, site: Site, scheme: str = "http") -> None:
        self.client = client
        self.base = f"{scheme}://127.0.0.1:{site.port}"

    async def get(self, path: str, **headers: str) -> ClientResponse:
        return await self.client.get(
            self.base + path, headers={**HTML, **headers}, allow_redirects=False, ssl=False
        )

    async def post(self, path: str, headers: dict[str, str], **fields: str) -> ClientResponse:
        return await self.client.post(
            self.base + path, data=fields, headers=headers, allow_redirects=False, ssl=False
        )

    async def login(
        self, password: str = PASSWORD, target: str = "/", name: str = NAME, **headers: str
    ) -> ClientResponse:
        page = await (await self.get("/login", **headers)).text()
        seal = re.search(r'name="form" value="([^"]+)"', page)
        assert seal
        return await self.post(
            "/login", {**BROWSER, **headers}, name=name, password=password, form=seal[1],
            next=target,
        )  # fmt: skip


async def test_every_answer_keeps_the_page_to_itself(store: Path, client: ClientSession) -> None:
    """No foreign code, no frame, no sniffing, nothing kept; what went wrong included."""
    async with serving(store, Clock()) as site:
        visitor = Visitor(client, site)
        for path, status in (("/", 200), ("/gateways/x", 404), ("/nowhere", 404)):
            answer = await visitor.get(path)
            assert answer.status == status
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"
            text = await answer.text()
            assert "<script>" not in text and " style=" not in text and " onclick" not in text
        assert "aiohttp" not in answer.headers["Server"]
        answer = await client.post(visitor.base + "/", data={})
        assert answer.status == 405


async def test_a_foreign_name_is_not_answered(store: Path, client: ClientSession) -> None:
    """DNS rebinding: a page of evil.example whose name points here reads nothing."""
    async with serving(store, Clock(), hosts=("centre.example.net",)) as site:
        visitor = Visitor(client, site)
        for host in ("evil.example", f"evil.example:{site.port}", "127.0.0.1.evil.example", ""):
            answer = await visitor.get("/", Host=host)
            assert answer.status == 421 and "gateway" not in (await answer.text()).lower()
        for host in ("localhost", f"LOCALHOST:{site.port}", "[::1]:1", "centre.example.net"):
            assert (await visitor.get("/", Host=host)).status == 200


async def test_the_wall_has_no_hole(store: Path, client: ClientSession, user: User) -> None:
    """Pages lead to the login, everything else is refused; only style and icon are open."""
    write_users(store.parent / "users", user)
    async with serving(store, Clock(), users_file="users") as site:
        visitor = Visitor(client, site)
        for path in ("/", "/incidents", "/gateways/a?hours=1", "/nowhere"):
            answer = await visitor.get(path)
            assert answer.status == 303
            assert answer.headers["Location"].startswith("/login?next=%2F")
        for path in ("/live", "/", "//login/../", "/login/../gateways/a"):
            answer = await visitor.get(path, Accept="*/*")
            assert answer.status in (401, 404), path
            assert "gateway_visit" not in str(answer.cookies)
        assert (await visitor.post("/logout", {**BROWSER}, form="x")).status == 401
        style = re.search(r'href="(/static/page[^"]+)"', await (await visitor.get("/login")).text())
        assert style and (await visitor.get(style[1])).status == 200


async def test_login_and_logout(store: Path, client: ClientSession, user: User) -> None:
    """The cookie is for this host, out of reach of scripts; the old token is worth nothing."""
    write_users(store.parent / "users", user)
    async with serving(store, Clock(), users_file="users") as site:
        visitor = Visitor(client, site)
        answer = await visitor.login(target="/incidents")
        assert (answer.status, answer.headers["Location"]) == (303, "/incidents")
        cookie = answer.cookies["gateway_visit"]
        assert cookie["httponly"] and cookie["samesite"] == "Strict" and cookie["path"] == "/"
        assert not cookie["secure"] and len(cookie.value) >= 43
        page = await (await visitor.get("/")).text()
        form = re.search(r'name="form" value="([^"]+)"', page)
        assert form and NAME in page
        assert (await visitor.post("/logout", {**BROWSER}, form="x")).status == 403
        foreign = {**BROWSER, "Origin": "https://evil.example"}
        assert (await visitor.post("/logout", foreign, form=form[1])).status == 403
        assert (await visitor.post("/logout", {**BROWSER}, form=form[1])).status == 303
        assert (await visitor.get("/", Cookie=f"gateway_visit={cookie.value}")).status == 303


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "/\n/x", ""],
)
async def test_the_login_leads_to_no_other_host(
    store: Path, client: ClientSession, user: User, target: str
) -> None:
    """Where one wanted to go is an address on this host, or the first page."""
    write_users(store.parent / "users", user)
    async with serving(store, Clock(), users_file="users") as site:
        answer = await Visitor(client, site).login(target=target)
        assert (answer.status, answer.headers["Location"]) == (303, "/")


async def test_a_form_of_another_site_logs_nobody_in(
    store: Path, client: ClientSession, user: User
) -> None:
    """Without our cookie, with another field, from another origin: refused before any hash."""
    write_users(store.parent / "users", user)
    async with serving(store, Clock(), users_file="users") as site:
        visitor = Visitor(client, site)
        answer = await visitor.post("/login", BROWSER, name=NAME, password=PASSWORD, form="x")
        assert answer.status == 403
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            answer = await visitor.login(**headers)
            assert answer.status == 403 and "gateway_visit" not in answer.cookies
        assert (await visitor.login()).status == 303, "none of these was counted as an attempt"


async def test_guessing_is_slowed_down(store: Path, client: ClientSession, user: User) -> None:
    """Five wrong passwords, then a wait that is told; an unknown name is answered alike."""
    write_users(store.parent / "users", user)
    async with serving(store, Clock(), users_file="users") as site:
        visitor = Visitor(client, site)
        texts = set()
        for name in (NAME, "nobody", NAME, NAME, "x" * 2000):
            answer = await visitor.login("wrong", name=name)
            assert answer.status == 403
            texts.add(re.findall(r'role="alert">([^<]+)', await answer.text())[0])
        assert texts == {"Name or password is wrong."}
        answer = await visitor.login()
        assert answer.status == 429 and 1 <= int(answer.headers["Retry-After"]) <= 13
        # A proxy on this machine tells whom it speaks for.
        answer = await visitor.login(**{"X-Forwarded-For": "203.0.113.7, 198.51.100.9"})
        assert answer.status == 303


async def test_who_lost_the_password_is_logged_out(
    store: Path, client: ClientSession, user: User
) -> None:
    """A changed file counts within seconds; a broken one changes nothing."""
    users = store.parent / "users"
    write_users(users, user)
    async with serving(store, Clock(), users_file="users") as site:
        visitor = Visitor(client, site)
        await visitor.login()
        users.write_text("nonsense")
        site._guard.look_at_users()
        assert (await visitor.get("/")).status == 200
        users.write_text("")
        site._guard.look_at_users()
        assert (await visitor.get("/")).status == 303


async def test_an_open_stream_ends_with_the_session(
    store: Path, client: ClientSession, user: User
) -> None:
    """Who is logged out hears no more news."""
    users = store.parent / "users"
    write_users(users, user)
    async with serving(store, Clock(), users_file="users") as site:
        visitor = Visitor(client, site)
        await visitor.login()
        stream = await visitor.get("/live", Accept="text/event-stream")
        assert stream.status == 200
        users.write_text("")
        site._guard.look_at_users()
        site.hub.publish(News((("gateways", 777),)))
        async with asyncio.timeout(20):
            rest = await stream.content.read()
        assert b"777" not in rest


async def test_behind_tls_the_cookie_never_leaves_it(
    store: Path, client: ClientSession, user: User
) -> None:
    """With a certificate of its own, or behind a proxy that says so, cookies are Secure and bound
    to the host."""
    write_users(store.parent / "users", user)
    files = make_certificates(store.parent, ("localhost",))
    tls = {"certificate_file": str(files.certificate_file), "key_file": str(files.key_file)}
    async with serving(store, Clock(), users_file="users", **tls) as site:
        answer = await Visitor(client, site, "https").login()
        cookie = answer.cookies["__Host-gateway_visit"]
        assert cookie["secure"] and cookie["httponly"] and cookie["path"] == "/"
        with pytest.raises(ClientError):
            await client.get(f"http://127.0.0.1:{site.port}/")
    async with serving(store, Clock(), users_file="users") as site:
        answer = await Visitor(client, site).get("/login", **{"X-Forwarded-Proto": "https"})
        assert answer.cookies["__Host-gateway_form"]["secure"]


async def test_connections_are_bounded(
    store: Path, client: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opens more than there is room for is cut off, and the page is back when they leave."""
    monkeypatch.setattr(site_module, "MAX_CONNECTIONS", 3)
    async with serving(store, Clock()) as site:
        server = site._runner.server
        assert server is not None
        held = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(3)]
        await until(lambda: len(server.connections) == 3)
        with pytest.raises(ClientError):
            await client.get(f"http://127.0.0.1:{site.port}/")
        for _, writer in held:
            writer.close()
        await until(lambda: not server.connections)
        assert (await Visitor(client, site).get("/")).status == 200


async def test_a_page_that_cannot_be_served_stops_nobody(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A port that is taken is a line in the log: gateways come first."""
    async with serving(store, Clock()) as site:
        settings = site._settings
        taken = type(settings)(listen=f"127.0.0.1:{site.port}")
        second = Site(taken, store.parent, store, "two", Clock())
        await second.open()
        assert second.port == 0
        await second.close()
    assert "the page cannot be served" in caplog.text
