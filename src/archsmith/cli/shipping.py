"""`archsmith report` and `archsmith export`: what a run leaves, written once more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archsmith.cli.arguments import answer
from archsmith.cli.endings import note
from archsmith.cli.options import Json, Network, RunFolder, Trust, folder_or_file

Format = Annotated[
    str | None, typer.Option(help="onnx, pt2 or safetensors. [default: as --out ends, or onnx]")
]
Written = Annotated[
    Path | None, folder_or_file("The file to write. [default: NAME.FORMAT beside the run]")
]


def report(run: RunFolder, json: Json = False) -> None:
    """Draw report.html anew, also while a run is going on."""
    from archsmith.report.page import write
    from archsmith.run.store import Run, altered

    opened = Run.open(run)
    path = write(opened.folder)
    note(
        [f"{file} is no longer the file that was shipped" for file in altered(run, opened.shipped)]
    )
    answer({"report": str(path)}) if json else print(path)


def export(
    run: RunFolder,
    format: Format = None,
    network: Network = None,
    out: Written = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Write a network of a finished run as one verified file."""
    from archsmith.api import open_run

    path = open_run(run, trust=trust).export(out, format, network=network)  # type: ignore[arg-type]
    answer({"file": str(path)}) if json else print(path)
