"""The command line as a user meets it: listings, mistakes and their messages, exit codes; the whole
job is in test_pipeline."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import call
from short_runs import SIZES

Call = tuple[pytest.CaptureFixture[str], pytest.MonkeyPatch]


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Call:
    monkeypatch.chdir(tmp_path)
    return capsys, monkeypatch


def test_help_needs_no_torch() -> None:
    code = "import sys\nsys.argv = ['archsmith', '--help']\nfrom archsmith.cli.app import main\n"
    code += "try:\n    main()\nexcept SystemExit:\n    pass\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in (
        "search",
        "resume",
        "report",
        "export",
        "profile",
        "score",
        "spaces",
        "methods",
        "proxies",
        "doctor",
    ):
        assert command in done.stdout


@pytest.mark.parametrize("listing", ["spaces", "methods", "proxies"])
def test_listings(cli: Call, listing: str) -> None:
    code, out, _ = call(*cli, listing)
    assert code == 0
    code, text, _ = call(*cli, listing, "--json")
    names = json.loads(text)
    assert code == 0 and names and all(name in out for name in names)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serach", "digits"], "did you mean 'search'"),
        (["search"], "DATA"),
        ("search digits --tiem 3m".split(), "--time"),
        ("search digits --method zicco".split(), "did you mean 'zico'"),
        ("search digits --space mobilnet".split(), "did you mean 'mobilenet'"),
        ("search digits --budget prams<=3k".split(), "did you mean 'params'"),
        ("search digits --budget params=3k".split(), "use <= or >="),
        ("search digits --time soon".split(), "cannot be read"),
        ("search digits --steps 0".split(), "steps"),
        ("search nowhere --steps 4".split(), "nowhere"),
        ("search digts --steps 4".split(), "digits"),
        ("search digits --device tpu --steps 4".split(), "tpu"),
        ("search digits --threads 0 --steps 4".split(), "threads"),
        (["score", "--proxies", "zicoo"], "did you mean 'zico'"),
        (["score", "--space", "nofile.py:Net"], "nofile.py"),
        (["resume", "nowhere"], "holds no run"),
        (["report", "nowhere"], "holds no run"),
        (["export", "nowhere"], "holds no run"),
        ("profile --space nasbench201 --budget params<=10".split(), "relax"),
    ],
)
def test_mistakes_are_answered_in_one_line(cli: Call, words: list[str], said: str) -> None:
    code, out, err = call(*cli, *words)
    assert code == 2
    assert said in err and "Traceback" not in err
    assert out == ""


def test_a_failed_start_leaves_no_half_run(cli: Call, tmp_path: Path) -> None:
    call(*cli, *"search nowhere --steps 4 --out r".split())
    assert not (tmp_path / "r").exists()


def test_out_is_never_overwritten(cli: Call, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "mine.txt").write_text("mine")
    code, _, err = call(*cli, *"search digits --steps 4 --out r".split())
    assert code == 2 and "not an empty folder" in err
    assert [p.name for p in (tmp_path / "r").iterdir()] == ["mine.txt"]


def test_out_without_permission(cli: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = call(*cli, *"search digits --steps 4 --out file/run".split())
    assert code == 2 and "cannot make the run folder" in err


def test_profile_and_score(cli: Call) -> None:
    code, out, _ = call(
        *cli,
        *"profile --space vit-nano --size 8 --budget params<=20k --threads 1 --json".split(),
    )
    found = json.loads(out)
    fitting = found["feasible_share"]
    assert (
        code == 0
        and fitting["share"] < 0.1
        and fitting["found"] > 0
        and found["metrics"]["params"]["min"] < 20_000
    )
    words = (
        *"score --size 8 --channels 1 --budget params<=20k --threads 1 --batch 8 --sample "
        "3".split(),
    )
    code, out, _ = call(*cli, *words, "--proxies", "zico,params,depth", "--json")
    rows = json.loads(out)["networks"]
    assert code == 0 and len(rows) == 3
    assert all(row["scores"]["params"] == row["params"] <= 20_000 for row in rows)
    assert [row["scores"]["zico"] for row in rows] == sorted(
        (row["scores"]["zico"] for row in rows), reverse=True
    )
    code, text, _ = call(*cli, *words)
    assert code == 0 and all(row["key"] in text for row in rows)


def test_profile_and_score_take_shares_of_what_the_largest_costs(cli: Call) -> None:
    words = "profile --space vit-nano --size 8 --budget macs<=50% --threads 1".split()
    code, out, _ = call(*cli, *words, "--json")
    found = json.loads(out)
    largest, (limit,) = found["metrics"]["macs"]["max"], found["budget"]
    assert code == 0 and (limit["limit"], limit["share"]) == (0.5 * largest, 0.5)
    assert 0 < found["feasible_share"]["share"] < 1
    (said,) = found["notes"]
    assert said.startswith("macs<=50% of the largest network's ") and limit["text"] in said
    code, out, err = call(*cli, *words)
    assert code == 0 and out.count(f"note: {said}") == 1 and err == ""
    scored = "score --space vit-nano --size 8 --budget macs<=50% --threads 1 --batch 4 --sample 3"
    code, out, _ = call(*cli, *scored.split(), "--proxies", "params", "--json")
    found = json.loads(out)
    assert code == 0 and found["notes"] == [said]
    assert all(row["macs"] <= 0.5 * largest for row in found["networks"])
    code, _, err = call(*cli, *"profile --space vit-nano --budget macs<=150%".split())
    assert code == 2 and "leave it out" in err


def test_doctor(cli: Call) -> None:
    code, out, _ = call(*cli, "doctor", "--json")
    assert code == 0 and all(check["ok"] for check in json.loads(out)["checks"])
    code, out, _ = call(*cli, "doctor")
    assert code == 0 and "all well" in out


def test_scores_that_come_in_parts_are_shown_by_part(cli: Call) -> None:
    words = (
        *"score --space nasbench201 --proxies ntk,az_nas,params --sample 3 --batch 4 --size "
        "8".split(),
    )
    code, out, _ = call(*cli, *words, "--json")
    rows = [row["scores"] for row in json.loads(out)["networks"]]
    assert (
        code == 0
        and list(rows[0])[0] == "ntk"
        and list(rows[0])[-1] == "params"
        and "az_nas.trainability" in rows[0]
    )
    # the smaller the better
    assert [row["ntk"] for row in rows] == sorted(row["ntk"] for row in rows)
    code, out, _ = call(*cli, *words)
    assert code == 0 and " az_nas.expressivity " in out


@pytest.mark.parametrize("moved", [True, False])
def test_images_that_were_moved_are_found_again_or_the_run_stays_as_it_was(
    cli: Call, tmp_path: Path, moved: bool
) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(60) % 3)
    np.savez(tmp_path / "other.npz", images=images[::-1], labels=np.arange(60) % 3)
    words = (*"search a.npz --steps 8 --trials 8 --threads 1 --no-reference --out r".split(),)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archsmith.stages.profile.profile", interrupted)
        assert call(*cli, *words, "--space", "vit-nano")[0] == 130
        (tmp_path / "a.npz").rename(tmp_path / "b.npz")
        code, _, err = call(*cli, "resume", "r")
        assert code == 2 and "--data NEW" in err
        code, _, err = call(*cli, "resume", "r", "--data", "b.npz" if moved else "other.npz")
    kept = json.loads((tmp_path / "r" / "run.json").read_text())["request"]["data"]
    if moved:
        assert code == 130 and kept == str(tmp_path / "b.npz")
    else:
        assert (
            code == 2
            and ("not the data this run began with") in err
            and kept == str(tmp_path / "a.npz")
        )


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_how_a_request_was_read_is_told_and_kept(cli: Call, tmp_path: Path) -> None:
    cli[1].setattr("archsmith.stages.look.look", interrupted)
    code, _, err = call(
        *cli, "search", "digits", "--budget", "flops<=60M, latency<=5", *"--time 5 --out r".split()
    )
    notes = json.loads((tmp_path / "r" / "run.json").read_text())["notes"]
    assert code == 130 and len(notes) == 3 and all(f"note: {note}" in err for note in notes)
    events = (tmp_path / "r" / "events.jsonl").read_text()
    assert all(json.dumps(note) in events for note in notes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and the images it was made from."""
    from archsmith.run.request import request_from
    from archsmith.stages.requests import start

    folder = tmp_path_factory.mktemp("finished")
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    np.savez(folder / "a.npz", images=images, labels=np.arange(60) % 3)
    (folder / "sizes.py").write_text(SIZES)
    asked: dict[str, Any] = {
        "data": str(folder / "a.npz"),
        "space": f"{folder / 'sizes.py'}:Net",
        "steps": 4,
        "time_s": None,
    }
    start(request_from(**asked, trials=8, threads=1, reference=False), folder / "r")
    np.savez(folder / "other.npz", images=images[::-1], labels=np.arange(60) % 3)
    return folder


