"""HTML and SVG that cannot forget to escape: text becomes markup only through `el`.

Owns escaping. A plain string is always text; only `Markup` passes as it is, and only `el`, `join`
and the constants of this package's modules make it. Source: WHATWG HTML §13.1.2 (elements), §13.3
(escaping).
"""

from collections.abc import Iterable
from urllib.parse import quote, urlencode

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
_QUOTED = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "\0": "\ufffd"}
)


class Markup:
    """Finished markup. `text` is written out as it stands."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


Child = Markup | str | int | float | None | Iterable["Child"]
Attribute = str | int | float | bool | None
NOTHING = Markup("")


def escape(text: str) -> str:
    """Return text for an element's content or for an attribute's value."""
    return text.translate(_QUOTED)


def el(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """Return an element. ``class_`` is ``class``, ``data_x`` is ``data-x``; an attribute that is
    ``None`` or ``False`` is left out, ``True`` stands without a value."""
    parts = ["<", name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        parts += (" ", key.rstrip("_").replace("_", "-"))
        if value is not True:
            parts += ('="', escape(str(value)), '"')
    parts.append(">")
    if name in _VOID:
        return Markup("".join(parts))
    for child in children:
        _write(child, parts)
    parts += ("</", name, ">")
    return Markup("".join(parts))


def join(children: Iterable[Child]) -> Markup:
    """Return children one after the other, without an element around them."""
    parts: list[str] = []
    for child in children:
        _write(child, parts)
    return Markup("".join(parts))


def _write(child: Child, parts: list[str]) -> None:
    if isinstance(child, Markup):
        parts.append(child.text)
    elif isinstance(child, str):
        parts.append(child.translate(_QUOTED))
    elif child is None:
        return
    elif isinstance(child, int | float):
        parts.append(str(child))
    else:
        for one in child:
            _write(one, parts)


def address(*path: str, **query: str | int | None) -> str:
    """Return an address on this host: each part of the path quoted, empty parameters left out."""
    kept = {key: value for key, value in query.items() if value not in (None, "")}
    text = "/" + "/".join(quote(part, safe="") for part in path)
    return f"{text}?{urlencode(kept)}" if kept else text
