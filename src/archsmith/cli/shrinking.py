"""`archsmith shrink`: a trained network made smaller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archsmith.cli import arguments
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
    Threads,
)
from archsmith.cli.runs import free_name
from archsmith.cli.searching import (
    Data,
    Device,
    Fit,
    Flip,
    Group,
    Loss,
    Out,
    Refit,
    Settings,
    Size,
    Steps,
    Task,
    Teacher,
    TestShare,
    Time,
    ValShare,
    begin,
    understood,
)

Network = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        help="Your network, a class or function of a file: my_model.py:Net; or a name from "
        "`archsmith spaces`.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        parser=arguments.place,
        help="Its trained weights (.safetensors, or a .pt state_dict).",
    ),
]


def shrink(
    network: Network,
    data: Data,
    weights: Weights = None,
    budget: Budget = "",
    device: Device = "auto",
    time: Time = None,
    steps: Steps = None,
    threads: Threads = None,
    seed: Seed = 0,
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
    fit: Fit = "auto",
    flip: Flip = "auto",
    settings: Settings = "",
    lr: Rate = None,
    batch: BatchSize = None,
    augment: Augmentation = None,
    precision: Precisely = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Make a trained network smaller, within a budget, as good as it can be on DATA."""
    from archsmith.stages.requests import shrinking

    seconds, notes = understood("shrink", network, budget, time=time, steps=steps)
    request = shrinking(
        network,
        data,
        weights,
        budget=budget,
        device=device,
        steps=steps,
        time_s=seconds,
        threads=threads,
        seed=seed,
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
        training=arguments.training(lr, batch, augment, precision),
        settings=arguments.settings(settings),
    )
    folder = free_name(Path("runs"), f"{Path(data).stem or 'run'}-small") if out is None else out
    begin(request, folder, notes, json=json)
