"""How the source reads: no call with more than four positional arguments; long functions and files
and the share of clones are printed, not refused."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "archsmith"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_POSITIONAL, LONG_FUNCTION, LONG_FILE = 4, 60, 450
WINDOW = 8  # lines that stand in two places are a clone
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


def normalized(text: str) -> list[str]:
    """The lines that say something, without indents and comments: no blank ones, no imports, no
    brackets alone."""
    lines = (line.strip() for line in text.splitlines())
    return [
        line
        for line in lines
        if line.strip("()[]{},:\"'") and not line.startswith(("#", "import ", "from "))
    ]


def cloned(texts: Sequence[str], window: int = WINDOW) -> tuple[int, int]:
    """(lines in windows of so many that stand in more than one place, all lines)."""
    places: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    files = [normalized(text) for text in texts]
    for number, lines in enumerate(files):
        for first in range(len(lines) - window + 1):
            places.setdefault(tuple(lines[first : first + window]), []).append((number, first))
    repeated = {
        (number, first + step)
        for found in places.values()
        if len(found) > 1
        for number, first in found
        for step in range(window)
    }
    return len(repeated), sum(map(len, files))


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
        repeated, lines = cloned([path.read_text(encoding="utf-8") for path in FILES])
        sys.stdout.write(f"\nclones: {repeated} of {lines} lines ({repeated / lines:.2%})\n")


def test_clones_are_counted_whatever_their_indents_and_comments() -> None:
    body = [f"step_{number} = {number}" for number in range(WINDOW)]
    once = "\n".join([*body, "first = 1"])
    twice = "\n".join(
        ["if True:", *(f"    {line}  " for line in body[:3]), "    # why", "", *body[3:]]
    )
    assert cloned([once]) == (0, WINDOW + 1)
    assert cloned([once, twice]) == (2 * WINDOW, 2 * WINDOW + 2)
    assert cloned([once + "\n" + once]) == (2 * WINDOW + 2, 2 * WINDOW + 2)
    assert cloned([once, "\n".join(body[1:])])[0] == 0  # a line less is none


def test_the_counting_counts() -> None:
    assert FILES and {path.parent.name for path in FILES} >= {"data", "searchers", "proxies"}
