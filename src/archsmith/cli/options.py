"""Options that several commands have, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from archsmith.cli import arguments


def folder_or_file(what: str) -> Any:
    """An option that is a path; `what` it is, for --help."""
    return typer.Option(metavar="PATH", parser=arguments.place, help=what)


def images(what: str) -> Any:
    """An option that names data; `what` it is for."""
    return typer.Option(metavar="DATA", parser=arguments.source, help=what)


def images_first(what: str) -> Any:
    """The argument that names data."""
    return typer.Argument(metavar="DATA", parser=arguments.source, help=what)


def pixels(what: str) -> Any:
    """The side of an image."""
    return typer.Option(min=4, max=1024, help=what)


def mini_batch(what: str) -> Any:
    """A number of images that are looked at together."""
    return typer.Option(min=2, max=2**16, help=what)


def training_steps(what: str) -> Any:
    """A number of training steps."""
    return typer.Option(min=1, max=10**9, help=what)


def classes_without(data: str) -> Any:
    """The number of classes where no data is given as `data`."""
    return typer.Option(min=1, max=100_000, help=f"Number of classes, without {data}.")


def channels_without(data: str) -> Any:
    """The number of channels where no data is given as `data`."""
    return typer.Option(min=1, max=1024, help=f"Image channels, without {data}.")


# -- of every kind of command ---------------------------------------------------------------------

Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON object to standard output, progress to standard error."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, max=1024, help="Threads to compute with. [default: physical cores]"
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Same seed, same run.")]

# -- what is looked for, and in what ---------------------------------------------------------------

Budget = Annotated[
    str,
    typer.Option(
        "--budget",
        help='Limits, e.g. "params<=3M, macs<=60M, latency<=8ms, memory<=2MiB, depth<=40"; or '
        'shares of what the largest network of the space costs: "macs<=50%".',
    ),
]
Space = Annotated[
    str,
    typer.Option("--space", help="A name from `archsmith spaces`, or your own as my_model.py:Net."),
]
ClassesAt = Annotated[
    int | None,
    typer.Option(
        "--classes-at",
        min=1,
        max=100,
        help="Level of the class folders below DATA, 1: directly in it. [default: seen]",
    ),
]

# -- how it is trained -----------------------------------------------------------------------------

Rate = Annotated[
    float | None,
    typer.Option(
        "--lr",
        callback=arguments.finite,
        min=1e-6,
        max=100.0,
        help="Learning rate. [default: the recipe's]",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch", min=2, max=2**16, help="Images in a batch. [default: the recipe's]"),
]
Augmentation = Annotated[
    str | None,
    typer.Option(
        "--augment",
        help="What is done to training images: auto, none, mild, strong. [default: auto]",
    ),
]
Precisely = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="What training computes in: float32 or bf16. [default: what is faster, tried]",
    ),
]
Reference = Annotated[
    bool, typer.Option(help="Train a hand-made network beside it, at equal cost.")
]

# -- of a run that there is ------------------------------------------------------------------------

RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", parser=arguments.place, help="The folder of a run, as given to --out."
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Run the file that the run's space names, though it was "
        "begun elsewhere or is another.",
    ),
]
Moved = Annotated[str | None, images("Where the same images are now, if they were moved.")]
Network = Annotated[
    str | None,
    typer.Option(
        help="search, reference, or the key of another that was trained. [default: the shipped one]"
    ),
]
NewRun = Annotated[Path | None, folder_or_file("Folder of the new run. [default: RUN-2]")]
