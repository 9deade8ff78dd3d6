"""Markup: whatever the text, it stays text."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from gateway.centre.web.markup import Markup, address, el, join


class _Reader(HTMLParser):
    """What a parser of its own finds: elements with attributes, and text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(alphabet=st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])))
def test_text_stays_text(text: str) -> None:
    """Nothing that a gateway, a browser or a store says can open an element or end an attribute."""
    reader = _Reader()
    reader.feed(el("p", text, title=text).text)
    reader.close()
    assert reader.found == [("p", (("title", text),))]
    assert reader.text == text


def test_attributes_and_children() -> None:
    """Names are turned, switches stand alone, what is None is left out, markup passes."""
    made = el("a", el("b", "x"), None, 3, [" ", Markup("<i>")], class_="c", data_x=1, hidden=True)
    assert made.text == '<a class="c" data-x="1" hidden><b>x</b>3 <i></a>'
    assert el("input", name="n", value=None, checked=False).text == '<input name="n">'
    assert join(["<", el("br")]).text == "&lt;<br>"


def test_addresses_stay_on_this_host() -> None:
    """Parts of a path are quoted, empty parameters left out."""
    assert address("gateways", "a/../b?c#d") == "/gateways/a%2F..%2Fb%3Fc%23d"
    assert address("", q="a&b", state="", page=None) == "/?q=a%26b"
