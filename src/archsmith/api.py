"""Behind `archsmith.search` and `archsmith.open_run`: a run as its user holds it."""

from __future__ import annotations

import time as _time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archsmith.run.request import Request, request_from
from archsmith.run.store import Run

if TYPE_CHECKING:
    from torch import nn

    from archsmith.searchers.sqlite import SqliteArchive


class Result:
    """A run, finished or not: what it decided, its networks, its files; what `search` and `open_run` give."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.run.folder

    @property
    def request(self) -> Request:
        """What was asked for."""
        return self.run.request

    @property
    def record(self) -> Mapping[str, Any]:
        """What run.json holds."""
        return self.run.record

    @property
    def space(self) -> str:
        """The space that was searched, 'auto' resolved. UserError where it is a file that this user has not named."""
        return self.run.space

    @property
    def archive(self) -> SqliteArchive:
        """Every trial."""
        return self.run.archive

    def stage(self, name: str) -> dict[str, Any] | None:
        """What a finished stage decided; None where it is not finished."""
        return self.run.stage(name)

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, the unfinished one included."""
        return self.run.seconds()

    def front(self) -> list[dict[str, Any]]:
        """The feasible trade-off front as the rows of front.csv."""
        from archsmith.report.front import rows

        return rows(self.folder)

    def best(self, network: str | None = None) -> nn.Module:
        """The shipped network, trained, as a plain torch module in eval mode (normalised float input, logits out).

        `network`: "search", "reference", or the key or name of another that the run trained. UserError where there is none
        (yet), Damaged where its weights are not those that were shipped.
        """
        from archsmith.stages.networks import best

        return best(self.run, network)

    def export(
        self,
        path: str | Path | None = None,
        format: Literal["onnx", "pt2", "safetensors"] | None = None,
        *,
        network: str | None = None,
    ) -> Path:
        """Writes the shipped network, or another (as in `best`), to `path`; the format follows from the name where not given.

        Without a path to NAME.FORMAT beside the run, where no other file is there. UserError where it would replace a file of
        the run, or cannot be written.
        """
        from archsmith.stages.networks import export

        return export(self.run, None if path is None else Path(path), format, which=network)

    def summary(self) -> dict[str, Any]:
        """What `--json` prints: stable keys, None where the run has not come so far."""
        ship, look = self.stage("ship") or {}, self.stage("look") or {}
        test, reference = ship.get("test") or {}, ship.get("reference_test") or {}
        searched = (ship.get("search") or {}).get("test") or {}
        return {
            "run": str(self.folder),
            "status": self.record["status"],
            "classes": look.get("classes"),
            "architecture": (ship.get("architecture") or {}).get("options"),
            "test_accuracy": test.get("accuracy"),
            "test_balanced_accuracy": test.get("balanced_accuracy"),
            "search_test_accuracy": searched.get("accuracy"),
            "reference_test_accuracy": reference.get("accuracy"),
            "network": ship.get("network"),
            "warning": ship.get("warning"),
            "verdict": ship.get("verdict"),
            "budget": ship.get("budget"),
            "files": [str(self.folder / "best" / f["name"]) for f in ship.get("files", [])],
            "report": str(self.folder / "report.html"),
            "seconds": round(sum(self.seconds().values()), 2),
        }


def search(data: str | Path, *, budget: str = "", out: str | Path, time: str | float | None = "20m", **settings: Any) -> Result:
    """What `archsmith search` does; returns the finished run with `.best()`, `.front()`, `.export(path)`, `.summary()`.

    `settings`: method, space, device, steps, trials, threads, seed, init, size, val_share, test_share, group, classes_at, fit,
    flip, reference, task, follow, `training={...}` (lr, batch, augment), and the method's own as `settings={...}` (few-shot:
    splits, split_on, leaves, inherit). Raises archsmith.errors.UserError where the request cannot be met.
    """
    began = _time.monotonic()
    from archsmith.problem.budget import parse_seconds
    from archsmith.stages.requests import start

    seconds = None if time is None or settings.get("steps") is not None else parse_seconds(time)
    request = request_from(data=str(data), budget=budget, time_s=seconds, **settings)
    return Result(start(request, out, ahead_s=_time.monotonic() - began))


def open_run(folder: str | Path, *, trust: bool = False) -> Result:
    """A run made earlier, finished or not. `trust`: where it was searched in a space of its own, that file may be run.

    Raises UserError where there is none, Damaged where run.json is not as it was written.
    """
    return Result(Run.open(folder, trust=trust))


def resume(folder: str | Path, *, data: str | Path | None = None, trust: bool = False) -> Result:
    """Goes on with a run that was stopped, killed or failed; a finished one is given back as it is.

    `data`: where the same images lie now, for a run whose images were moved; `trust`: as of `open_run`. Raises UserError where
    there is no run, its images are gone or are others, or another process works on it.
    """
    began = _time.monotonic()
    from archsmith.stages.pipeline import complete
    from archsmith.stages.requests import continued, moved

    run = Run.open(folder, trust=trust)
    if complete(run):
        return Result(run if data is None else moved(run, str(data)))
    return Result(continued(run, None if data is None else str(data), ahead_s=_time.monotonic() - began))


def profile(
    data: str | Path | None = None,
    *,
    space: str = "auto",
    budget: str = "",
    latency: bool = False,
    size: int | None = None,
    classes: int = 10,
    channels: int = 3,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Any]:
    """What `archsmith profile` does: what the networks of a space cost, and the share of them that keeps the budget.

    With `data` for its images and classes, else for `channels` x `size` x `size` and `classes`; `latency`: timed, too.
    Returns what `--json` prints.
    Raises UserError for an unknown space, NothingFits (of archsmith.errors) where no network keeps the budget.
    """
    from archsmith.stages.profiling import profile_space

    return profile_space(
        None if data is None else str(data), space, budget, classes=classes, channels=channels, size=size, latency=latency,
        threads=threads, seed=seed,
    )  # fmt: skip


def score(
    space: str = "auto",
    proxies: Sequence[str] = ("zico",),
    *,
    data: str | Path | None = None,
    sample: int = 10,
    architecture: str | Path | None = None,
    budget: str = "",
    size: int | None = None,
    classes: int = 10,
    channels: int = 3,
    batch: int = 64,
    seed: int = 0,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """What `archsmith score` does: training-free scores of `sample` networks that keep the budget, or of one given.

    Returns a row a network, best first by the first proxy: key, options, costs, `scores` by proxy. `architecture`: an
    architecture.json, or a file or text in a form that the space's publishers write.
    Raises UserError for unknown names and what cannot be read.
    """
    from archsmith.stages.scoring import score_space

    found = score_space(
        space, list(proxies), data=None if data is None else str(data), sample=sample,
        architecture=architecture, budget=budget, classes=classes, channels=channels,
        size=size, batch=batch, threads=threads, seed=seed,
    )  # fmt: skip
    return found["networks"]
