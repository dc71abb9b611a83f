"""Parts of a user's own, by file or installed: method, score, searcher, benchmark, through the same
commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from short_runs import SIZES, Stop, UntilSearched

from archsmith._internal import registry
from archsmith.api import Result
from archsmith.run.store import Run
from archsmith.spaces import loading
from archsmith.stages.pipeline import carry_on

MINE = '''
"""The widest of a few random networks, by parameters."""
from dataclasses import dataclass
from random import Random

from archsmith.feasibility.sampler import feasible_sample
from archsmith.methods.listing import entry, shortlist
from archsmith.methods.protocol import setting


@dataclass(frozen=True)
class Mine:
    tries: int = setting(6, "networks that are drawn")
    share: float = setting(0.5, "of them that are kept, at most")

    def search(self, job, trained=None):
        found = feasible_sample(job.space.decisions, job.space.limits, Random(job.seed), self.tries)
        ranked = sorted(found, key=lambda arch: -job.space.costs(arch)["params"])
        return shortlist("widest", (entry(arch, "wide") for arch in ranked[: job.clock.finalists]))
'''
SCORE = (
    "def wide(network, batches):\n    return float(sum(p.numel() for p in network.parameters()))\n"
)
SEARCHER = """
from random import Random
from archsmith.problem import Candidate

def mine(problem, seed=0, size=4):
    rng = Random(seed)
    while True:
        yield [Candidate(problem.space.sample(rng)) for _ in range(size)]
"""
TABLE = """
from archsmith.recorded.benchmark import tabulated
from archsmith.space import SearchSpace

SPACE = SearchSpace({"width": (8, 16, 32), "depth": (1, 2, 3)})

def table():
    table = {arch: arch["width"] * arch["depth"] for arch in SPACE.architectures()}
    return tabulated("mine", SPACE, table, unit="points")
