"""`archsmith bench speed`: how long training-free scores take."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from archsmith.cli.bench.comparing import names_in, show, watched
from archsmith.cli.bench.options import Batch, Proxies, repeated
from archsmith.cli.options import Json, Threads, pixels

Space = Annotated[str, typer.Option(help="A name from `archsmith spaces`, or my_model.py:Net.")]
Networks = Annotated[int, typer.Option(min=1, max=10**6, help="So many random architectures.")]


def speed(
    space: Space = "nasbench201",
    proxies: Proxies = "zico",
    batch: Batch = 64,
    networks: Networks = 20,
    rounds: Annotated[int, repeated("Timings of each.")] = 3,
    size: Annotated[int, pixels("Pixels of the noise images.")] = 32,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Time training-free scores beside the bare passes of the same networks."""
    from archsmith.bench import speed as grid
    from archsmith.training.device import pick_device

    names = tuple(names_in(proxies, "--proxies"))
    setting = grid.Setting(
        space,
        names,
        size=size,
        batch=batch,
        networks=networks,
        rounds=rounds,
        device=str(pick_device(device)),
        threads=threads,
    )
    comparison = watched("time", partial(grid.measure, setting), lambda _: f"{networks} networks")
    show(comparison, json, grid.text(comparison))
