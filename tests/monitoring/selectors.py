"""What an expression of PromQL looks at.

Owns a reader good enough for the rules and the dashboard; never evaluates anything.
"""

import re


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
