"""`archsmith profile` and `archsmith score`: what networks of a space cost, and their training-free
scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer

from archsmith.cli import arguments
from archsmith.cli.arguments import answer
from archsmith.cli.endings import note, say
from archsmith.cli.options import (
    Budget,
    ClassesAt,
    Json,
    Seed,
    Space,
    Threads,
    channels_without,
    classes_without,
    images,
    images_first,
    mini_batch,
    pixels,
)

_TELL_S = 10.0  # between two lines of a command that takes long
Like = Annotated[
    str | None, images_first("Data whose classes and size to use, or --classes and --size.")
]
Latency = Annotated[bool, typer.Option("--latency", help="Measure latency with ONNX Runtime too.")]
Proxies = Annotated[str, typer.Option(help="Names from `archsmith proxies`, with commas.")]
ScoredWith = Annotated[
    str | None, images("Images to score with. [default: noise, and random labels]")
]
Sample = Annotated[int, typer.Option(min=1, max=10**6, help="How many random networks.")]
Given = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|TEXT",
        parser=arguments.given,
        help="Score this architecture.json instead, or a network as its publishers write it, "
        "e.g. '8:16:24:32:40'.",
    ),
]


def profile(
    data: Like = None,
    space: Space = "auto",
    budget: Budget = "",
    classes: Annotated[int, classes_without("DATA")] = 10,
    channels: Annotated[int, channels_without("DATA")] = 3,
    size: Annotated[int | None, pixels("Image side in pixels. [default: DATA's, or 32]")] = None,
    latency: Latency = False,
    classes_at: ClassesAt = None,
    threads: Threads = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """What networks of a space cost, and how many fit a budget."""
    from archsmith.problem.budget import read
    from archsmith.stages.profiling import profile_space, profile_text

    arguments.known_space(space)
    note(read(budget)[1])
    profiled = profile_space(
        data,
        space,
        budget,
        classes=classes,
        channels=channels,
        size=size,
        latency=latency,
        threads=threads,
        seed=seed,
        classes_at=classes_at,
        tell=_every_while(),
    )
    answer(profiled) if json else print(profile_text(profiled))


def _every_while() -> Callable[[str, float | None], None]:
    """Tells, once it has taken a while, what a command without stages is at."""
    last = time.monotonic()

    def tell(text: str, share: float | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _TELL_S:
            last = time.monotonic()
            say(f"... {text}")

    return tell


def score(
    space: Space = "auto",
    proxies: Proxies = "zico",
    data: ScoredWith = None,
    sample: Sample = 20,
    architecture: Given = None,
    budget: Budget = "",
    classes: Annotated[int, classes_without("--data")] = 10,
    channels: Annotated[int, channels_without("--data")] = 3,
    size: Annotated[
        int | None, pixels("Image side in pixels. [default: the data's, or 32]")
    ] = None,
    batch: Annotated[int, mini_batch("Images in each of the two mini-batches.")] = 64,
    classes_at: ClassesAt = None,
    threads: Threads = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Training-free scores of networks of a space."""
    from archsmith.problem.budget import read
    from archsmith.stages.scoring import score_space, score_text

    arguments.known_space(space)
    note(read(budget)[1])
    ranking = score_space(
        space,
        [p.strip() for p in proxies.split(",") if p.strip()],
        data=data,
        sample=sample,
        architecture=architecture,
        budget=budget,
        classes=classes,
        channels=channels,
        size=size,
        batch=batch,
        threads=threads,
        seed=seed,
        classes_at=classes_at,
    )
    answer(ranking) if json else print(score_text(ranking))
