"""How the tests of this package ask a Prometheus, and what an expression looks at.

Owns the HTTP API's answers and a reader of PromQL good enough for the rules and the dashboard;
never evaluates anything itself.
"""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server at `address`."""

    address: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an expression now. Raises: ValueError for a wrong one."""
        found = self.get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        result: list[dict[str, Any]] = found["result"]
        return result

    def get(self, path: str) -> Any:
        """Return the data of an answer of the HTTP API."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from error


def selectors(expression: str) -> list[str]:
    """Return the instant selectors of an expression, label matchers included."""
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", expression)
    found = re.findall(r"([a-zA-Z_:][\w:]*)(\{[^}]*\})?(\s*\()?", bare)
    words = {"and", "or", "unless", "bool", "offset", "by", "on", "inf", "nan"}
    return [
        f"{name}{matchers}"
        for name, matchers, call in found
        if not call and name not in words and re.search(r"[_:]|^up$", name)
    ]
