"""Behind `archsmith.search` and `archsmith.open_run`: a run as its user holds it."""

from __future__ import annotations

import time as _time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archsmith.run.records.ship import Classified
from archsmith.run.request import Request, request_from
from archsmith.run.store import Run

if TYPE_CHECKING:
    from torch import nn

    from archsmith.searchers.sqlite import SqliteArchive

_SHIPPED = (
    "architecture", "test_accuracy", "test_balanced_accuracy", "search_test_accuracy", "reference_test_accuracy", "network",
    "warning", "verdict", "budget",
)  # fmt: skip


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
        shipped, looked = self.run.shipped, self.run.looked
        found: dict[str, Any] = dict.fromkeys(_SHIPPED)
        if shipped is not None:
            test, reference = shipped.test, shipped.reference_test
            found = {
                "architecture": dict(shipped.architecture.options),
                "test_accuracy": test.accuracy,
                "test_balanced_accuracy": test.balanced_accuracy if isinstance(test, Classified) else None,
                "search_test_accuracy": shipped.search.test.accuracy if shipped.search is not None else None,
                "reference_test_accuracy": reference.accuracy if reference is not None else None,
                "network": shipped.network,
                "warning": shipped.warning,
                "verdict": shipped.verdict,
                "budget": [row.to_json() for row in shipped.budget],
            }
        files = shipped.files if shipped is not None else ()
        return {
            "run": str(self.folder),
            "status": self.record["status"],
            "classes": list(looked.classes) if looked is not None else None,
            **found,
            "files": [str(self.folder / "best" / file.name) for file in files],
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
    architecture.json. Raises UserError for unknown names and what cannot be read.
    """
    from archsmith.stages.scoring import score_space

    found = score_space(
        space, list(proxies), data=None if data is None else str(data), sample=sample,
        architecture=None if architecture is None else Path(architecture), budget=budget, classes=classes, channels=channels,
        size=size, batch=batch, threads=threads, seed=seed,
    )  # fmt: skip
    return found["networks"]