AGAIN = (*"again r --budget params<=5k --steps 3 --no-reference".split(),)
TRAIN = (*"train r --steps 3".split(),)


@pytest.mark.parametrize("words", [AGAIN, TRAIN, ("resume", "r")])
def test_images_of_a_finished_run_may_lie_anywhere_if_they_are_the_same(
    cli: Call, finished: Path, words: tuple
) -> None:
    cli[1].chdir(finished)
    before = json.loads(Path("r/run.json").read_text())
    new = () if words[0] == "resume" else ("--out", f"new-{words[0]}")
    Path(before["request"]["data"]).rename("moved.npz")
    if new:
        code, _, err = call(*cli, *words, *new)
        assert code == 2 and "--data NEW" in err and not Path(new[1]).exists()
    for wrong in ("nowhere.npz", "other.npz"):
        code, _, err = call(*cli, *words, *new, "--data", wrong)
        assert code == 2 and err.count("error: ") == 1 and not (new and Path(new[1]).exists())
        assert json.loads(Path("r/run.json").read_text()) == before
    code, out, err = call(*cli, *words, *new, "--data", "moved.npz")
    kept = json.loads(Path(new[1] if new else "r", "run.json").read_text())
    assert (
        code in (0, 3)
        and kept["request"]["data"] == str(finished / "moved.npz")
        and kept["status"] == "done"
    )
    Path("moved.npz").rename("a.npz")
    if not new:
        assert call(*cli, *"resume r --data a.npz".split())[0] == code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*AGAIN[:3], "params<=5", *AGAIN[4:]), "no architecture fits"),
        ((*AGAIN[:3], "memory<=9", *AGAIN[4:]), "no architecture fits"),
        ((*AGAIN, "--time", "1m"), "give one of them"),
        ((*TRAIN, "--epochs", "1"), "give one of them"),
        ((*"search a.npz --steps 3 --time 1m".split(),), "give one of them"),
        ((*TRAIN, "--out", "r/best/new"), "the folder of another run"),
        ((*"search a.npz --steps 3 --out r/x/y".split(),), "the folder of another run"),
    ],
)
def test_a_command_that_is_refused_leaves_no_folder(
    cli: Call, finished: Path, words: tuple, said: str
) -> None:
    cli[1].chdir(finished)
    before = sorted(str(path) for path in Path().rglob("*") if "trials.sqlite-" not in path.name)
    code, _, err = call(*cli, *words, *(() if "--out" in words else ("--out", "refused")))
    assert code == 2 and said in err and err.count("error: ") == 1
    assert (
        sorted(str(path) for path in Path().rglob("*") if "trials.sqlite-" not in path.name)
        == before
    )


