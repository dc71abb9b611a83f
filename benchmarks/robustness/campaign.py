"""Kills, full disks, damaged files, several processes at once: every run must end as an undisturbed
one does, to the bit.

Kinds (--only): points (inside a training step, a checkpoint write, a transaction, between stages),
random (over every method), writes (every state that a kill at a write of search, again and export
leaves; `ship` is the end of a search), disk (full at sizes), files (each file of a run truncated,
flipped, deleted, swapped, at three stages), together (three processes), report (in a loop beside a
run). One line a case, then a table; exit code 1 where a case went wrong. One parent forks every
run, so that torch is imported once. --short: a part of each in a minute.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from disturbed import KINDS, States, arm, child, damage, ended, restore

POINTS = (("training", 25), ("checkpoint", 3), ("database", 2), ("between", 4))
# a run cannot be taken up without; the rest is made again
RECORDS = ("run.json", "trials.sqlite", "trials.sqlite-wal")
CELLS = """
from archsmith.spaces.nasbench201 import nasbench201


def Net(classes, channels, size, partial=1):
    return nasbench201(classes, channels, size, width=4, cells=1, partial=partial)
"""


SMALL = """
from torch import nn
from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Linear, Repeat


class Block(nn.Sequential):
    def __init__(self, width, number):
        kernel = Choice(1, 3, 5, name=f"kernel{number}")
        conv = Conv2d(width, width, kernel, padding="same", bias=False)
        super().__init__(conv, BatchNorm2d(width), nn.ReLU())


def Net(classes, channels, size):
    width = Choice(4, 6, 8, 10, name="width")
    conv = Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
    stem = [conv, BatchNorm2d(width), nn.ReLU()]
    body = Repeat(*(Block(width, i) for i in range(3)), depth=Choice(1, 2, 3, name="depth"))
    return nn.Sequential(*stem, body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, classes))
