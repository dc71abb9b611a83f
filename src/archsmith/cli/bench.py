"""The `archsmith bench` commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from archsmith.cli import arguments
from archsmith.cli.arguments import Json, Threads, Workers, answer
from archsmith.errors import UserError

app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Compare proxies and searchers on recorded benchmarks.",
)
Recorded = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        parser=arguments.place,
        help="The benchmark's converted file. [default: in ARCHSMITH_DATA]",
    ),
]
Tell = Callable[[str, float], None]


def _list(text: str, what: str) -> list[str]:
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise UserError(f"{what} is empty; give names separated by commas")
    return found


def _watched(
    stage: str, work: Callable[[Tell], dict[str, Any]], said: Callable[[dict[str, Any]], str]
) -> dict[str, Any]:
    """The result of `work(tell)`, its progress shown as that of a stage; `said`: the line at its
    end."""
    from archsmith._internal.progress import watch

    began = time.monotonic()
    with watch([stage]) as shown:
        shown.begin(stage, None)
        found = work(shown.tick)
        shown.end(stage, said(found), time.monotonic() - began)
    return found


def _tell(found: dict[str, Any], json: bool, text: str, files: str = "") -> None:
    if json:
        answer(found)
    else:
        typer.echo(text + files)


@app.command()
def proxies(
    benchmark: Annotated[
        str, typer.Option(help="As `archsmith benchmarks` lists them, e.g. nasbench201:cifar10.")
    ],
    proxies: Annotated[
        str, typer.Option(help="Names from `archsmith proxies`, separated by commas.")
    ] = "zico,naswot,params",
    sample: Annotated[
        int, typer.Option(min=0, max=10**6, help="So many random architectures; 0: all of them.")
    ] = 1000,
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            parser=arguments.source,
            help="Images to score with: folder, file or name; or noise.",
        ),
    ] = "noise",
    batch: Annotated[int, typer.Option(min=2, max=2**16, help="Images in a mini-batch.")] = 64,
    width: Annotated[
        int | None,
        typer.Option(min=1, max=4096, help="Channels of the first layers. [default: as recorded]"),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            min=1, max=10000, help="Repeat with so many initialisations and mini-batches."
        ),
    ] = 1,
    recorded: Recorded = None,
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            parser=arguments.place,
            help="Folder for scores and tables; given again it goes on.",
        ),
    ] = Path("runs/bench-proxies"),
    workers: Workers = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    json: Json = False,
) -> None:
    """Rank a benchmark's architectures without training, and compare with their recorded
    accuracies."""
    from archsmith.bench import page
    from archsmith.bench import proxies as grid
    from archsmith.training.device import pick_device

    chosen = str(pick_device(device))
    names = tuple(_list(proxies, "--proxies"))
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
    found = _watched(
        "score", lambda tell: compare(tell=tell), lambda f: f"{f['networks']} networks"
    )
    page.write_proxies(found, out / "page.html")
    _tell(
        found,
        json,
        grid.text(found),
        f"\n\nscores.jsonl, table.csv, table.json, page.html in {out}",
    )


@app.command()
def searchers(
    benchmark: Annotated[
        str,
        typer.Option(
            help="One or more, separated by commas, as `archsmith benchmarks` lists them."
        ),
    ],
    searchers: Annotated[
        str,
        typer.Option(
            help="Names, separated by commas, as local or evolution:population=50; all: every one."
        ),
    ] = "all",
    budget: Annotated[
        int, typer.Option(min=1, max=10**6, help="What a search may cost, in full evaluations.")
    ] = 200,
    seeds: Annotated[int, typer.Option(min=1, max=10000, help="Repetitions.")] = 50,
    truthful: Annotated[
        bool, typer.Option("--truthful", help="Show searchers the recorded test accuracy itself.")
    ] = False,
    recorded: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            parser=arguments.place,
            help="Folder of converted files. [default: ARCHSMITH_DATA]",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            parser=arguments.place,
            help="Folder for curves and tables; given again it goes on.",
        ),
    ] = Path("runs/bench-searchers"),
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Compare search algorithms at equal simulated cost."""
    import json as json_module

    from archsmith.bench import page
    from archsmith.bench import searchers as grid
    from archsmith.searchers import SEARCHERS

    names = list(SEARCHERS) if searchers == "all" else _list(searchers, "--searchers")
    setting = grid.Setting(
        tuple(_list(benchmark, "--benchmark")),
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
    found = _watched(
        "search",
        lambda tell: compare(tell=tell),
        lambda _: f"{len(names)} searchers, {seeds} seeds",
    )
    page.write_searchers(
        found,
        json_module.loads((out / "curves.json").read_text(encoding="utf-8")),
        out / "page.html",
    )
    _tell(
        found, json, grid.text(found), f"\n\ncurves.json, table.csv, table.json, page.html in {out}"
    )


@app.command()
def supernets(
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            parser=arguments.source,
            help="Images to train on: a folder, a file or a name.",
        ),
    ],
    benchmark: Annotated[
        str, typer.Option(help="As `archsmith benchmarks` lists them.")
    ] = "nasbench201:cifar10",
    space: Annotated[
        str | None,
        typer.Option(
            help="Instead of --benchmark: a name from `archsmith spaces`, by "
            "the first that records it."
        ),
    ] = None,
    estimators: Annotated[
        str,
        typer.Option(
            help="one-shot, longer, training-free, few-shot:HOW[:leaves=N][:fresh]; HOW: "
            "a decision, gradients, ..."
        ),
    ] = "one-shot,longer,few-shot:gradients,few-shot:arbitrary,training-free",
    sample: Annotated[
        int,
        typer.Option(
            min=0, max=10**6, help="So many random architectures are estimated; 0: all of them."
        ),
    ] = 300,
    seeds: Annotated[
        int,
        typer.Option(
            min=1, max=10000, help="Repeat with so many seeds of weights, architectures and images."
        ),
    ] = 1,
    updates: Annotated[
        int,
        typer.Option(
            min=1, max=10**9, help="Steps of the parent, one architecture and one mini-batch each."
        ),
    ] = 6000,
    extra: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10**9,
            help="Steps of what is made of it, all parts together. [default: as many]",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=2, max=2**16, help="Images in a mini-batch.")] = 32,
    lr: Annotated[
        float,
        typer.Option(
            callback=arguments.finite,
            min=0.0,
            max=100.0,
            help="Peak learning rate of the parent; restarts begin at half of it.",
        ),
    ] = 0.05,
    weight_decay: Annotated[
        float, typer.Option(callback=arguments.finite, min=0.0, max=100.0, help="Of the weights.")
    ] = 5e-4,
    ema: Annotated[
        float,
        typer.Option(
            callback=arguments.finite,
            min=0.0,
            max=1.0,
            help="Decay of the weights' moving average; 0: none.",
        ),
    ] = 0.0,
    precision: Annotated[str, typer.Option(help="float32 or bf16.")] = "float32",
    size: Annotated[
        int, typer.Option(min=4, max=1024, help="Pixels the images are scaled to.")
    ] = 16,
    width: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=4096,
            help="Channels of the first layers; 0: as recorded. [default: 8 for "
            "NAS-Bench-201, else 0]",
        ),
    ] = None,
    cells: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=100,
            help="Cells a stage; 0: as recorded. [default: 1 for NAS-Bench-201, else 0]",
        ),
    ] = None,
    sampling: Annotated[
        str,
        typer.Option(
            help="uniform, live (no dead networks) or balanced (by convolutions on "
            "the longest path)."
        ),
    ] = "live",
    within: Annotated[
        str,
        typer.Option(
            help='Decisions restricted, as "edge0to2=none, edge0to1=skip_connect|nor_conv_3x3".'
        ),
    ] = "",
    calibration: Annotated[
        int,
        typer.Option(
            min=2, max=10**6, help="Training images that set each network's BatchNorm statistics."
        ),
    ] = 1024,
    held_out: Annotated[
        int, typer.Option(min=2, max=10**6, help="Validation images each network is judged on.")
    ] = 1024,
    recorded: Recorded = None,
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            parser=arguments.place,
            help="Folder for weights, estimates and tables; given again it goes on.",
        ),
    ] = Path("runs/bench-supernets"),
    workers: Workers = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    json: Json = False,
) -> None:
    """Train shared weights, estimate a benchmark's architectures by them, and compare with their
    recorded accuracies."""
    from archsmith.bench import page
    from archsmith.bench import supernets as grid
    from archsmith.bench.estimators import Setting
    from archsmith.bench.proxies import recording
    from archsmith.training.device import pick_device

    benchmark = benchmark if space is None else recording(space)
    small = benchmark.startswith(("nasbench201", "toy"))
    width, cells = (
        (8 if small else 0) if width is None else width,
        int(small) if cells is None else cells,
    )
    setting = Setting(
        data,
        benchmark,
        estimators=tuple(_list(estimators, "--estimators")),
        sample=sample or None,
        seeds=tuple(range(seeds)),
        updates=updates,
        extra=extra,
        batch=batch,
        lr=lr,
        weight_decay=weight_decay,
        ema=ema,
        precision=precision,  # type: ignore[arg-type]
        size=size,
        width=width or None,
        cells=cells or None,
        sampling=sampling,
        within=_restrictions(within),
        calibration=calibration,
        held_out=held_out,
    )
    chosen = str(pick_device(device))
    compare = partial(
        grid.compare,
        setting,
        out,
        recorded_data=None if recorded is None else str(recorded),
        workers=workers,
        device=chosen,
    )
    found = _watched(
        "estimate", lambda tell: compare(tell=tell), lambda f: f"{f['networks']} networks"
    )
    page.write_supernets(found, out / "page.html")
    _tell(
        found,
        json,
        grid.text(found),
        f"\n\nestimates.jsonl, costs.jsonl, table.csv, table.json, page.html in {out}",
    )


