"""The results: records keep to their schema, the page is made of them, and what texts quote is what
was recorded."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import results
from results_page import PAGE, rendered

ROOT = Path(__file__).parent.parent
RESULTS, FAULTS = results.read()
TEXTS = {
    path: path.read_text(encoding="utf-8")
    for path in [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "src").rglob("*.py")),
    ]
}
CITING = [path for path, text in TEXTS.items() if "(result" in text]
RECORD: dict[str, Any] = {
    "id": "a-1",
    "date": "2026-01-31",
    "claim": "a claim",
    "value": 1,
    "unit": "%",
    "detail": "1 %, the other 93.50",
    "spread": "+- .3",
    "n": "3 seeds",
    "verdict": "won",
    "command": "make demo",
    "commit": "0",
    "hardware": "a machine",
    "seconds": 1,
    "story": "",
    "supersedes": None,
}


def record(**changes: Any) -> results.Result:
    """A made-up record."""
    return results.parse(json.dumps(RECORD | changes), "outcome")


def test_every_record_keeps_to_the_schema() -> None:
    assert not FAULTS
    assert len(RESULTS) > 500 and {result.topic for result in RESULTS} == set(results.TOPICS)


def test_ids_are_unique_what_is_superseded_is_known_and_what_is_named_is_there() -> None:
    assert not results.faults_of(RESULTS, results.headlines())


def test_the_page_is_up_to_date() -> None:
    assert rendered(RESULTS, results.headlines()) == PAGE.read_text(encoding="utf-8"), (
        "python benchmarks/run.py render"
    )


def test_the_readme_the_pages_and_the_sources_cite() -> None:
    assert {"README.md", "zico.md", "few-shot.md", "ddpnas.md", "design.md"} <= {
        path.name for path in CITING
    }
    assert sum(path.suffix == ".py" for path in CITING) > 5


@pytest.mark.parametrize("path", CITING, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_text_quotes_is_what_was_recorded(path: Path) -> None:
    assert not results.misquoted(TEXTS[path], RESULTS)


def test_every_measured_cell_of_a_parity_card_names_its_result() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for text in TEXTS.values()
        for line in text.partition("## Parity card")[2].splitlines()
        if line.startswith("| ")
    ]
    cells = [row[2] for row in rows if re.search(r"\d", row[2])]
    assert len(cells) > 10 and not [cell for cell in cells if "(result " not in cell]


def test_scripts_that_texts_name_are_where_they_say() -> None:
    said = {
        (path.name, found)
        for path in [*TEXTS, *(ROOT / "benchmarks").rglob("*.py")]
        if path.parent.name != "notes"  # there as they were run
        for found in re.findall(
            r"benchmarks/(?:[a-z_]+/)*[a-z_0-9]+\.py", path.read_text(encoding="utf-8")
        )
    }
    assert said and not [(where, what) for where, what in said if not (ROOT / what).is_file()]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "good"}, "verdict is 'good', not one of won"),
        ({"id": "A 1"}, "id is 'A 1'"),
        ({"date": "31.1.26"}, "isoformat"),
        ({"value": ""}, "value is empty"),
        ({"value": True}, "value is True, not int or Decimal or str"),
        ({"seconds": [1]}, r"seconds is \[1\]"),
        ({"more": 1}, "unknown field more; there are id, date, claim"),
    ],
)
def test_a_record_that_is_none_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        record(**changes)


def test_a_missing_field_and_a_torn_line_are_said_with_their_place(tmp_path: Path) -> None:
    less = {name: value for name, value in RECORD.items() if name != "unit"}
    (tmp_path / "clock.jsonl").write_text(f"{json.dumps(RECORD)}\n{json.dumps(less)}\n{{\n")
    (tmp_path / "other.jsonl").write_text("")
    found, faults = results.read(tmp_path)
    assert [result.id for result in found] == ["a-1"] and found[0].topic == "clock"
    assert [fault.partition(": ")[0] for fault in faults] == [
        "clock.jsonl, line 2",
        "clock.jsonl, line 3",
        "other.jsonl",
    ]
    assert faults[0].endswith("no field unit")


def test_what_does_not_hold_together_is_said() -> None:
    def faults(*given: results.Result, first: tuple[str, ...] = ()) -> str:
        return " / ".join(results.faults_of(given, first))

    assert faults(record(), record(id="b", supersedes="a-1"), first=("b",)) == ""
    assert "two results have this id" in faults(record(), record())
    assert "supersedes c, which is no result" in faults(record(supersedes="c"))
    assert ("b: it supersedes itself") in faults(
        record(supersedes="b"), record(id="b", supersedes="a-1")
    )
    assert "a-1: it supersedes itself" in faults(record(supersedes="a-1"))
    assert ("a-1 is superseded by b") in faults(
        record(), record(id="b", supersedes="a-1"), first=("a-1",)
    )
    assert "x is no result" in faults(record(), first=("x",))
    assert "docs/notes/none.md, is not there" in faults(record(story="none.md"))
    assert "gone.py is nowhere in benchmarks/" in faults(
        record(command="python benchmarks/gone.py")
    )


def test_where_a_script_lies_now_is_said() -> None:
    assert results.moved(record(command="python benchmarks/outcome.py")) == [
        "benchmarks/outcome/outcome.py"
    ]
    assert results.moved(record(command="python benchmarks/outcome/outcome.py")) == []
    assert results.moved(record(command="python benchmarks/faults.py")) == [
        "benchmarks/robustness/campaign.py"
    ]


def test_numbers_before_a_citation_are_compared_digit_by_digit() -> None:
    def faults(text: str) -> list[str]:
        return results.misquoted(
            text,
            [record(), record(id="b", value=-0.25, detail="-.25, 42,500 images and 17 passes")],
        )

    for right in (
        "1 % (result a-1)",
        "93.5 (result a-1)",
        "1 / 93.50 (result a-1)",
        ".3 points (result a-1)",
        "-0.25 (result b)",
        "-.25, 42,500\n    # images (result b)",
        "1 and -.25 (results a-1, b)",
        "17 passes over CIFAR-10 (result b)",
        "-.25 (1 to 93.5) (results a-1, b)",
        "8 of them. So it is (result a-1)",
        "words alone (result a-1)",
    ):
        assert not faults(right), right
    assert faults("93.6 % (result a-1)") == ["93.6 is not in a-1"]
    assert faults("0.25 (result b)") == ["0.25 is not in b"]
    assert faults("1 / 2 (result a-1)") == ["2 is not in a-1"]
    assert faults("1 (2 to 3) (result a-1)") == ["2 is not in a-1", "3 is not in a-1"]
    assert faults("1 % (result c-1)") == ["c-1 is no result", "1 is not in c-1"]
    assert "not of the form" in faults("(results a-1 and b)")[0]
    assert results.numbers("CIFAR-10: **81.27 %**, -.29, 1,305 of x2") == {
        Decimal("81.27"),
        Decimal("-0.29"),
        Decimal(1305),
    }


def test_the_page_keeps_superseded_results_apart() -> None:
    page = rendered(
        [
            record(value=70.5),
            record(id="b", supersedes="a-1", command="python benchmarks/digits.py | x"),
        ],
        ["b"],
    )
    now, _, old = page.partition("### Superseded")
    assert (
        '<a id="b"></a>b' in now
        and '<a id="a-1"></a>a-1' not in now
        and ('<a id="a-1"></a>a-1') in old
    )
    assert "**70.5 %**: 1 %" in old and "[b](#b)" in old.partition("### Runs")[0]
    assert "(now benchmarks/outcome/digits.py)" in old and "2. 2026-01-31" in old


def loaded_runner() -> ModuleType:
    """`benchmarks/run.py`, under a name that nothing else has."""
    spec = importlib.util.spec_from_file_location("benchmarks_run", ROOT / "benchmarks" / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_runner_lists_runs_and_refuses(capfd: pytest.CaptureFixture[str]) -> None:
    runner = loaded_runner()
    assert runner.main(["list"]) == 0
    listed = capfd.readouterr().out
    assert len(re.findall(r"^  \w+ ", listed, re.M)) == len(results.scripts()) > 30
    assert re.search(r"^  campaign +34\.3 min  Kills, full disks", listed, re.M)
    assert runner.main(["check"]) == 0
    assert runner.main(["outcom"]) == 2 and "did you mean 'outcome'?" in capfd.readouterr().err
    assert runner.main(["digits", "--help"]) == 0 and "--seeds" in capfd.readouterr().out