"""


def make_images(path: Path, count: int = 150, size: int = 8) -> None:
    """Grey images of three classes: a bright bar that lies, stands, or is absent, in noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = rng.integers(0, 90, (count, size, size), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row = int(rng.integers(1, size - 2))
        if label == 0:
            image[row : row + 2, :] = 220
        elif label == 1:
            image[:, row : row + 2] = 220
    np.savez(path, images=images, labels=labels)


def digest(folder: Path) -> dict[str, Any]:
    """What must be equal: every trial but its seconds, the choice, the weights."""
    from archsmith.run.store import Run

    run = Run.open(folder)
    trials = [
        [
            t.stage,
            t.arch.key,
            t.violation,
            t.reason,
            sorted((k, v) for k, v in t.metrics.items() if k != "latency"),
        ]
        for t in run.archive
    ]
    weights = (folder / "best" / "model.safetensors").read_bytes()
    return {
        "trials": hashlib.sha256(json.dumps(trials).encode()).hexdigest(),
        "count": len(trials),
        "chosen": (run.stage("finish") or {})["chosen"],
        "weights": hashlib.sha256(weights).hexdigest(),
        "test": (run.stage("ship") or {})["test"]["accuracy"],
    }


@dataclass
class Bench:
    """Where the campaign works, and how much of it is asked for."""

    base: Path
    steps: int
    trials: int
    short: bool
    method: str
    space: str
    budget: str

    def request(self, **changes: Any) -> Any:
        """A small job."""
        from archsmith.run.request import request_from

        asked: dict[str, Any] = {
            "data": str(self.base / "bars.npz"),
            "budget": self.budget,
            "method": self.method,
            "space": self.space.replace("small", f"{self.base / 'small.py'}:Net"),
            "steps": self.steps,
            "time_s": None,
            "trials": self.trials,
            "threads": 1,
            "reference": not self.short,
        }
        return request_from(**{**asked, **changes})

    def start(self, folder: Path, **changes: Any) -> Callable[[], None]:
        """A search from its beginning."""

        def work() -> None:
            from archsmith.stages.requests import start

            start(self.request(**changes), folder)

        return work

    def whole(self, name: str, **changes: Any) -> tuple[Path, dict[str, Any], float]:
        """An undisturbed run, made once: its folder, what it came to, its seconds."""
        folder, began = self.base / name, time.monotonic()
        if not (folder / "best").exists():
            assert child(self.start(folder, **changes)) == 0, f"the undisturbed run {name} failed"
        return folder, digest(folder), time.monotonic() - began

    def scratch(self) -> Path:
        """A place of its own for a case."""
        return Path(tempfile.mkdtemp(dir=self.base)) / "run"


Case = tuple[str, str, str]  # kind, name, what went wrong: "" for nothing


def go_on(folder: Path, begin: Callable[[], None], told: Path | None = None) -> int:
    """What a user does after a crash: resume, or the same command again where there is no run
    yet."""
    from archsmith.run.store import Run
    from archsmith.stages.pipeline import carry_on

    if (folder / "run.json").exists():
        return child(lambda: void(carry_on(Run.open(folder))), told=told)
    return child(begin, told=told)


def judged(folder: Path, code: int, expected: dict[str, Any]) -> str:
    """ "" where the run ended as an undisturbed one; litter of dead processes counts as wrong."""
    if code != 0:
        return f"it could not be taken up (code {code})"
    if digest(folder) != expected:
        return "it ended differently"
    left = [
        p.name
        for p in folder.rglob("*")
        if p.name.endswith((".partial", ".old")) or p.name == ".beginning"
    ]
    return f"{', '.join(left)} left behind" if left else ""


def points(bench: Bench) -> Iterator[Case]:
    """Kills where it is worst."""
    _, expected, _ = bench.whole("straight")
    for point, at in POINTS[1:2] if bench.short else POINTS:
        folder = bench.scratch()
        begin = bench.start(folder)

        def doomed(point: str = point, at: int = at, begin: Callable[[], None] = begin) -> None:
            arm(point, at)
            begin()

        code = child(doomed)
        wrong = "" if code == -9 else f"it was not killed (code {code})"
        yield "points", f"{point}:{at}", wrong or judged(folder, go_on(folder, begin), expected)


def random_kills(bench: Bench) -> Iterator[Case]:
    """Whenever a timer says, with every method."""
    from archsmith.methods import METHODS

    moments = random.Random(0)
    for method in ["few-shot"] if bench.short else METHODS:
        space = {"space": f"{bench.base / 'cells.py'}:Net", "budget": ""}
        changes = {"method": method, "reference": False, "trials": 9, "steps": 40, **space}
        _, expected, seconds = bench.whole(f"straight-{method}", **changes)
        for _ in range(1 if bench.short else 4):
            folder, after = bench.scratch(), moments.uniform(0.02, 0.98) * seconds
            begin = bench.start(folder, **changes)
            child(begin, kill_after=after)
            yield (
                "random",
                (f"{method} after {after:.2f} s"),
                judged(folder, go_on(folder, begin), expected),
            )


def writes(bench: Bench) -> Iterator[Case]:
    """Every state that a kill leaves, in search (ship with it), again and export."""
    source, expected, _ = bench.whole("straight")
    again_folder, again_expected = bench.base / "again", {}

    def again(folder: Path) -> Callable[[], None]:
        def work() -> None:
            from archsmith.run.store import Run
            from archsmith.stages.requests import again

            again(Run.open(source), "params<=2k", folder)

        return work

    if not (again_folder / "best").exists():
        assert child(again(again_folder)) == 0, "the undisturbed `again` failed"
    again_expected = digest(again_folder)
    for name, command, wanted in (
        ("search", bench.start, expected),
        ("again", again, again_expected),
    ):
        seen, store = _states(bench, command)
        stride = len(seen) if bench.short else 1  # one in the middle
        for number in range(stride // 2, len(seen), stride):
            folder = bench.scratch()
            restore(seen[number], store, folder)
            yield (
                "writes",
                (f"{name} {number + 1} of {len(seen)}"),
                judged(folder, go_on(folder, command(folder)), wanted),
            )
            shutil.rmtree(folder.parent)
    yield from _exports(bench, source)


def _exports(bench: Bench, source: Path) -> Iterator[Case]:
    """The old file, or the new one; the same command again gives the new one and leaves nothing
    beside it."""
    wanted = (source / "best" / "model.safetensors").read_bytes()

    def export(folder: Path) -> Callable[[], None]:
        def work() -> None:
            from archsmith import open_run

            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "m.safetensors").exists():
                (folder / "m.safetensors").write_bytes(b"old")
            open_run(source).export(folder / "m.safetensors")

        return work

    seen, store = _states(bench, export)
    for number, state in enumerate(seen):
        folder = bench.scratch()
        restore(state, store, folder)
        torn = (folder / "m.safetensors").exists() and (
            folder / "m.safetensors"
        ).read_bytes() not in (b"old", b"", wanted)
        code = child(export(folder))
        names = [path.name for path in folder.iterdir()]
        wrong = (
            "torn"
            if torn
            else (f"code {code}")
            if code
            else ""
            if names == ["m.safetensors"]
            else f"{names} are there"
        )
        yield "writes", f"export {number + 1} of {len(seen)}", wrong


def _states(bench: Bench, command: Callable[[Path], Callable[[], None]]) -> tuple[list[Any], Path]:
    """One pass over a command in a child, looking after every write."""
    folder = bench.scratch()
    store, listed = folder.parent / "store", folder.parent / "states.json"

    def watched() -> None:
        states = States(folder, store)
        work = command(folder)
        states.watch()
        try:
            work()
        finally:
            listed.write_text(json.dumps(states.seen))

    assert child(watched) == 0, "the watched run failed"
    return json.loads(listed.read_text()), store


def disk(bench: Bench) -> Iterator[Case]:
    """No file may grow above a size; when there is room again, the run goes on."""
    _, expected, _ = bench.whole("straight")
    sizes = np.unique(np.geomspace(64, 600_000, 2 if bench.short else 20).astype(int))
    for size in map(int, sizes):
        folder = bench.scratch()
        begin, told = bench.start(folder), folder.parent / "told"

        def crowded(size: int = size, begin: Callable[[], None] = begin) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            begin()

        code = child(crowded, told=None)
        wrong = "" if code in (0, 2) else f"no clear error (code {code})"
        yield (
            "disk",
            (f"{size} bytes (code {code})"),
            wrong or judged(folder, go_on(folder, begin, told), expected),
        )


def files(bench: Bench) -> Iterator[Case]:
    """Each file of a run, at three stages: the run ends equal, or (its record alone) is refused
    with the file's name."""
    _, expected, _ = bench.whole("straight")
    other, _, _ = bench.whole("other", seed=1)
    stages = (("search", 5), ("finish", 6), ("done", 0))
    for stage, at in stages[1:] if bench.short else stages:
        there = bench.base / f"until-{stage}"
        if not there.exists():
            begin = bench.start(there)

            def doomed(at: int = at, begin: Callable[[], None] = begin) -> None:
                if at:
                    arm("between", at)
                begin()

            child(doomed)
        names = sorted(str(p.relative_to(there)) for p in there.rglob("*") if p.is_file())
        names = [
            name for name in names if not name.startswith(".lock") and not name.endswith("-shm")
        ]
        cases = [(name, kind) for name in names for kind in KINDS]
        for name, kind in cases[:: max(1, len(cases) // 2)] if bench.short else cases:
            folder = bench.scratch()
            shutil.copytree(there, folder)
            if not damage(folder / name, kind, _counterpart(other, name)):
                continue
            yield "files", f"{name} {kind} after {stage}", _taken_up(bench, folder, name, expected)
            shutil.rmtree(folder.parent)


def _counterpart(other: Path, name: str) -> Path:
    """The file of that name in another run; for a checkpoint any of its arm."""
    if (other / name).is_file() or not name.startswith("checkpoints"):
        return other / name
    return next(
        (other / "checkpoints").glob(f"{Path(name).name.partition('-')[0]}-*"), other / name
    )


def _taken_up(bench: Bench, folder: Path, name: str, expected: dict[str, Any]) -> str:
    told = folder.parent / "told"
    code = (
        go_on(folder, bench.start(folder), told)
        if (folder / "run.json").exists() or name != "run.json"
        else 2
    )
    if code == 2 and name in RECORDS:
        said = told.read_text() if told.exists() else name
        return (
            ""
            if "Damaged" in said and Path(name).stem in said or not told.exists()
            else f"it is told as: {said}"
        )
    return judged(folder, code, expected)


def together(bench: Bench) -> Iterator[Case]:
    """Three processes with one folder: one does the job, two are refused."""
    _, expected, _ = bench.whole("straight")
    folder = bench.scratch()
    begin = bench.start(folder)
    codes = sorted(_at_once([begin] * 3))
    yield "together", "three searches", judged(folder, 0 if codes == [0, 2, 2] else 1, expected)
    if bench.short:
        return
    folder = bench.scratch()
    shutil.copytree(bench.base / "until-search", folder) if (
        bench.base / "until-search"
    ).exists() else None
    codes = sorted(_at_once([lambda: void(_resumed(folder, bench))] * 3))
    yield "together", "three resumes", judged(folder, 0 if codes == [0, 2, 2] else 1, expected)


def _resumed(folder: Path, bench: Bench) -> None:
    from archsmith.run.store import Run
    from archsmith.stages.pipeline import carry_on
    from archsmith.stages.requests import start

    carry_on(Run.open(folder)) if (folder / "run.json").exists() else start(bench.request(), folder)


def _at_once(works: list[Callable[[], None]]) -> list[int]:
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            os._exit(child(work) % 256)
        pids.append(pid)
    return [ended(pid) for pid in pids]


def reports(bench: Bench) -> Iterator[Case]:
    """`report` in a loop while the run goes on; neither may fail."""
    _, expected, _ = bench.whole("straight")
    folder = bench.scratch()
    drawn = multiprocessing.Value("i", 0)

    def looping() -> None:
        from archsmith.report.page import write

        while not (folder / "run.json").exists():
            time.sleep(0.01)
        while True:
            write(folder)
            drawn.value += 1

    pid = os.fork()
    if pid == 0:
        os._exit(child(looping) % 256)
    code = child(bench.start(folder))
    gone, _ = os.waitpid(pid, os.WNOHANG)
    if not gone:
        for process in (*_children(pid), pid):
            os.kill(process, 9)
        os.waitpid(pid, 0)
    name = f"{drawn.value} beside a run"
    wrong = "a report failed" if gone else "none was drawn" if not drawn.value else ""
    yield (
        "report",
        name,
        wrong
        or judged(folder, go_on(folder, bench.start(folder)) if code == 0 else code, expected),
    )


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


ALL: dict[str, Callable[[Bench], Iterator[Case]]] = {
    "points": points,
    "random": random_kills,
    "writes": writes,
    "disk": disk,
    "files": files,
    "together": together,
    "report": reports,
}


def _light() -> None:
    """Networks are shipped as those are that cannot be traced: weights, code and documents, which
    take no time; few lower bounds are looked at."""
    from archsmith.export import package
    from archsmith.graph.trace import Untraceable
    from archsmith.methods import scored

    def refused(*args: Any) -> Any:
        raise Untraceable("left out by the campaign; --whole writes it")

    package.exported = package.onnx_bytes = refused
    scored._CHEAP_FEWEST, scored._CHEAP_MOST = 100, 150  # lower bounds: they cost nothing but time


# once, before the forks: what every run imports by the way
_IMPORTED = (
    "archsmith.export",
    "archsmith.report.page",
    "archsmith.stages.pipeline",
    "archsmith.stages.requests",
    "onnxruntime",
    "plotly.offline",
    "pymoo.algorithms.moo.nsga2",
    "torch._dynamo",
    "torch.utils.flop_counter",
)


def void(_: object) -> None:
    """For lambdas that must return nothing."""


def main() -> None:
    """Every case; exit code 1 where one of them went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(ALL), help="kinds, with commas")
    parser.add_argument("--short", action="store_true", help="a part of each, in a minute")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="write model.onnx and model.pt2 too, most of a run's seconds",
    )
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--trials", type=int, default=None)
    parser.add_argument("--method", default="auto")
    parser.add_argument(
        "--space", default="small", help="small: of a file of its own, with few networks"
    )
    parser.add_argument("--budget", default="params<=3k")
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        help="a folder to work in; undisturbed runs there are used again",
    )
    asked = parser.parse_args()
    base = (asked.out or Path(tempfile.mkdtemp(prefix="archsmith-campaign-"))).absolute()
    base.mkdir(parents=True, exist_ok=True)
    make_images(base / "bars.npz")
    (base / "small.py").write_text(SMALL)
    (base / "cells.py").write_text(CELLS)
    steps, trials = (
        asked.steps or (24 if asked.short else 40),
        asked.trials or (9 if asked.short else 12),
    )
    bench = Bench(base, steps, trials, asked.short, asked.method, asked.space, asked.budget)
    for name in _IMPORTED:
        importlib.import_module(name)

    if not asked.whole:
        _light()
    count: dict[str, collections.Counter[bool]] = {}
    for kind in asked.only.split(","):
        began = time.monotonic()
        for named, name, wrong in ALL[kind](bench):
            print(f"{named:<9} {name:<60} {wrong or 'equal'}", file=sys.stderr, flush=True)
            count.setdefault(kind, collections.Counter())[not wrong] += 1
        print(f"{kind:<9} {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(f"{'kind':<9} {'right':>6} {'wrong':>6}")
    for kind, found in count.items():
        print(f"{kind:<9} {found[True]:>6} {found[False]:>6}")
    sys.exit(1 if any(found[False] for found in count.values()) else 0)


if __name__ == "__main__":
    main()