def _restrictions(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Of "a=x|y, b=z"."""
    found = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, sign, options = part.partition("=")
        if not sign or not options:
            raise UserError(f"--within '{part}': write decision=option|option")
        found.append((name.strip(), tuple(option.strip() for option in options.split("|"))))
    return tuple(found)


@app.command()
def speed(
    space: Annotated[
        str, typer.Option(help="A name from `archsmith spaces`, or my_model.py:Net.")
    ] = "nasbench201",
    proxies: Annotated[
        str, typer.Option(help="Names from `archsmith proxies`, separated by commas.")
    ] = "zico",
    batch: Annotated[int, typer.Option(min=2, max=2**16, help="Images in a mini-batch.")] = 64,
    networks: Annotated[
        int, typer.Option(min=1, max=10**6, help="So many random architectures.")
    ] = 20,
    rounds: Annotated[int, typer.Option(min=1, max=10000, help="Timings of each.")] = 3,
    size: Annotated[int, typer.Option(min=4, max=1024, help="Pixels of the noise images.")] = 32,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Time training-free scores beside the bare passes of the same networks."""
    from archsmith.bench import speed as grid
    from archsmith.training.device import pick_device

    names = tuple(_list(proxies, "--proxies"))
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
    found = _watched("time", partial(grid.measure, setting), lambda _: f"{networks} networks")
    _tell(found, json, grid.text(found))