@pytest.mark.parametrize(
    ("path", "there", "said"),
    [
        ("sizes.py", True, "no .onnx file"),
        ("notes.txt", True, "no .onnx file"),
        ("r/best/mine.onnx", False, "belongs to the run itself"),
        ("r/checkpoints/mine.onnx", False, "belongs to the run itself"),
        ("copy/best/model.onnx", True, "a file of the run"),
        ("copy/run.json", True, "a file of the run"),
        ("mine.onnx", True, ""),
        ("r/mine.onnx", False, ""),
    ],
)
def test_export_replaces_models_only_and_none_of_any_run(
    cli: Call, finished: Path, path: str, there: bool, said: str
) -> None:
    cli[1].chdir(finished)
    if not Path("copy").exists():
        shutil.copytree("r", "copy")
    Path("notes.txt").write_text("mine")
    Path("mine.onnx").write_text("a model of mine")
    before = Path(path).read_bytes() if there else None
    code, _, err = call(*cli, *"export r --format onnx --out".split(), path)
    assert (code, said in err) == (2 if said else 0, True)
    assert (
        not said
        or Path(path).exists() == there
        and (not there or Path(path).read_bytes() == before)
    )
    Path("r/mine.onnx").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda best: (best / "card.md").write_text("my remarks"),
        lambda best: [
            (best / "mine").mkdir(),
            (best / "mine" / "notes.txt").write_text("my remarks"),
            (best / "model.pt2").unlink(),
        ],
        lambda best: [shutil.rmtree(best), best.write_text("my remarks")],
    ],
)
def test_what_somebody_wrote_into_best_is_kept_when_it_is_shipped_again(
    cli: Call, finished: Path, change: Any
) -> None:
    cli[1].chdir(finished)
    shutil.rmtree("k", ignore_errors=True)
    shutil.copytree("r", "k")
    change(Path("k/best"))
    code, _, err = call(*cli, "resume", "k")
    assert code in (0, 3) and "kept in k/best.kept" in err and Path("k/best/model.pt2").is_file()
    kept = [path.read_bytes() for path in Path("k/best.kept").rglob("*") if path.is_file()]
    assert kept == [b"my remarks"] and "my remarks" not in Path("k/best/card.md").read_text()


