"""Options that several `archsmith bench` commands have, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from archsmith.cli.options import folder_or_file, mini_batch

Recorded = Annotated[
    Path | None,
    folder_or_file("The benchmark's converted file. [default: in ARCHSMITH_DATA]"),
]
Proxies = Annotated[str, typer.Option(help="Names from `archsmith proxies`, separated by commas.")]
Batch = Annotated[int, mini_batch("Images in a mini-batch.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or mps.")]
Workers = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Processes. [default: physical cores]")
]


def repeated(what: str) -> Any:
    """How often something is done again."""
    return typer.Option(min=1, max=10000, help=what)


def drawn(what: str) -> Any:
    """How many architectures, 0 for all."""
    return typer.Option(min=0, max=10**6, help=what)
