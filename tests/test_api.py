"""The functions of the public face take what the command line takes, with the same defaults."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import archsmith
from archsmith.run.request import Request


def test_search_has_every_setting_of_a_request_with_its_default() -> None:
    keywords = inspect.signature(archsmith.search).parameters
    asked = {
        "time" if name == "time_s" else name: field for name, field in Request.model_fields.items()
    }
    assert set(keywords) == {*asked, "out"}
    # required; a text there and seconds here; None for an empty mapping
    differ = {"data", "time", "training", "settings"}
    assert {n: keywords[n].default for n in asked if n not in differ} == {
        n: asked[n].default for n in asked if n not in differ
    }


def test_a_keyword_that_there_is_not_is_an_error_of_python(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="colour"):
        archsmith.search("digits", out=tmp_path / "run", colour="red")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"time": "soon"}, "soon"),
        ({"steps": 0}, "steps"),
        ({"fit": "round"}, "round"),
        ({"training": {"colour": 1}}, "colour"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(
    tmp_path: Path, asked: dict[str, object], said: str
) -> None:
    with pytest.raises(archsmith.errors.UserError, match=said):
        archsmith.search("digits", out=tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()
