"""The `archsmith bench` commands, in the order of --help."""

from __future__ import annotations

import typer

from archsmith.cli.bench.grids import proxies, searchers
from archsmith.cli.bench.speed import speed
from archsmith.cli.bench.supernets import supernets

app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Compare proxies and searchers on recorded benchmarks.",
)
for command in (proxies, searchers, supernets, speed):
    app.command()(command)
