"""Write plain values as TOML: enough to build config files for tests from tables."""


def toml(values: dict[str, object]) -> str:
    """Return a document of `key = value` lines; tables and lists of tables stand inline."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items())


def _key(key: str) -> str:
    return '"' + "".join(map(_character, key)) + '"'


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    return _key(str(value))


def _character(character: str) -> str:
    if character in '"\\' or not character.isprintable():
        return f"\\U{ord(character):08x}"
    return character
