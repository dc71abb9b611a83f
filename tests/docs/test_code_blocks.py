"""Every fenced Python block of the README, of docs/start.md and of the guides runs, as a reader
would: page by page, in order.

A block that begins with a comment like `# my_model.py` is that file, too. One after `<!-- not run:
WHY -->` is only compiled.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "start.md",
    *sorted((ROOT / "docs" / "guides").glob("*.md")),
]
BLOCK = re.compile(
    r"^(?P<left><!-- not run: .+ "
    r"-->\n+)?```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"# (\w+\.py)\n")


@dataclass(frozen=True)
class Block:
    """Code, the line of its page that it begins at, and whether it is run."""

    code: str
    line: int
    runs: bool


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["code"], text.count("\n", 0, found.start("code")) + 1, found["left"] is None)
        for found in BLOCK.finditer(text)
    ]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Code of a page writes into the folder that it is run in."""
    monkeypatch.chdir(tmp_path)
    yield


def test_there_is_code_and_most_of_it_runs():
    every = [block for page in PAGES for block in blocks(page)]
    assert len(every) > 15 and sum(block.runs for block in every) > 0.8 * len(every)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name)
def test_the_code_of(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("page")  # so that what a page defines can be pickled
    monkeypatch.setitem(sys.modules, "page", module)
    known: dict[str, Any] = vars(module)
    for block in blocks(page):
        code = compile("\n" * (block.line - 1) + block.code, name(page), "exec", dont_inherit=True)
        if named := FILE.match(block.code):
            (tmp_path / named[1]).write_text(block.code, encoding="utf-8")
        if block.runs:
            exec(code, known)
