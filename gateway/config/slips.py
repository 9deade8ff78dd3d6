"""What people mean when a file is not TOML: the parser's message as one a technician can use.

Owns the words for the usual slips (a missing quote, a comma for a point, YAML or JSON habits). The
parser's own messages are kept for the rest. Source: TOML 1.0.
"""

import re

_ANY = "correct the spelling at this place"

_SLIPS: tuple[tuple[str, str, str], ...] = (
    (r"Cannot overwrite|Cannot mutate", "the key is given twice", "keep one of the two"),
    (r"Cannot declare .* twice", "the table is given twice", "put its keys under one header"),
    (
        r"Expected '=' after a key",
        "no = after the key",
        "write key = value (TOML takes =, not : or a space)",
    ),
    (r"Expected '\]'", "the bracket is not closed", "close it with ], a list of tables with ]]"),
    (r"Unclosed array", "the list is not closed", "close it with ]"),
    (r"Unclosed inline table", "the table is not closed", "close it with }"),
    (r"Unterminated string", "the text has no end", 'close it with "'),
    (
        r"Unescaped|Invalid hex value|escaped Unicode",
        "a backslash begins an escape",
        r"write \\ for each, or put the text into 'single quotes'",
    ),
    (
        r"Invalid value",
        "no value that TOML knows",
        'give a number, true, false or a text in "quotes"',
    ),
    (
        r"Invalid statement",
        "neither a [table] nor key = value",
        "write [table] headers and key = value lines; a comment begins with #",
    ),
    (r"Exceeds the limit", "a number with thousands of digits", "give the number that is meant"),
    (r"too (?:deep|many)|recursion", "lists or tables nested too deep", "nest at most 20 deep"),
)


def explain(message: str, line: str, column: int) -> tuple[str, str]:
    """Return what was found and the cure; `line` is the text's line at fault, `column` from 1."""
    rest = line[max(0, column - 1) :]
    if "Illegal character" in message:
        if rest in ("", "\n") or "\\n" in message:
            return "the text has no end in this line", 'close it with "'
        return "a character that cannot stand here", "remove it, or type the line anew"
    if "Expected newline" in message:
        if re.match(r",\d", rest):
            return "a comma in the number", "decimals take a point, 0.5"
        if rest.lstrip().startswith(("//", ";", "--")):
            return "a comment that TOML does not know", "a comment begins with #"
        return "more than one value in the line", "write one key = value a line"
    for pattern, found, cure in _SLIPS:
        if re.search(pattern, message):
            return found, cure
    return f"not valid TOML: {message[:200]}", _ANY
