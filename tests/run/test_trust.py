"""A run folder from elsewhere runs no code: a space's file is run for who named it, as it was, or
with --trust."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from command_line import call
from made_runs import payloads

import archsmith
from archsmith.api import Result
from archsmith.errors import UserError
from archsmith.report.page import write
from archsmith.run import trust
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.stages.networks import best
from archsmith.stages.pipeline import carry_on
from archsmith.stages.requests import again

EVIL = "from pathlib import Path\nPath(__file__).with_suffix('.ran').write_text('x')\nNet = None\n"


def lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that somebody else began, with a file beside it; as far as its data."""
    (tmp_path / "evil.py").write_text(EVIL)
    with monkeypatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path / "of somebody else"))
        run = Run.create(
            tmp_path / "run",
            request_from(data="digits", steps=10, time_s=None, space=f"{tmp_path / 'evil.py'}:Net"),
        )
        left = payloads("digits", [f"key {i}" for i in range(6)], Random(0))
        for stage in ("look", "ship"):
            run.finish_stage(stage, left[stage])
    return Run.open(run.folder)


USES: dict[str, Callable[[Run, Path], object]] = {
    "resume": lambda run, out: carry_on(run),
    "again": lambda run, out: again(run, "params<=20k", out),
    "export": lambda run, out: Result(run).export(out),
    "best": lambda run, out: best(run),
}


@pytest.mark.parametrize("use", USES)
def test_a_lent_run_runs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    run = lent(tmp_path, monkeypatch)
    before = (run.folder / "run.json").read_bytes()
    with pytest.raises(UserError, match="not begun here by you.*--trust"):
        USES[use](run, tmp_path / "out.onnx")
    assert not (tmp_path / "evil.ran").exists() and (run.folder / "run.json").read_bytes() == before
    assert not (tmp_path / "out.onnx").exists()


def test_a_report_of_a_lent_run_needs_no_trust_since_it_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lent(tmp_path, monkeypatch)
    run.reopen("look", "ship")
    assert write(run.folder).exists() and not (tmp_path / "evil.ran").exists()


@pytest.mark.parametrize(
    "words", [["resume"], "again --budget params<=1k --steps 5".split(), ["export"]]
)
def test_the_commands_say_how_to_trust(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = lent(tmp_path, monkeypatch)
    code, _, said = call(capsys, monkeypatch, words[0], str(run.folder), *words[1:])
    assert code == 2 and "--trust" in said and not (tmp_path / "evil.ran").exists()
    assert archsmith.open_run(run.folder, trust=True).space.endswith("evil.py:Net")


@pytest.mark.parametrize("change", ["# more", "import os\n" + EVIL, ""])
def test_a_file_that_is_another_by_now_is_not_run(tmp_path: Path, change: str) -> None:
    (tmp_path / "net.py").write_text(EVIL)
    run = Run.create(
        tmp_path / "run",
        request_from(data="digits", steps=10, time_s=None, space=f"{tmp_path / 'net.py'}:Net"),
    )
    assert Run.open(run.folder).space == f"{tmp_path / 'net.py'}:Net"
    (tmp_path / "net.py").write_text(change)
    with pytest.raises(UserError, match="not the file that the run began with.*--trust"):
        carry_on(Run.open(run.folder))
    trusting = Run.open(run.folder, trust=True)
    trusting.sign()
    trusting.update(status="running")
    # from here on it is the run's
    assert Run.open(run.folder).space == f"{tmp_path / 'net.py'}:Net"


def test_a_signature_is_of_one_run_one_file_and_one_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "net.py"
    given = trust.signature("a", file, "00")
    assert trust.signed("a", file, "00", given)
    for run, path, content in (
        ("b", file, "00"),
        ("a", tmp_path / "other.py", "00"),
        ("a", file, "01"),
    ):
        assert not trust.signed(run, path, content, given)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    assert not trust.signed("a", file, "00", given)
    assert not trust.signed("a", file, "00", None)


def test_without_a_place_for_a_key_nothing_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    assert trust.signature("a", tmp_path / "net.py", "00") is None


@pytest.mark.parametrize("kind", ["space", "method", "loss"])
def test_whatever_of_a_run_stands_in_a_file_needs_it(tmp_path: Path, kind: str) -> None:
    (tmp_path / "net.py").write_text(EVIL)
    named = f"{tmp_path / 'net.py'}:Net"
    run = Run.create(
        tmp_path / "run", request_from(data="digits", steps=10, time_s=None, **{kind: named})
    )
    assert getattr(Run.open(run.folder), kind) == named
    (tmp_path / "net.py").write_text("# another")
    with pytest.raises(UserError, match=f"has the {kind} .*not the file that the run began with"):
        Run.open(run.folder).trusting()


def test_networks_of_the_table_need_no_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(tmp_path / "run", request_from(data="digits", steps=10, time_s=None))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "of another"))
    assert Run.open(run.folder).space == "convnet" and "space_file" not in json.loads(
        (run.folder / "run.json").read_text()
    )
