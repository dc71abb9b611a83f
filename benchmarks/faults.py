"""Kills a search with SIGKILL at chosen points and random moments, resumes it, compares with an undisturbed run to the bit.

Points: inside a training step, inside a checkpoint write (half of the bytes are out), inside a transaction of the run's
database, right after a stage was committed, and `random`: whenever a timer says. One parent forks every run, so that torch is
imported once.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

POINTS = "training:25,checkpoint:3,database:2,between:4"


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


def die() -> None:
    """As `kill -9` does it."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, at: int) -> None:
    """Makes this process die at the `at`-th pass of a point."""
    passes = [0]

    def passed() -> bool:
        passes[0] += 1
        return passes[0] == at

    if point == "training":
        from archsmith.training import loop

        step = loop.train_step

        def dying_step(*args: Any, **kwargs: Any) -> Any:
            if passed():
                die()
            return step(*args, **kwargs)

        loop.train_step = dying_step
    elif point == "checkpoint":
        from archsmith.training import checkpoint

        def half(file: BinaryIO, data: bytes) -> None:
            if passed():
                file.write(data[: len(data) // 2])
                file.flush()
                die()
            file.write(data)

        checkpoint.write_chunks = half
    elif point == "between":
        from archsmith.run import Run

        finish = Run.finish_stage

        def dying_finish(self: Run, *args: Any) -> None:
            finish(self, *args)
            if passed():
                die()

        Run.finish_stage = dying_finish  # type: ignore[method-assign]
    else:
        assert point == "database"
        _arm_database(passed)


def _arm_database(passed: Callable[[], bool]) -> None:
    """Dies when a trial's row has been handed to SQLite and is not committed yet."""
    connect = sqlite3.connect

    class Dying(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> Any:
            return self._after(sql, super().execute(sql, *args))

        def executemany(self, sql: str, *args: Any) -> Any:
            return self._after(sql, super().executemany(sql, *args))

        def _after(self, sql: str, result: Any) -> Any:
            if "insert into trials" in sql.lower() and passed():
                die()
            return result

    def dying_connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        return connect(*args, **{**kwargs, "factory": Dying})

    sqlite3.connect = dying_connect  # type: ignore[assignment]


def child(work: Callable[[], None], kill_after: float | None = None) -> bool:
    """Runs `work` in a fork; whether it ended by itself and well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


def digest(folder: Path) -> dict[str, Any]:
    """What must be equal: every trial but its seconds, the choice, the weights."""
    from archsmith.run import Run

    run = Run.open(folder)
    trials = [
        [t.stage, t.arch.key, t.violation, t.reason, sorted((k, v) for k, v in t.metrics.items() if k != "latency")]
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


def main() -> None:
    """Every scenario; exit code 1 where one of them ended differently."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", default=POINTS, help="POINT:N,...: die at the N-th pass of the point")
    parser.add_argument("--random", type=int, default=0, help="random moments besides")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--space", default="auto")
    parser.add_argument("--budget", default="params<=20k")
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    base = asked.out or Path(tempfile.mkdtemp(prefix="archsmith-faults-"))
    base.mkdir(parents=True, exist_ok=True)
    make_images(base / "bars.npz")

    from archsmith.pipeline import carry_on, start
    from archsmith.run import Run, request_from

    request = request_from(
        data=str(base / "bars.npz"), budget=asked.budget, method=asked.method, space=asked.space, steps=asked.steps,
        time_s=None, trials=asked.trials, threads=1,
    )  # fmt: skip
    began = time.monotonic()
    assert child(lambda: void(start(request, base / "straight"))), "the undisturbed run failed"
    whole = time.monotonic() - began
    expected = digest(base / "straight")
    named = [text.split(":") for text in asked.points.split(",") if text]
    scenarios: list[tuple[str, int | None, float | None]] = [(point, int(at), None) for point, at in named]
    moments = random.Random(0)
    scenarios += [("random", None, moments.uniform(0.02, 0.98) * whole) for _ in range(asked.random)]
    rows = []
    for point, at, after in scenarios:
        folder = base / f"{point}-{at if at is not None else round(after or 0.0, 2)}"

        def doomed(point: str = point, at: int | None = at, folder: Path = folder) -> None:
            if at is not None:
                arm(point, at)
            start(request, folder)

        ended = child(doomed, after)
        if not (folder / "run.json").exists():  # killed before there was a run: begin again
            resumed = child(lambda folder=folder: void(start(request, folder)))
        else:
            resumed = child(lambda folder=folder: void(carry_on(Run.open(folder))))
        found = digest(folder) if resumed else {}
        rows.append({"point": point, "at": at, "after_s": after, "killed": not ended, "equal": found == expected})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"seconds_undisturbed": round(whole, 1), **expected, "rows": rows}, indent=1))
    sys.exit(0 if all(row["equal"] for row in rows) else 1)


def void(_: object) -> None:
    """For lambdas that must return nothing."""


if __name__ == "__main__":
    main()
