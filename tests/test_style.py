"""How the source reads: no call with more than four positional arguments; long functions and files
are printed, not refused."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "archsmith"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_POSITIONAL, LONG_FUNCTION, LONG_FILE = 4, 60, 450
# take as many as there are, all of one kind
ANY_NUMBER = {"zip", "max", "min", "print", "chain", "product", "view", "reshape"}


def positional_calls(path: Path) -> Iterator[tuple[int, int]]:
    """(line, number of arguments) of every call with too many of them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Call) and len(node.args) > MOST_POSITIONAL:
            name = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, "id", "")
            )
            if name not in ANY_NUMBER:
                yield node.lineno, len(node.args)


def long_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of the functions that are long."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONG_FUNCTION:
                yield node.name, lines


def test_no_call_has_more_than_four_positional_arguments() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} has {count}"
        for path in FILES
        for line, count in positional_calls(path)
    ]
    assert not wrong, f"give names to what follows the first arguments: {wrong}"


def test_what_is_long_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """No law: a list for whoever wants to shorten something (`pytest -s tests/test_style.py`)."""
    files = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    functions = [
        (f"{path.relative_to(PACKAGE)}:{name}", lines)
        for path in FILES
        for name, lines in long_functions(path)
    ]
    with capsys.disabled():
        for path, lines in files.items():
            if lines > LONG_FILE:
                sys.stdout.write(f"\n{path.relative_to(PACKAGE)}: {lines} lines")
        for where, lines in sorted(functions, key=lambda pair: -pair[1]):
            sys.stdout.write(f"\n{where}: {lines} lines")


def test_the_counting_counts() -> None:
    assert FILES and {path.parent.name for path in FILES} >= {"data", "searchers", "proxies"}
