"""The page on elastic layers: its code runs as it stands there, and its rules are those that are
checked."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

from archsmith.testing import RULES

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "elastic-layers.md").read_text(
    encoding="utf-8"
)


def test_its_code_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    (tmp_path / "code_of_the_page.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        # a module: what is pickled is looked up there
        page = importlib.import_module("code_of_the_page")
        assert len(inspect.getsource(page.ElasticScale).splitlines()) <= 20
        broken = type(
            "Broken", (page.ElasticScale,), {"weights": lambda self: {"weight": self.weight}}
        )
        with pytest.raises(AssertionError, match="Broken breaks the rule 'weights'"):
            page.check_layer(
                lambda: broken(page.Choice(4, 8, name="width")),
                lambda sizes: page.torch.ones(2, sizes["width"]),
            )
    finally:
        sys.modules.pop("code_of_the_page", None)


def test_its_rules_are_those_that_are_checked() -> None:
    table = dict(re.findall(r"^\| (\w+) \| (.+) \|$", PAGE, re.MULTILINE))
    assert table == RULES and list(table) == list(RULES)
