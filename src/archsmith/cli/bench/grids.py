"""`archsmith bench proxies` and `archsmith bench searchers`: against recorded accuracies."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from archsmith.cli.bench.comparing import names_in, show, watched
from archsmith.cli.bench.options import Batch, Device, Proxies, Recorded, Workers, drawn, repeated
from archsmith.cli.options import Json, folder_or_file, images

Benchmark = Annotated[
    str, typer.Option(help="As `archsmith benchmarks` lists them, e.g. nasbench201:cifar10.")
]
ScoredWith = Annotated[str, images("Images to score with: folder, file or name; or noise.")]
Width = Annotated[
    int | None,
    typer.Option(min=1, max=4096, help="Channels of the first layers. [default: as recorded]"),
]
Scores = Annotated[Path, folder_or_file("Folder for scores and tables; given again it goes on.")]
Benchmarks = Annotated[
    str,
    typer.Option(help="One or more, separated by commas, as `archsmith benchmarks` lists them."),
]
Searchers = Annotated[
    str,
    typer.Option(
        help="Names, separated by commas, as local or evolution:population=50; all: every one."
    ),
]
Cost = Annotated[
    int, typer.Option(min=1, max=10**6, help="What a search may cost, in full evaluations.")
]
Truthful = Annotated[
    bool, typer.Option("--truthful", help="Show searchers the recorded test accuracy itself.")
]
RecordedIn = Annotated[
    Path | None, folder_or_file("Folder of converted files. [default: ARCHSMITH_DATA]")
]
Curves = Annotated[Path, folder_or_file("Folder for curves and tables; given again it goes on.")]


def proxies(
    benchmark: Benchmark,
    proxies: Proxies = "zico,naswot,params",
    sample: Annotated[int, drawn("So many random architectures; 0: all of them.")] = 1000,
    data: ScoredWith = "noise",
    batch: Batch = 64,
    width: Width = None,
    seeds: Annotated[int, repeated("Repeat with so many initialisations and mini-batches.")] = 1,
    recorded: Recorded = None,
    out: Scores = Path("runs/bench-proxies"),
    workers: Workers = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Rank a benchmark's architectures without training, and compare with their recorded
    accuracies."""
    from archsmith.bench import page
    from archsmith.bench import proxies as grid
    from archsmith.training.device import pick_device

    chosen = str(pick_device(device))
    names = tuple(names_in(proxies, "--proxies"))
    setting = grid.Setting(
        benchmark,
        names,
        sample=sample or None,
        data=data,
        batch=batch,
        seeds=tuple(range(seeds)),
        width=width,
    )
    compare = partial(
        grid.compare,
        setting,
        out,
        recorded_data=None if recorded is None else str(recorded),
        workers=workers,
        device=chosen,
    )
    comparison = watched(
        "score", lambda tell: compare(tell=tell), lambda f: f"{f['networks']} networks"
    )
    page.write_proxies(comparison, out / "page.html")
    show(
        comparison,
        json,
        grid.text(comparison),
        f"\n\nscores.jsonl, table.csv, table.json, page.html in {out}",
    )


def searchers(
    benchmark: Benchmarks,
    searchers: Searchers = "all",
    budget: Cost = 200,
    seeds: Annotated[int, repeated("Repetitions.")] = 50,
    truthful: Truthful = False,
    recorded: RecordedIn = None,
    out: Curves = Path("runs/bench-searchers"),
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Compare search algorithms at equal simulated cost."""
    import json as json_module

    from archsmith.bench import page
    from archsmith.bench import searchers as grid
    from archsmith.searchers import SEARCHERS

    names = list(SEARCHERS) if searchers == "all" else names_in(searchers, "--searchers")
    setting = grid.Setting(
        tuple(names_in(benchmark, "--benchmark")),
        tuple(names),
        budget=budget,
        seeds=seeds,
        truthful=truthful,
    )
    compare = partial(
        grid.compare,
        setting,
        out,
        recorded_data=None if recorded is None else str(recorded),
        workers=workers,
    )
    comparison = watched(
        "search",
        lambda tell: compare(tell=tell),
        lambda _: f"{len(names)} searchers, {seeds} seeds",
    )
    page.write_searchers(
        comparison,
        json_module.loads((out / "curves.json").read_text(encoding="utf-8")),
        out / "page.html",
    )
    show(
        comparison,
        json,
        grid.text(comparison),
        f"\n\ncurves.json, table.csv, table.json, page.html in {out}",
    )
