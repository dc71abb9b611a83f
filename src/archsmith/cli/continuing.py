"""`archsmith resume`, `again` and `train`: on from a run that there is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archsmith.cli import arguments
from archsmith.cli.arguments import answer
from archsmith.cli.endings import note
from archsmith.cli.options import (
    Augmentation,
    BatchSize,
    Json,
    Moved,
    Network,
    NewRun,
    Precisely,
    Rate,
    Reference,
    RunFolder,
    Trust,
    training_steps,
)
from archsmith.cli.runs import ahead, finished, free_name, watched
from archsmith.errors import UserError, shown

if TYPE_CHECKING:
    from archsmith.run.store import Run

Budgets = Annotated[list[str], typer.Option(help="As in `search`; may be given several times.")]
Count = Annotated[int, typer.Option(min=1, max=10_000, help="So many networks for each budget.")]
ShippedIn = Annotated[
    str | None,
    typer.Option(help="Train and ship the best for the budget in this time, in a new run."),
]
OfDdpnas = Annotated[
    str,
    typer.Option(
        "--set", help='Of ddpnas: "worth=log, height=2, free=4"; see docs/methods/ddpnas.md.'
    ),
]
TrainedIn = Annotated[str | None, typer.Option(help="All the time it may take: 90s, 20m, 1h30m.")]
Epochs = Annotated[
    float | None,
    typer.Option(
        callback=arguments.finite,
        min=0.01,
        max=1e6,
        help="Passes over the training images instead of a time.",
    ),
]


def resume(
    run: RunFolder,
    data: Moved = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Go on with a run that was stopped, killed, or failed."""
    from archsmith.run.store import Run
    from archsmith.stages.intact import complete

    opened = Run.open(run, trust=trust)
    if complete(opened):
        if data is not None:
            from archsmith.stages.requests import moved

            opened = moved(opened, data)
        where = (
            (f"its images are at {shown(opened.request.data)} from now on")
            if data is not None
            else "nothing to resume"
        )
        print(f"{run} is finished; {where}", file=sys.stderr)
        finished(opened, json)
        return
    with watched(run) as watching:
        from archsmith.stages.requests import continued

        opened = continued(opened, data, watching, ahead_s=ahead())
    finished(opened, json)


def again(
    run: RunFolder,
    budget: Budgets,
    count: Count = 1,
    time: ShippedIn = None,
    steps: Annotated[int | None, training_steps("The same, by training steps.")] = None,
    reference: Reference = True,
    settings: OfDdpnas = "",
    out: NewRun = None,
    data: Moved = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Networks for another budget from the same run: no new training of shared weights; after
    ddpnas in seconds."""
    from archsmith.problem.budget import read
    from archsmith.problem.times import read_seconds
    from archsmith.run.store import Run

    arguments.one_of(time=time, steps=steps)
    opened = Run.open(run, trust=trust)
    seconds, of_time = (None, ()) if time is None else read_seconds(time)
    notes = (*dict.fromkeys(remark for text in budget for remark in read(text)[1]), *of_time)
    if time is None and steps is None:
        note(notes)
        _tell_networks(opened, budget, count, arguments.settings(settings), json=json)
        return
    if len(budget) > 1:
        raise UserError(
            "with --time or --steps give one --budget; each trains a network of its own"
        )
    folder = _beside(run) if out is None else out
    note(notes)
    with watched(folder) as watching:
        from archsmith.stages.requests import again as begin

        new = begin(
            opened,
            budget[0],
            folder,
            watch=watching,
            settings=arguments.settings(settings),
            ahead_s=ahead(),
            notes=notes,
            steps=steps,
            time_s=seconds,
            reference=reference,
            **_of_data(data),
        )
    finished(new, json)


def _tell_networks(
    run: Run, budgets: Sequence[str], count: int, settings: dict[str, Any], *, json: bool
) -> None:
    """What each budget gives, without training; exit code 2 where one gives nothing."""
    from archsmith.stages.answers import generated

    rows = generated(run, budgets, count, settings)
    answer(rows) if json else print(_networks(rows))
    if any(row["error"] for row in rows):
        sys.exit(2)


def _networks(rows: list[dict[str, Any]]) -> str:
    """For people: what each budget gives."""
    from archsmith.problem.budget import human

    lines = []
    for row in rows:
        lines.append(f"budget {row['budget']}" + (f": {row['error']}" if row["error"] else ""))
        for network in row["networks"]:
            costs = ", ".join(
                f"{n} {human(n, v)}" for n, v in network.items() if n not in ("key", "options")
            )
            lines.append(f"  {network['key']}  {costs}")
            lines.append(
                "   "
                " " + ", ".join(f"{name}={option}" for name, option in network["options"].items())
            )
    return "\n".join(lines)


def train(
    run: RunFolder,
    time: TrainedIn = None,
    steps: Annotated[int | None, training_steps("Training steps instead.")] = None,
    epochs: Epochs = None,
    lr: Rate = None,
    batch: BatchSize = None,
    augment: Augmentation = None,
    precision: Precisely = None,
    network: Network = None,
    out: NewRun = None,
    data: Moved = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Train the network of a finished run further, with its recipe, and ship it anew in a new
    run."""
    from archsmith.problem.times import read_seconds
    from archsmith.run.store import Run

    if arguments.one_of(time=time, steps=steps, epochs=epochs) is None:
        raise UserError("give one of --time, --steps and --epochs, e.g. --time 30m")
    opened = Run.open(run, trust=trust)
    seconds, notes = (None, ()) if time is None else read_seconds(time)
    folder = _beside(run) if out is None else out
    note(notes)
    length = {} if epochs is not None else {"time_s": seconds, "steps": steps}
    with watched(folder) as watching:
        from archsmith.stages.requests import train as begin

        new = begin(
            opened,
            folder,
            watching,
            which=network,
            epochs=epochs,
            ahead_s=ahead(),
            notes=notes,
            training={
                **opened.request.training,
                **arguments.training(lr, batch, augment, precision),
            },
            **length,
            **_of_data(data),
        )
    finished(new, json)


def _beside(run: Path) -> Path:
    """RUN-2, or the next that is free."""
    return free_name(run.absolute().parent, run.absolute().name)


def _of_data(data: str | None) -> dict[str, Any]:
    """What changes of a request where images were moved."""
    return {} if data is None else {"data": data}
