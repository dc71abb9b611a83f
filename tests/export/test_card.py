"""card.md shows what others wrote, and does nothing with it."""

from __future__ import annotations

import re

import pytest

from archsmith.export.card import card, plain

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a | b",
    "two\nlines",
    "[here](javascript:alert(1))",
    "`code`",
    "**bold**",
    "# heading",
    "- item",
    "1. first",
    "&lt;b&gt;",
    "_under_",
    "back\\slash",
    "\u202eturned",
    "\udcff half",
    "~~gone~~",
    "<!-- hidden",
    "![x](http://e.org/x.png)",
    "> quoted",
    "plain_name",
    "params<=60k",
    "stop & go",
]


def facts(text: str) -> dict[str, object]:
    return {
        "name": text,
        "summary": text,
        "classes": [text, "other"],
        "shape": [3, 8, 8],
        "how": text,
        "method": text,
        "budget": text,
        "caveats": [text],
        f"fact {text}": text,
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_what_others_wrote_is_text_in_the_card(text: str) -> None:
    plainly = card(facts("name"), {}, [{"name": "model.onnx", "why": "name"}], {}, None)
    written = card(facts(text), {}, [{"name": "model.onnx", "why": text}], {}, None)
    written.encode()
    assert written.count("\n") == plainly.count("\n")  # nothing begins a line of its own
    assert not re.search(r"<[A-Za-z/!?]", written)
    assert not re.search(r"(?<!\\)(\\\\)*[\[\]*~]", re.sub(r"```.*?```", "", written, flags=re.S))
    for line in written.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3
    beginnings = [line[:2] for line in written.splitlines() if line]
    assert beginnings.count("- ") == [line[:2] for line in plainly.splitlines() if line].count("- ")


@pytest.mark.parametrize(
    "text",
    [
        "stop_sign",
        "params<=60k, macs<=2M",
        "95 % interval 0.1 to 0.2",
        "stop & go",
        "ein Stra\u00dfenbahn",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_hostile_names_make_a_program_and_files_that_still_read(tmp_path) -> None:
    import json

    from torch import nn

    from archsmith.graph.writer import annotate, write

    data = write(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (3, 2, 2))
    import onnx

    for text in HOSTILE:
        model = onnx.load_from_string(annotate(data, {"labels": [text], "task": text}))
        assert json.loads(model.metadata_props[0].value)[0] in (
            text,
            text.encode("utf-8", "backslashreplace").decode(),
        )
