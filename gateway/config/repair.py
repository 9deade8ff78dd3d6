"""Words that stand without quotes where TOML wants a value: one slip must not hide all others.

Owns finding them and putting quotes around, so that the rest of the file is read too. The slip is
still a problem: the key's getter says it (a word for a number), or `Document` does.
"""

import re
import tomllib

MAX_REPAIRS = 50
AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
"""Where `tomllib` says its message's place (3.14 has attributes, 3.11 only the text)."""
_PAIR = re.compile(r"([ \t]*[A-Za-z0-9_.-]+[ \t]*=[ \t]*)([^\s\"'\\\[\]{}#,=]+)[ \t]*(#.*)?")


def quote_bare_words(text: str) -> tuple[str, dict[int, str]]:
    """Return the text with its bare words in quotes, and each one's line and word.

    Raises: RecursionError, ValueError (a number with too many digits) as `tomllib`.
    """
    repaired: dict[int, str] = {}
    while len(repaired) < MAX_REPAIRS:
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            match = AT.search(str(error))
            number = int(match.group(1)) if match and match.group(1) else 0
            lines = text.replace("\r\n", "\n").split("\n")
            slip = _PAIR.fullmatch(lines[number - 1]) if number else None
            if slip is None or number in repaired or _is_value(slip.group(2)):
                break  # another mistake than a missing pair of quotes
            before, word, comment = slip.group(1), slip.group(2), slip.group(3) or ""
            lines[number - 1] = f'{before}"{word}" {comment}'
            repaired[number] = word
            text = "\n".join(lines)
        else:
            break
    return text, repaired


def _is_value(word: str) -> bool:
    try:
        tomllib.loads(f"a = {word}")
    except ValueError:
        return False
    return True