"""
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SIZES)
    (tmp_path / "my.py").write_text(MINE)
    return lambda *words: call(capsys, monkeypatch, *words)


SEARCH = (
    *"search digits --space net.py:Net --steps 24 --threads 1 --no-reference --out run".split(),
)


def test_a_method_of_twenty_lines_is_searched_with_stopped_resumed_and_asked_again(
    cli: Cli, tmp_path: Path
) -> None:
    assert len([line for line in MINE.splitlines() if line.strip()]) <= 20
    code, out, err = cli(*SEARCH, *"--method my.py:Mine --set tries=5 --budget params<=3k".split())
    assert code in (0, 3), err
    run = Run.open("run")
    assert Path(run.request.method.rpartition(":")[0]).is_absolute() and run.request.settings == {
        "tries": 5
    }
    searched = run.stage("search") or {}
    assert searched["searcher"] == "widest" and {
        entry["origin"] for entry in searched["shortlist"]
    } == {"wide"}
    assert "widest" in (tmp_path / "run" / "report.html").read_text()
    stopped = Run.create("stopped", run.request)
    with pytest.raises(Stop):
        carry_on(Run.open(stopped.folder), UntilSearched())
    code, _, err = cli("resume", "stopped")
    assert code in (0, 3), err
    accuracies = [
        {
            key: (net["val_measure"], net["steps"])
            for key, net in (one.stage("finish") or {})["networks"].items()
        }
        for one in (run, Run.open("stopped"))
    ]
    assert accuracies[0] == accuracies[1]
    assert (Run.open("stopped").stage("ship") or {})["key"] == (run.stage("ship") or {})["key"]
    code, _, err = cli(*"again run --budget params<=1500 --steps 24 --out second".split())
    assert code in (0, 3), err
    assert all(row["met"] for row in (Run.open("second").stage("ship") or {})["budget"])
    assert Result(Run.open("second")).best() is not None


def test_its_file_is_signed_as_that_of_a_space_is(cli: Cli, tmp_path: Path) -> None:
    assert cli(*SEARCH, "--method", "my.py:Mine")[0] in (0, 3)
    (tmp_path / "my.py").write_text(MINE + "\nX = 1\n")
    code, _, err = cli(*"again run --budget params<=2k --steps 9 --out second".split())
    assert (
        code == 2
        and "has the method" in err
        and ("not the file that the run began with") in err
        and "--trust" in err
    )
    # which runs the space's file, not the method's
    assert cli(*"export run --format safetensors".split())[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "my.py:Mime"), "did you mean 'Mine'"),
        (("--method", "my.py"), "which method of the file"),
        (("--method", "your.py:Mine"), "no file 'your.py' for the method"),
        (("--method", "zicco"), "did you mean 'zico'"),
        ((*"--method my.py:Mine --set trise=3".split(),), "did you mean 'tries'"),
        ((*"--method my.py:Mine --set tries=many".split(),), "give a whole number"),
        (("--method", "bare.py:Bare"), "has no search(job, trained)"),
        (("--method", "broken.py:Any"), "ZeroDivisionError"),
        (("--method", "without.py:Without"), "setting 'tries' of method Without needs a default"),
    ],
)
def test_what_is_wrong_with_it_is_said_before_anything_is_made(
    cli: Cli, tmp_path: Path, words: Any, told: str
) -> None:
    (tmp_path / "bare.py").write_text("class Bare:\n    pass\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "without.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Without:\n    tries: "
        "int\n"
        "    def search(self, job, trained=None):\n        pass\n"
    )
    code, _, err = cli(*SEARCH, *words)
    assert code == 2 and told in err and "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_the_settings_of_a_method_are_listed(cli: Cli) -> None:
    code, out, _ = cli("methods", "my.py:Mine")
    assert code == 0 and "tries=6" in out and "networks that are drawn (a whole number)" in out
    listed = json.loads(cli("methods", "few-shot", "--json")[1])
    assert listed["settings"]["splits"] == {
        "default": 1,
        "what": listed["settings"]["splits"]["what"],
    }
    assert "no settings" in cli("methods", "zico")[1]
    assert cli("methods", "nope")[0] == 2


def test_a_score_of_ones_own_stands_beside_ours(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(SCORE)
    words = (*"score --space net.py:Net --channels 1 --size 8 --sample 3 --json".split(),)
    code, out, err = cli(*words, "--proxies", "score.py:wide,params")
    assert code == 0, err
    for row in json.loads(out)["networks"]:
        assert row["scores"]["wide"] == row["scores"]["params"]
    assert cli(*words, "--proxies", "score.py:tall")[0] == 2


def test_a_searcher_and_a_benchmark_of_ones_own_are_compared(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "searcher.py").write_text(SEARCHER)
    (tmp_path / "table.py").write_text(TABLE)
    words = (
        *"bench searchers --benchmark table.py:table --budget 8 --seeds 3 --json --out "
        "bench".split(),
    )
    code, out, err = cli(*words, *"--searchers random,searcher.py:mine:size=2 --workers 1".split())
    assert code == 0, err
    found = json.loads(out)["benchmarks"]["table.py:table"]
    assert found["optimum"] == 96 and set(found["rows"]) == {"random", "searcher.py:mine:size=2"}


def test_installed_parts_are_found_by_name(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entry points of the group archsmith.methods, as a package beside this one declares them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "installed_mine.py").write_text(MINE)
    points = {
        "mine": metadata.EntryPoint("mine", "installed_mine:Mine", "archsmith.methods"),
        "lost": metadata.EntryPoint("lost", "no_such_module:Mine", "archsmith.methods"),
    }
    spaces = {"small": metadata.EntryPoint("small", "installed_net:Net", "archsmith.spaces")}
    (tmp_path / "installed_net.py").write_text(SIZES)
    kinds = {"method": points, "space": spaces}
    for module in (registry, loading):
        monkeypatch.setattr(module, "plugins", lambda kind: kinds.get(kind, {}))
    assert json.loads(cli("spaces", "--json")[1])["small"] == {
        "what": "installed: installed_net:Net"
    }
    code, out, err = cli(
        *"score --space small --channels 1 --size 8 --sample 2 --proxies params --json".split(),
    )
    assert code == 0 and len(json.loads(out)["networks"]) == 2, err
    assert "mine" in json.loads(cli("methods", "--json")[1])
    code, _, err = cli(*SEARCH, "--method", "mine")
    assert code in (0, 3), err
    assert (Run.open("run").stage("search") or {})["searcher"] == "widest"
    code, _, err = cli(*SEARCH, "--method", "lost")
    assert code == 2 and "cannot be loaded" in err and "repair or remove that package" in err


def test_a_record_that_is_none_is_told_with_the_method_and_the_field(
    cli: Cli, tmp_path: Path
) -> None:
    written = MINE.replace("return shortlist(", "found = shortlist(") + (
        "        return {**found.to_json(), 'searcher': None}\n"
    )
    (tmp_path / "odd.py").write_text(written)
    code, _, err = cli(*SEARCH, "--method", "odd.py:Mine")
    assert code == 2 and "method Mine: what search gives is no Searched: searcher is None" in err
    assert "Traceback" not in err
    # as dictionaries were, before there were records
    (tmp_path / "odd.py").write_text(written.replace("None}", "'mine'}"))
    assert cli("resume", "run", "--trust")[0] in (0, 3)
    assert (Run.open("run").stage("search") or {})["searcher"] == "mine"
