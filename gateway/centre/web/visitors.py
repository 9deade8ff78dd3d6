"""Who is logged in, and how often somebody may try to.

Owns the sessions of browsers (in memory: a restart of the centre logs everybody out) and the
budget of login attempts. Time is the argument `now`. A session's token is kept as its hash only.
Source: OWASP Session Management Cheat Sheet.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from hmac import new as hmac

IDLE_S = 12 * 3600.0
"""A session nobody used for that long is over."""
LIFE_S = 7 * 86_400.0
MAX_VISITS = 1000
"""Sessions kept; the one unused for longest makes room."""


@dataclass(slots=True)
class Visit:
    """One browser's session. `user`: the name it logged in with."""

    user: str
    form: str
    """What a form of this session must send back."""
    began: float
    used: float


class Visits:
    """The sessions by the hash of their token."""

    def __init__(self) -> None:
        self._visits: OrderedDict[bytes, Visit] = OrderedDict()

    def begin(self, user: str, now: float) -> str:
        """Log a user in; return the token for the cookie."""
        token = secrets.token_urlsafe(32)
        self._visits[_key(token)] = Visit(user, secrets.token_urlsafe(18), now, now)
        while len(self._visits) > MAX_VISITS:
            self._visits.popitem(last=False)
        return token

    def find(self, token: str, now: float) -> Visit | None:
        """Return the session of a cookie and count it as used."""
        key = _key(token)
        visit = self._visits.get(key)
        if visit is None:
            return None
        if now - visit.used > IDLE_S or now - visit.began > LIFE_S:
            del self._visits[key]
            return None
        visit.used = now
        self._visits.move_to_end(key)
        return visit

    def end(self, token: str) -> None:
        """Log out."""
        self._visits.pop(_key(token), None)

    def keep(self, users: set[str]) -> None:
        """End the sessions of everybody else."""
        for key in [key for key, visit in self._visits.items() if visit.user not in users]:
            del self._visits[key]

    def names(self) -> set[str]:
        """Return who is logged in."""
        return {visit.user for visit in self._visits.values()}


def _key(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


class FormSeal:
    """Ties the login form to the browser it was sent to: cookie and hidden field belong together,
    and nobody else can make a pair. Source: OWASP CSRF Cheat Sheet, signed double submit."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def cookie(self) -> str:
        """Return a new cookie."""
        return secrets.token_urlsafe(18)

    def field(self, cookie: str) -> str:
        """Return what the form's hidden field must hold beside that cookie."""
        data = cookie.encode("utf-8", "surrogatepass")
        return hmac(self._secret, data, "sha256").hexdigest()

    def fits(self, cookie: str, field: str) -> bool:
        """Tell whether the two were made together."""
        given = field.encode("utf-8", "surrogatepass")
        return bool(cookie) and compare_digest(self.field(cookie).encode(), given)


class Attempts:
    """A bucket of login attempts for each address and one for all: each attempt costs a hash.

    An address has `BURST`, then one every `EVERY_S`; all together `ALL_BURST`, then one every
    `ALL_EVERY_S`: at most a tenth of a core for whoever knocks.
    """

    BURST, EVERY_S = 5, 12.0
    ALL_BURST, ALL_EVERY_S = 20, 2.5
    MAX_ADDRESSES = 4096

    def __init__(self) -> None:
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str, now: float) -> float:
        """Take an attempt; return 0, or how long to wait because there was none to take."""
        own = self._left(address, self.BURST, self.EVERY_S, now)
        common = self._left("", self.ALL_BURST, self.ALL_EVERY_S, now)
        if own < 1:
            return (1 - own) * self.EVERY_S
        if common < 1:
            return (1 - common) * self.ALL_EVERY_S
        self._set(address, own - 1, now)
        self._set("", common - 1, now)
        return 0.0

    def forgive(self, address: str) -> None:
        """A login that succeeded gives its address everything back."""
        self._spent.pop(address, None)

    def _left(self, name: str, burst: int, every_s: float, now: float) -> float:
        left, at = self._spent.get(name, (float(burst), now))
        return min(float(burst), left + (now - at) / every_s)

    def _set(self, name: str, left: float, now: float) -> None:
        self._spent[name] = left, now
        self._spent.move_to_end(name)
        while len(self._spent) > self.MAX_ADDRESSES:
            self._spent.popitem(last=False)
