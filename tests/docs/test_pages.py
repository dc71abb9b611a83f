"""The pages tell the truth about the package: its rooms, its files, its extras; their links lead
somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "archsmith"
DOCS = [path for path in (ROOT / "docs").rglob("*.md") if not {"_build", "notes"} & set(path.parts)]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS)]
FILE = re.compile(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.(?:py|md|html|txt))`")
LINK = re.compile(r"\]\(([^)#: ]+)(?:#[^)]*)?\)")
INCLUDES = {"contributing.md", "results.md"}  # whose links are those of another file


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def design() -> str:
    return (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def test_the_design_names_every_room_in_the_order_of_the_layers():
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        from test_architecture import LAYERS
    finally:
        sys.path.pop(0)
    plan = design().partition("## 3. Layers and layout")[2].partition("```")[2].partition("```")[0]
    lines = [line[2:39].strip() for line in plan.splitlines() if re.match(r"  \S", line)]
    named = [re.sub(r"\.py$|/$", "", word) for line in lines for word in line.split(", ")]
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    assert sorted(named) == sorted(layer)
    heights = [layer[name] for name in named]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = set(FILE.findall(page.read_text(encoding="utf-8")))
    missing = [
        name
        for name in named
        if not any((root / name).is_file() for root in (PACKAGE, ROOT, ROOT / "tests"))
    ]
    # which a run makes
    assert not [name for name in missing if not name.startswith(("runs/", "best/"))]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in INCLUDES], ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(
        re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    )
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_extras_that_a_page_names_can_be_installed(page: Path) -> None:
    extras = (
        (ROOT / "pyproject.toml")
        .read_text(encoding="utf-8")
        .partition("[project.optional-dependencies]")[2]
    )
    named = set(re.findall(r"extra `\[([a-z]+)\]`", page.read_text(encoding="utf-8")))
    assert not {name for name in named if not re.search(rf"^{name} = ", extras, re.MULTILINE)}


def test_every_page_is_in_a_table_of_contents():
    listed = set()
    for page in DOCS:
        for block in re.findall(
            r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
        ):
            entries = [
                line.strip()
                for line in block.splitlines()
                if line.strip() and not line.startswith(":")
            ]
            listed |= {(page.parent / f"{entry}.md").resolve() for entry in entries}
    assert {page.resolve() for page in DOCS} - listed == {(ROOT / "docs" / "index.md").resolve()}


def test_every_method_has_a_page_with_a_parity_card():
    from archsmith.methods import METHODS

    pages = {
        page.stem: page.read_text(encoding="utf-8")
        for page in DOCS
        if page.parent.name == "methods"
    }
    for name in METHODS:
        own = pages.get(name) or next(
            (text for text in pages.values() if f"| `{name}` |" in text), ""
        )
        assert "## Parity card" in own, f"{name} has no page"