@pytest.mark.parametrize(
    "change",
    [Path.unlink, lambda path: path.write_bytes(b"torn"), lambda path: path.write_bytes(b"")],
)
def test_what_is_advised_for_a_lost_checkpoint_works(
    cli: Call, finished: Path, change: Any
) -> None:
    cli[1].chdir(finished)
    assert call(*cli, *"again r --budget params<=60k --steps 3 --out both".split())[0] in (0, 3)
    which = (
        "reference"
        if json.loads(call(*cli, "resume", "both", "--json")[1])["network"] == "search"
        else "search"
    )
    words = ("export", "both", "--network", which, "--out", "net.safetensors")
    assert call(*cli, *words)[0] == 0
    for path in Path("both/checkpoints").glob(f"{which}-*"):
        change(path)
    code, _, err = call(*cli, *words)
    assert code == 2 and "move both/best away and let `archsmith resume both` train it again" in err
    shutil.move("both/best", "away")
    assert call(*cli, "resume", "both")[0] in (0, 3) and call(*cli, *words)[0] == 0
    shutil.rmtree("both")
    shutil.rmtree("away")


@pytest.mark.parametrize("words", [AGAIN, TRAIN, ("export", "r")])
def test_a_run_that_nothing_can_be_written_into_is_of_use_all_the_same(
    cli: Call, finished: Path, words: tuple
) -> None:
    cli[1].chdir(finished)
    for place in ("archsmith.run.database", "archsmith.run.store"):
        cli[1].setattr(f"{place}.may_write", lambda path: path.parent.name != "r")
    opened: list[str] = []
    real = sqlite3.connect
    cli[1].setattr(
        sqlite3, "connect", lambda at, **options: opened.append(at) or real(at, **options)
    )
    before = {
        path: path.read_bytes()
        for path in Path("r").rglob("*")
        if path.is_file() and "sqlite-" not in path.name
    }
    assert call(*cli, *words, "--out", {"export": "lent.onnx"}.get(words[0], f"lent-{words[0]}"))[
        0
    ] in (0, 3)
    assert all(path.read_bytes() == content for path, content in before.items())
    assert all("mode=ro" in uri for uri in opened if "/r/trials.sqlite" in uri) and any(
        "/r/" in uri for uri in opened
    )
