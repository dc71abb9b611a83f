"""The page: complete, offline, safe, honest, and there at every moment of a run."""

from __future__ import annotations

import json
import math
import re
import sqlite3
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_runs import other

from archsmith._internal.statistics import wilson
from archsmith.errors import Damaged, UserError
from archsmith.report import write
from archsmith.report.page import render
from archsmith.report.results import tiles
from archsmith.report.run_record import STAGES, read
from archsmith.run.decisions import SECTION
from archsmith.run.records.section import Section

VOID = {"meta", "link", "br", "line", "rect", "circle", "path", "img", "input"}


class Page(HTMLParser):
    """Checks that elements nest, and collects the text, the addresses and the scripts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [
            value or ""
            for name, value in attrs
            if name in ("src", "href", "action", "data", "srcset", "poster")
        ]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return None

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words).replace("\u202f", " "))


def page(run: Any) -> Page:
    return Page(write(run.folder).read_text(encoding="utf-8"))


@pytest.mark.parametrize("stages", range(len(STAGES) + 1))
def test_there_is_a_page_at_every_moment(made: Any, stages: int) -> None:
    found = page(made(stages))
    assert ("not complete" in found.text) == (stages < len(STAGES))
    assert ("not yet done" in found.text) == (stages < len(STAGES))
    for text, needed in (
        ("1,770 images", 1),
        ("0.21 % fit", 2),
        ("300 networks scored", 3),
        ("ZiCo score of the search", 6),
        ("18,234", 6),
    ):
        assert (text in found.text) == (stages >= needed), text
    for text in (
        "right on images",
        "A tie with the hand-made network",
        "model.onnx",
        "13 mistakes in 540 test images",
    ):
        assert (text in found.text) == (stages == len(STAGES)), text


@pytest.mark.parametrize("kind", ["digits", "photos"])
def test_nothing_is_asked_of_the_network(made: Any, kind: str) -> None:
    source = write(made(kind=kind).folder).read_text(encoding="utf-8")
    found = Page(source)
    assert found.addresses and all(address.startswith("data:") for address in found.addresses)
    own = source.replace(max(found.scripts, key=len), "")
    assert "http:" not in own and "https:" not in own and "@import" not in own and "url(" not in own
    assert "default-src 'none'" in own  # and the browser is told to hold us to it
    assert source.count("plotly.js v") == 1
    assert len(source) < 6_000_000


def test_what_comes_from_outside_stays_text(made: Any) -> None:
    source = write(made(kind="photos").folder).read_text(encoding="utf-8")
    assert "<script>alert" not in source and "<b>torn" not in source
    assert "<script>alert(1)</script> & co" in Page(source).text
    assert "cat/<b>torn</b>.jpg" in Page(source).text


def test_figures_are_data_that_a_browser_can_parse(made: Any) -> None:
    scripts = page(made()).scripts
    specs = [json.loads(script) for script in scripts if script.startswith("{")]
    assert len(specs) == 4
    assert all(spec["data"] and "layout" in spec for spec in specs)


def shift(run: Any, ours: float, theirs: float, n: int) -> Page:
    """The page of a run whose two test accuracies are these."""
    both = (("test", ours), ("search__test", ours), ("reference_test", theirs))
    named = {
        "accuracy": lambda share: share,
        "n": lambda share: n,
        "interval": lambda share: wilson(share * n, n),
    }
    changes = {f"{which}__{name}": of(share) for which, share in both for name, of in named.items()}
    return Page(render(other(read(run.folder), "shipped", **changes)))


def test_the_verdict_is_no_louder_than_the_test_set(made: Any) -> None:
    run = made()
    assert "The search paid" in shift(run, 0.98, 0.90, 540).text
    lost = shift(run, 0.90, 0.98, 540).text
    assert "The hand-made network did better" in lost and "the search did not pay" in lost
    tie = shift(run, 0.98, 0.97, 540).text
    assert "A tie" in tie and "within what 540 test images can tell apart" in tie
    assert "The search paid" in shift(run, 0.98, 0.97, 10_000).text


def test_few_photos_are_better_served_by_fine_tuning(made: Any, tmp_path: Path) -> None:
    run = made(kind="photos")
    assert "fine-tuning a pretrained network is the better tool" in page(run).text
    assert (
        "fine-tuning"
        not in Page(render(other(read(run.folder), "looked", counts__train=[1000] * 4))).text
    )


def test_digits_need_no_such_advice(made: Any) -> None:
    assert "fine-tuning" not in page(made()).text


def test_caveats_name_what_was_found(made: Any) -> None:
    text = page(made(kind="photos")).text
    for expected in (
        "2 exact duplicates and 5 near",
        "1 file could not be read",
        "5 times as many images",
        "Fewer than ten test images in Größe",
        "1 network failed to train (loss became NaN at step 41)",
        "best of 6 on 166 validation images",
        "One seed",
    ):
        assert expected in text, expected


def test_a_missed_budget_is_said_twice(made: Any) -> None:
    record = other(read(made().folder), "shipped", budget__0__value=21000, budget__0__met=False)
    text = Page(render(record)).text
    assert "missed" in text and "The shipped file misses the budget" in text


def test_a_limit_says_of_what_it_is_a_share(made: Any) -> None:
    record = read(made().folder)
    said = "% of the largest network's"
    assert said not in Page(render(record)).text
    text = Page(render(other(record, "profiled", budget__0__share=0.4))).text
    assert text.count(f"40 {said} 50 k") == 1  # of 20 k


def test_predicted_numbers_look_different(made: Any) -> None:
    run = made()
    run.update(predicted_s={"screen": 20.0})
    source = render(read(run.folder))
    # the median latency of the space
    assert re.search(r'class="predicted">\s*≈ 0\.4\u202fms', source)
    assert re.search(r'class="predicted">\s*≈ 20\u202fs', source)  # the planned time of a stage
    assert "0.0871\u202fms" in source and "≈ 0.0871" not in source  # what was timed


def test_a_failed_run_says_why(made: Any) -> None:
    run = made(3, status="failed")
    run.update(error="no space <left> on the disk")
    text = page(run).text
    assert "This run stopped: no space <left> on the disk. 3 of 7 stages are done" in text


@pytest.mark.parametrize("classes", [2, 13, 61, 300])
def test_any_number_of_classes(made: Any, classes: int) -> None:
    counts = {p: [9] * classes for p in ("train", "val", "test")}
    record = other(
        read(made().folder), "looked", classes=[f"class {i}" for i in range(classes)], counts=counts
    )
    matrix = [[9 if i == j else 0 for j in range(classes)] for i in range(classes)]
    matrix[0][0], matrix[0][1] = 8, 1
    right = {
        "test__confusion": matrix,
        "test__n": 9 * classes,
        "test__accuracy": 1 - 1 / (9 * classes),
    }
    found = Page(render(other(record, "shipped", **right)))
    assert "class 0 taken for class 1 (1 of 9)" in found.text
    assert ("too many to draw" in found.text) == (classes > 60)


@pytest.mark.parametrize(
    ("share", "high", "said"),
    [(0.0, 0.0005, "fewer than 0.05 % fit"), (0.0004, 0.001, "0.04 % fit")],
)
def test_what_none_of_the_drawn_ones_keeps_is_rare_not_none(
    made: Any, share: float, high: float, said: str
) -> None:
    drawn = {"share": share, "low": 0.0, "high": high, "draws": 4000}
    assert (
        said
        in Page(
            render(other(read(made(status="done").folder), "profiled", feasible_share=drawn))
        ).text
    )


def test_gaps_in_a_record_are_dashes(made: Any) -> None:
    run = made(status="done")
    nothing = dict.fromkeys(("min", "median", "max"), math.nan)
    record = other(
        read(run.folder), "profiled", budget=[], latency_table=None, metrics__params=nothing
    )
    record = other(record, "finished", reference=None, plan__scoring_s=None)
    gone = {
        "latency_ms": None,
        "reference_test": None,
        "search": None,
        "layers": [],
        "mistakes": [],
    }
    record = other(record, "shipped", **gone, max_difference={}, fell_back=[], budget=[])
    record = other(record, "looked", notes=[], unreadable=[])
    record = other(record, "searched", best=None, random=None)
    record = other(record, "screened", proxy=None, best=None, seconds_per_score=None)
    text = Page(render(record)).text
    assert "No hand-made reference network was trained" in text
    assert "None" not in text and "nan" not in text


def test_a_page_can_be_written_while_a_run_writes(made: Any) -> None:
    run = made(4)
    with sqlite3.connect(run.folder / "trials.sqlite") as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE stages SET seconds = 99 WHERE name = 'look'")
        text = page(run).text  # sees the last commit
        writer.rollback()
    writer.close()
    assert "99 s" not in text


def test_the_same_record_gives_the_same_page(made: Any) -> None:
    run = made()
    assert write(run.folder).read_bytes() == write(run.folder).read_bytes()
    assert not [p for p in run.folder.iterdir() if p.name.endswith(".tmp")]
    assert (run.folder / "front.csv").is_file()


def test_no_run_and_torn_files_are_clear_errors(made: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run\.json"):
        write(tmp_path)
    run = made()
    store = run.folder / "trials.sqlite"
    for extra in ("-wal", "-shm"):
        store.with_name(store.name + extra).unlink(missing_ok=True)
    store.write_bytes(b"this is no database, it is a poem about one" * 50)
    with pytest.raises(Damaged, match=r"trials\.sqlite"):
        write(run.folder)
    (run.folder / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(Damaged, match=r"run\.json"):
        write(run.folder)


def test_torch_is_not_needed(made: Any) -> None:
    run = made()
    code = (
        "import sys; from pathlib import Path; from archsmith.report import write\n"
        "write(Path(sys.argv[1])); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(run.folder)], check=True, timeout=120)


def test_every_bounded_cost_has_a_tile(made: Any) -> None:
    record = read(made().folder)
    plain = [tile["label"] for tile in tiles(record)]
    for metric, limit, value in (
        ("memory", 65536.0, 40960),
        ("depth", 40.0, 23.0),
        ("layers", 14.0, 9),
    ):
        assert record.profiled is not None and record.shipped is not None
        row = {
            "metric": metric,
            "op": "<=",
            "limit": limit,
            "unit": "",
            "text": f"{metric}<={limit}",
        }
        record = other(record, "profiled", budget=[*record.profiled.budget, row])
        record = other(
            record, "shipped", budget=[*record.shipped.budget, {**row, "value": value, "met": True}]
        )
    found = {
        tile["label"]: (tile["value"].replace("\u202f", " "), tile["note"])
        for tile in tiles(record)
    }
    assert [label for label in found if label not in plain] == ["peak memory", "depth", "layers"]
    assert (
        found["depth"] == ("23", "allowed: at most 40")
        and found["layers"][0] == "9"
        and found["peak memory"][0] == "40 KiB"
    )


def test_a_method_adds_its_own_part(made: Any) -> None:
    run = made()
    assert "Widths that were tried" not in page(run).text
    figure = {"data": [{"type": "bar", "x": [8, 16], "y": [0.5, 0.7]}], "layout": {"height": 240}}
    section = Section(
        title="Widths that were tried",
        text="Two of <them>.",
        table={"width": [8, 16], "score": [0.5, 0.71239], "said": ["a", "<b>"]},
        figure=figure,
    )
    run.decide(SECTION, section.to_json)
    found = page(run)
    assert "Widths that were tried" in found.text and "Two of <them>." in found.text
    assert "widthscoresaid" in found.text and "160.7124<b>" in found.text  # cells, one by one
    specs = [json.loads(script) for script in found.scripts if script.startswith("{")]
    (own,) = [spec for spec in specs if spec["data"] == figure["data"]]
    assert own["layout"]["height"] == 240 and "xaxis" in own["layout"]
