"""Who may log in: one file of names and scrypt hashes, one line a person.

Owns the file's form, the hashing and the checking of a password. Line:
``name scrypt$log2(n)$r$p$salt$hash`` (salt and hash in hex), made by `gateway centre passwd`. A
password is never kept, logged or put into a message. Parameters: OWASP Password Storage Cheat
Sheet, scrypt n=2^15 r=8 p=3; each line carries its own, so they can grow.
"""

import os
import re
import secrets
from dataclasses import dataclass
from hashlib import scrypt
from hmac import compare_digest
from pathlib import Path

from gateway.errors import ConfigError

USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
LOG_N, R, P = 15, 8, 3
SHORTEST, LONGEST = 10, 1024
"""Characters of a password; the longest bounds what a login may cost."""
_MAX_MEMORY = 256 * 1024 * 1024
_MAX_BYTES = 1024 * 1024
_SALT, _HASH = 16, 32


@dataclass(frozen=True, slots=True)
class User:
    """One line of the file."""

    name: str
    log_n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def line(self) -> str:
        """Return the user as the file keeps them."""
        numbers = f"{self.log_n}${self.r}${self.p}"
        return f"{self.name} scrypt${numbers}${self.salt.hex()}${self.digest.hex()}"

    def fits(self, password: str) -> bool:
        """Tell whether this is the user's password. Takes about 0.2 s of processor: in a thread."""
        return compare_digest(self.digest, _hash(password, self.salt, self.log_n, self.r, self.p))


def make_user(name: str, password: str) -> User:
    """Return a new line's content. Raises: ConfigError."""
    if not USER_NAME.fullmatch(name):
        raise ConfigError(
            f"user name {name!r}: give letters, digits, _ . @ - (at most 64), a letter or digit"
            " first"
        )
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConfigError(
            f"the password has {len(password)} characters; give {SHORTEST} to {LONGEST}"
        )
    salt = secrets.token_bytes(_SALT)
    return User(name, LOG_N, R, P, salt, _hash(password, salt, LOG_N, R, P))


def _hash(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    data = password[:LONGEST].encode("utf-8", "surrogatepass")
    return scrypt(data, salt=salt, n=1 << log_n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=_HASH)


NOBODY = User("", LOG_N, R, P, bytes(_SALT), bytes(_HASH))
"""Checked when the name is unknown, so that the answer takes as long."""


class Users:
    """The file as last read; `refresh` reads it again when it changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._users: dict[str, User] = {}

    def refresh(self) -> bool:
        """Read the file if it changed; return whether it had. A missing file holds nobody.

        Raises: ConfigError; what was read before stays in force.
        """
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            stamp = (0, 0, 0)
        if stamp == self._stamp:
            return False
        self._users = {user.name: user for user in read_users(self.path)}
        self._stamp = stamp
        return True

    def get(self, name: str) -> User | None:
        """Return who has that name."""
        return self._users.get(name)

    def __len__(self) -> int:
        return len(self._users)


def read_users(path: Path) -> list[User]:
    """Read the file. Raises: ConfigError."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise ConfigError(
                    f"{path}: mode {mode & 0o777:o} lets others read it; chmod 600 {path}"
                )
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path}: over {_MAX_BYTES} bytes; this is not a file of users")
    users = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            user = _user(line)
            if user is None:
                raise ConfigError(
                    f"{path}:{number}: not a user's line; put there what"
                    " `gateway centre passwd NAME` prints"
                )
            users.append(user)
    return users


def _user(line: str) -> User | None:
    """Return a line's user; ``None``: it is not one, or would cost more than we spend."""
    name, _, rest = line.strip().partition(" ")
    fields = rest.strip().split("$")
    if len(fields) != 6 or fields[0] != "scrypt" or not USER_NAME.fullmatch(name):
        return None
    try:
        log_n, r, p = (int(field) for field in fields[1:4])
        salt, digest = bytes.fromhex(fields[4]), bytes.fromhex(fields[5])
    except ValueError:
        return None
    affordable = 10 <= log_n <= 17 and 1 <= r <= 8 and 1 <= p <= 8
    if not affordable or len(salt) < _SALT or len(digest) != _HASH:
        return None
    return User(name, log_n, r, p, salt, digest)
