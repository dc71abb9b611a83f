"""Behind `archsmith.search` and `archsmith.open_run`: a run as its user holds it."""

from __future__ import annotations

import time as _time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archsmith.run.records.ship import Classified
from archsmith.run.request import Request, request_from
from archsmith.run.store import Run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from archsmith.searchers.sqlite import SqliteArchive

# a path; or loaders of images and labels: of all, or by part
Data = str | Path | Iterable[Any] | Mapping[str, Iterable[Any]]

_SHIPPED = (
    "architecture",
    "test_accuracy",
    "test_balanced_accuracy",
    "search_test_accuracy",
    "reference_test_accuracy",
    "network",
    "warning",
    "verdict",
    "budget",
)


class Result:
    """A run, finished or not: what it decided, its networks, its files. What `search`, `resume` and
    `open_run` give.

    Nothing here trains or changes the run. Made by those functions, not by hand.

    >>> run = archsmith.open_run(folder)
    >>> model = run.best()
    >>> model.training, run.stage("look")["size"], len(run.summary()["files"]) > 5
    (False, 8, True)
    """

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
        """The space that was searched, 'auto' resolved. UserError where it is a file that this user
        has not named."""
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

    def waits(self) -> dict[str, float]:
        """By stage the seconds in which other work on the machine kept the run waiting."""
        return self.run.waits()

    def front(self) -> list[dict[str, Any]]:
        """The feasible trade-off front as the rows of front.csv."""
        from archsmith.report.front import rows

        return rows(self.folder)

    def best(self, network: str | None = None) -> nn.Module:
        """The shipped network, trained, as a plain torch module in eval mode (normalised float
        input, logits out).

        `network`: "search", "reference", or the key or name of another that the run trained.
        UserError where there is none (yet), Damaged where its weights are not those that were
        shipped.
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
        """Writes the shipped network, or another (as in `best`), to `path`; the format follows from
        the name where not given.

        Without a path to NAME.FORMAT beside the run, where no other file is there. UserError where
        it would replace a file of the run, or cannot be written.
        """
        from archsmith.stages.networks import export

        return export(self.run, None if path is None else Path(path), format, which=network)

    def summary(self) -> dict[str, Any]:
        """What `--json` prints: stable keys, None where the run has not come so far."""
        shipped, looked = self.run.shipped, self.run.looked
        facts: dict[str, Any] = dict.fromkeys(_SHIPPED)
        if shipped is not None:
            test, reference = shipped.test, shipped.reference_test
            facts = {
                "architecture": dict(shipped.architecture.options),
                "test_accuracy": test.accuracy,
                "test_balanced_accuracy": test.balanced_accuracy
                if isinstance(test, Classified)
                else None,
                "search_test_accuracy": shipped.search.test.accuracy
                if shipped.search is not None
                else None,
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
            **facts,
            "files": [str(self.folder / "best" / file.name) for file in files],
            "report": str(self.folder / "report.html"),
            "seconds": round(sum(self.seconds().values()), 2),
        }


def search(
    data: Data,
    *,
    budget: str = "",
    out: str | Path,
    time: str | float | None = "20m",
    steps: int | None = None,
    method: str = "auto",
    space: str = "auto",
    task: Literal["classification", "regression", "reconstruction"] = "classification",
    device: str = "auto",
    threads: int | None = None,
    seed: int = 0,
    trials: int | None = None,
    size: int | None = None,
    val_share: float | None = None,
    test_share: float | None = None,
    group: str | None = None,
    classes_at: int | None = None,
    fit: Literal["auto", "crop", "pad", "squeeze"] = "auto",
    flip: Literal["auto", "yes", "no"] = "auto",
    init: str | Path | None = None,
    pretrained: bool | None = None,
    teacher: str | Path | None = None,
    loss: str | Callable[..., Tensor] | None = None,
    refit: bool = False,
    reference: bool = True,
    follow: Literal["checked", "always"] = "checked",
    training: Mapping[str, int | float | str] | None = None,
    settings: Mapping[str, int | float | str | bool] | None = None,
) -> Result:
    """Searches, trains and ships the best network for `data` within `budget`: what `archsmith
    search` does.

    - `data`: a folder of images, a CSV, parquet or npz file, or "digits". Or what a program holds:
      {"train": loader, "val": loader, "test": loader} of iterables of (images, labels), such as
      DataLoaders, the last two only where there are such parts; or one for all images. They are
      read once through, into a file beside the run: what a loader does at random is done once, and
      a run adds its own augmentation. Images that a loader normalises are read in one scale, that
      of its training images, which `best/preprocess.json` tells.
    - `budget`: limits such as "params<=3M, macs<=60M, latency<=8ms, memory<=2MiB, depth<=40"; hard
      ones, all of one image. "macs<=50%": of what the largest network of the space costs.
    - `out`: the folder of the run, which must not hold one yet.
    - `time`: all it may take, start-up included: "45m", "90s", or a number of seconds. Or `steps`:
      training steps in all, and the run is the same to the bit; `time` is not looked at then.
    - `method`, `space`: names that `archsmith methods` and `archsmith spaces` list; a space of
      one's own as "my_model.py:Net".
    - `task`: what is made of an image: a class, numbers, or the image again.
    - `device`: "auto", "cpu", "cuda", "cuda:1", "mps". `threads`: of the CPU, default: physical
      cores. `seed`: of every draw.
    - `trials`: networks to score, at least 8; default: as time allows.
    - `size`: side of the input in pixels; default: from the images, the budget and the time.
    - `val_share`, `test_share`: shares of the images, between 0 and 1, where the data names no such
      parts. `group`: a column whose equal values stay in one part. `classes_at`: the level of the
      class folders below `data`, 1 directly in it.
    - `fit`: how an image becomes square. `flip`: whether training images are mirrored left to
      right.
    - `init`: a file of weights to begin with (.safetensors, or a .pt state_dict).
    - `pretrained`: whether to begin from published weights, which the extra [pretrained] brings;
      None: for few photos.
    - `teacher`: a file with a trained network, .onnx or .pt2 (`best/model.onnx` of another run, or
      any that gives these classes), whose answers the networks learn from besides the labels.
    - `loss`: a function of your own that training makes small, as "my_losses.py:focal" or itself:
      loss(outputs, labels), float (B, classes) and int64 (B,), to the mean over the batch. What is
      judged, and scores without training, stay as they are.
    - `refit`: whether what ships is trained once more at the end, on the validation images as well,
      for as long as it took to be best; the others get less of the time or steps for it.
    - `reference`: whether a hand-made network is trained beside it, at equal cost.
    - `follow`: estimates by shared weights are followed where a check finds them good, or always.
    - `training`: instead of the recipe's: "lr", "batch" (images), "augment" ("auto", "none",
      "mild", "strong"), "precision".
    - `settings`: the method's own, as few-shot's {"splits": 2, "split_on": "gradients"}; see the
      page of the method.

    Returns the finished run: `.best()`, `.front()`, `.export(path)`, `.summary()`. Raises
    archsmith.errors.UserError where the request cannot be met, NothingFits among them where no
    network keeps the budget; a run that stops on its way is taken up by `resume`.

    >>> run = archsmith.search(
    ...     "digits", budget="params<=20k", out="runs/digits", steps=60, reference=False, threads=1
    ... )
    >>> run.summary()["status"]
    'done'
    >>> import torch
    >>> model = run.best()
    >>> model(torch.zeros(1, 1, 8, 8)).shape
    torch.Size([1, 10])
    """
    began = _time.monotonic()
    from archsmith.problem.times import parse_seconds
    from archsmith.stages.requests import files_beside, named_data, named_loss, start

    with files_beside(Path(out)):
        request = request_from(
            data=named_data(data, Path(out), task),
            budget=budget,
            method=method,
            space=space,
            device=device,
            steps=steps,
            time_s=None if time is None or steps is not None else parse_seconds(time),
            trials=trials,
            threads=threads,
            seed=seed,
            init=None if init is None else str(init),
            pretrained=pretrained,
            teacher=None if teacher is None else str(teacher),
            loss=named_loss(loss),
            refit=refit,
            size=size,
            val_share=val_share,
            test_share=test_share,
            group=group,
            classes_at=classes_at,
            reference=reference,
            task=task,
            follow=follow,
            fit=fit,
            flip=flip,
            training=dict(training or {}),
            settings=dict(settings or {}),
        )
        return Result(start(request, out, ahead_s=_time.monotonic() - began))


def shrink(
    network: str | Callable[..., nn.Module] | nn.Module,
    data: Data,
    *,
    budget: str,
    weights: str | Path | None = None,
    out: str | Path,
    time: str | float | None = "20m",
    steps: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    seed: int = 0,
    size: int | None = None,
    teacher: str | Path | None = None,
    loss: str | Callable[..., Tensor] | None = None,
    refit: bool = False,
    reference: bool = True,
    task: Literal["classification", "regression", "reconstruction"] = "classification",
    training: Mapping[str, int | float | str] | None = None,
    settings: Mapping[str, int | float | str | bool] | None = None,
    **more: Any,
) -> Result:
    """Makes a trained network smaller: what `archsmith shrink` does.

    - `network`: your own, a class or function of a file, as "my_model.py:Net" or itself; any that
      `elastic` can convert, or one that declares Choices. A module, whose class stands in a file
      and can be made without arguments, brings its weights. Or a name that `archsmith spaces`
      lists.
    - `data`: the images, as of `search`. `weights`: the network's, as .pt or .safetensors.
    - `budget`: as of `search`, or a share of what the network costs: "macs<=50%".
    - `reference`: whether the network with all layers narrower by one share is fine-tuned beside
      it, at equal cost.
    - `teacher`: as of `search`; without one the network itself, as it came, teaches what is
      fine-tuned, where it is better than the same answer always.
    - `settings`: of method `shrink`, "importance" ("l1", "taylor", "zico"), "rate", "distill",
      whether the network teaches, and "least_passes", with how many all versions are trained.
    - `out`, `time`, `steps`, `device`, `threads`, `seed`, `size`, `loss`, `refit`, `task`,
      `training` and `more` that it takes: as of `search`.

    All versions of the network are trained together, the largest teaching the others, from the
    weights that are given; the best of those within the budget are fine-tuned, and the best of
    them ships. Where the time would leave few passes for that, versions made by hand are fine-tuned
    instead. Returns the finished run, whose `best()` is a plain module with its weights; raises as
    `search`, and UserError for a network that cannot be followed, weights of another one, and a
    budget that it keeps as it is.

    >>> run = archsmith.shrink(
    ...     "net.py:Net", "digits", weights="net.pt", budget="macs<=50%", out="runs/small", steps=30
    ... )
    >>> run.summary()["status"]
    'done'
    """
    began = _time.monotonic()
    from archsmith.problem.times import parse_seconds
    from archsmith.stages.requests import (
        files_beside,
        named_data,
        named_loss,
        named_network,
        shrinking,
        start,
    )

    with files_beside(Path(out)):
        named, own = named_network(network, Path(out))
        request = shrinking(
            named,
            named_data(data, Path(out), task),
            own if weights is None else weights,
            budget=budget,
            device=device,
            steps=steps,
            time_s=None if time is None or steps is not None else parse_seconds(time),
            threads=threads,
            seed=seed,
            size=size,
            teacher=None if teacher is None else str(teacher),
            loss=named_loss(loss),
            refit=refit,
            reference=reference,
            task=task,
            training=dict(training or {}),
            settings=dict(settings or {}),
            **more,
        )
        return Result(start(request, out, ahead_s=_time.monotonic() - began))


def open_run(folder: str | Path, *, trust: bool = False) -> Result:
    """A run made earlier, finished or not.

    `folder`: where it lies. `trust`: where it was searched in a space of its own
    (`my_model.py:Net`), that file may be run though the run was begun by somebody else, or the file
    is another by now. Nothing is trained or changed.

    Raises UserError where there is no run, Damaged where run.json is not as it was written.

    >>> run = archsmith.open_run(folder)
    >>> run.summary()["status"]
    'done'
    """
    return Result(Run.open(folder, trust=trust))


def resume(folder: str | Path, *, data: str | Path | None = None, trust: bool = False) -> Result:
    """Goes on with a run that was stopped, killed or failed, where it was; a finished one is given
    back as it is.

    `folder`: where it lies. `data`: where the same images lie now, for a run whose images were
    moved (their contents are compared). `trust`: as of `open_run`. With `steps` the end is that of
    a run that was never stopped, to the bit; with `time` what was measured stays and the rest uses
    the time that is left.

    Returns the finished run. Raises UserError where there is no run, its images are gone or are
    others, or another process works on it.

    >>> run = archsmith.resume(folder)
    >>> run.summary()["status"]
    'done'
    """
    began = _time.monotonic()
    from archsmith.stages.intact import complete
    from archsmith.stages.requests import continued, moved

    run = Run.open(folder, trust=trust)
    if complete(run):
        return Result(run if data is None else moved(run, str(data)))
    return Result(
        continued(run, None if data is None else str(data), ahead_s=_time.monotonic() - began)
    )


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
    """What the networks of a space cost, and the share of them that keeps a budget, before anything
    is trained.

    `data`: images whose classes, channels and size count (a folder, a file, "digits"); without it
    `classes` and images of `channels` x `size` x `size` pixels (default 32). `space`, `budget`: as
    of `search`. `latency`: time networks with ONNX Runtime, too (ms). `threads`: of the CPU.
    `seed`: of the networks that are drawn. What `archsmith profile` does.

    Returns what `archsmith profile --json` prints: plain values, parameters and MACs of one image,
    memory in bytes. Raises UserError for an unknown space, NothingFits (of archsmith.errors), with
    the nearest network, where none keeps the budget.

    >>> found = archsmith.profile(space="vit-nano", size=16, budget="params<=50k", threads=1)
    >>> share = found["feasible_share"]["share"]
    >>> found["space_size"], found["metrics"]["params"]["min"], 0 < share < 1
    ('67824', 11210.0, True)
    """
    from archsmith.stages.profiling import profile_space

    return profile_space(
        None if data is None else str(data),
        space,
        budget,
        classes=classes,
        channels=channels,
        size=size,
        latency=latency,
        threads=threads,
        seed=seed,
    )


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
    """Training-free scores of `sample` networks that keep a budget, or of one that is given.

    `proxies`: names that `archsmith proxies` lists; those that need the same pass share it. `data`:
    images to score with (default: noise and random labels, of `classes` and `channels` x `size` x
    `size` pixels), in two batches of `batch`. `architecture`: one to score instead of a sample: an
    architecture.json, or a file or text in a form that the space's publishers write. `space`,
    `budget`, `threads`: as of `search`. `seed`: of sample, images and weights. What `archsmith
    score` does.

    Returns a row a network, best first by the first proxy: "key", "options", "params", "macs",
    "depth", and "scores" by proxy. Raises UserError for unknown names and what cannot be read.

    >>> rows = archsmith.score(
    ...     "nats-size", ["naswot", "params"], sample=3, size=8, batch=8, threads=1
    ... )
    >>> len(rows), sorted(rows[0]["scores"])
    (3, ['naswot', 'params'])
    """
    from archsmith.stages.scoring import score_space

    return score_space(
        space,
        list(proxies),
        data=None if data is None else str(data),
        sample=sample,
        architecture=architecture,
        budget=budget,
        classes=classes,
        channels=channels,
        size=size,
        batch=batch,
        threads=threads,
        seed=seed,
    )["networks"]
