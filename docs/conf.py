"""How Sphinx makes a site of these pages: `make docs`; the reference comes from the docstrings."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from archsmith import __version__

project = "archsmith"
author = "the authors of archsmith"
copyright = "the authors of archsmith, Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
root_doc = "index"

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 130
add_module_names = False

html_theme = "furo"
html_title = f"archsmith {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
html_show_sphinx = False

_SPAN = re.compile(r"(`+)(.+?)\1")
_ITEM = re.compile(r"\s*(?:-|\d+\.) ")
_NOTES = "\n```{toctree}\n:glob:\n:hidden:\n\nnotes/*\n```\n"


def _of_the_site(app: Sphinx, name: str, source: list[str]) -> None:
    """Links that hold in the repository become links of the site, and names of files where those
    are no part of it."""
    text = re.sub(r"\]\((?:\.\./)*benchmarks/RESULTS\.md\)", "](/results.md)", source[0])
    text = re.sub(r"\]\((?:\.\./)*docs/([^)]+)\)", r"](/\1)", text)
    text = re.sub(r"\[([^\]]+)\]\((?:\.\./)*(?:\w+/)*\w+\.(?:py|sh|jsonl|toml)\)", r"`\1`", text)
    text = re.sub(r"(?<!!)\[([^\]]+)\]\(#([\w.-]+)\)", r'<a href="#\2">\1</a>', text)
    source[0] = text + (
        _NOTES if name == "results" and (Path(app.srcdir) / "notes").is_dir() else ""
    )


def _included(app: Sphinx, path: Path, parent: str, source: list[str]) -> None:
    _of_the_site(app, "", source)


def _docstring(app: Sphinx, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with `code`, lists and examples; here they become
    reStructuredText."""
    made: list[str] = []
    # of the paragraph; inside a block kept as it is; of the list's item, -1 outside
    indent, literal, item = 0, False, -1
    for line in lines:
        own = len(line) - len(line.lstrip())
        if not line.strip():
            literal, item = literal and own > 0, -1
            made.append("")
            continue
        after_text = bool(made and made[-1].strip())
        if literal and own <= indent:
            literal = False
            made.append("")
        if not literal and _ITEM.match(line):
            made += [""] if after_text and item < 0 else []
            indent = item = own
        elif not literal and own > indent and after_text and item < 0:
            literal = True
            made += ["", "::", ""]
        elif not literal:
            indent, item = (indent, item) if item >= 0 and own > item else (own, -1)
        made.append(line if literal or _is_example(lines, line) else _plain(line))
    lines[:] = made


def _signature(
    app: Sphinx,
    what: str,
    name: str,
    of: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> Any:
    """Names of types without their modules, also where a default is made anew for each."""
    if signature is None or "<factory>" not in signature:
        return None
    return re.sub(r"~(?:\w+\.)+", "", signature.replace("<factory>", "...")), returns


def _is_example(lines: list[str], line: str) -> bool:
    """Whether the line belongs to a doctest: its block begins with a prompt."""
    block: list[str] = []
    for other in lines:
        block = [] if not other.strip() else [*block, other]
        if other is line:
            return block[0].lstrip().startswith(">>> ")
    return False


def _plain(line: str) -> str:
    """Code in backticks as literals, all else without a meaning of its own."""
    made, at = "", 0
    for span in _SPAN.finditer(line):
        made += re.sub(r"([*|\\]|_(?!\w))", r"\\\1", line[at : span.start()]) + f"``{span[2]}``"
        at = span.end()
        if line[at : at + 1].isalnum():
            made += "\\ "
    return made + re.sub(r"([*|\\]|_(?!\w))", r"\\\1", line[at:])


def setup(app: Sphinx) -> None:
    """Pages, what they include, docstrings and signatures."""
    app.connect("source-read", _of_the_site)
    app.connect("include-read", _included)
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-process-signature", _signature)
