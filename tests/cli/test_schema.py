"""`gateway schema`: what is printed is a schema that a validator takes."""

import json

import pytest
from jsonschema import Draft202012Validator

from gateway.cli.main import main


@pytest.mark.parametrize("kind", ["agent", "centre", "profile"])
def test_each_kind(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    """JSON on stdout, valid under the dialect it names."""
    assert main(["schema", kind]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


def test_the_shipped_profiles_are_offered(capsys: pytest.CaptureFixture[str]) -> None:
    """An editor completes the profiles' names."""
    assert main(["schema"]) == 0
    assert '"eastron-sdm630"' in capsys.readouterr().out
