"""`archsmith bench supernets`: how well shared weights rank a benchmark's architectures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archsmith.cli import arguments
from archsmith.cli.bench.comparing import names_in, show, watched
from archsmith.cli.bench.options import Batch, Device, Recorded, Workers, drawn, repeated
from archsmith.cli.options import Json, folder_or_file, images, pixels, training_steps
from archsmith.errors import UserError

if TYPE_CHECKING:
    from archsmith.bench.setting import Setting

Data = Annotated[str, images("Images to train on: a folder, a file or a name.")]
Benchmark = Annotated[str, typer.Option(help="As `archsmith benchmarks` lists them.")]
RecordedSpace = Annotated[
    str | None,
    typer.Option(
        help="Instead of --benchmark: a name from `archsmith spaces`, by the first that records it."
    ),
]
Estimators = Annotated[
    str,
    typer.Option(
        help="one-shot, longer, training-free, few-shot:HOW[:leaves=N][:fresh]; HOW: "
        "a decision, gradients, ..."
    ),
]
Sample = Annotated[int, drawn("So many random architectures are estimated; 0: all of them.")]
Seeds = Annotated[int, repeated("Repeat with so many seeds of weights, architectures and images.")]
Updates = Annotated[
    int, training_steps("Steps of the parent, one architecture and one mini-batch each.")
]
Extra = Annotated[
    int | None,
    training_steps("Steps of what is made of it, all parts together. [default: as many]"),
]
Rate = Annotated[
    float,
    typer.Option(
        callback=arguments.finite,
        min=0.0,
        max=100.0,
        help="Peak learning rate of the parent; restarts begin at half of it.",
    ),
]
WeightDecay = Annotated[
    float, typer.Option(callback=arguments.finite, min=0.0, max=100.0, help="Of the weights.")
]
Average = Annotated[
    float,
    typer.Option(
        callback=arguments.finite,
        min=0.0,
        max=1.0,
        help="Decay of the weights' moving average; 0: none.",
    ),
]
Precision = Annotated[str, typer.Option(help="float32 or bf16.")]
Size = Annotated[int, pixels("Pixels the images are scaled to.")]
Width = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=4096,
        help="Channels of the first layers; 0: as recorded. [default: 8 for NAS-Bench-201, else 0]",
    ),
]
Cells = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=100,
        help="Cells a stage; 0: as recorded. [default: 1 for NAS-Bench-201, else 0]",
    ),
]
Sampling = Annotated[
    str,
    typer.Option(
        help="uniform, live (no dead networks) or balanced (by convolutions on the longest path)."
    ),
]
Within = Annotated[
    str,
    typer.Option(
        help='Decisions restricted, as "edge0to2=none, edge0to1=skip_connect|nor_conv_3x3".'
    ),
]
Calibration = Annotated[
    int,
    typer.Option(
        min=2, max=10**6, help="Training images that set each network's BatchNorm statistics."
    ),
]
HeldOut = Annotated[
    int, typer.Option(min=2, max=10**6, help="Validation images each network is judged on.")
]
Out = Annotated[
    Path, folder_or_file("Folder for weights, estimates and tables; given again it goes on.")
]


def supernets(
    data: Data,
    benchmark: Benchmark = "nasbench201:cifar10",
    space: RecordedSpace = None,
    estimators: Estimators = "one-shot,longer,few-shot:gradients,few-shot:arbitrary,training-free",
    sample: Sample = 300,
    seeds: Seeds = 1,
    updates: Updates = 6000,
    extra: Extra = None,
    batch: Batch = 32,
    lr: Rate = 0.05,
    weight_decay: WeightDecay = 5e-4,
    ema: Average = 0.0,
    precision: Precision = "float32",
    size: Size = 16,
    width: Width = None,
    cells: Cells = None,
    sampling: Sampling = "live",
    within: Within = "",
    calibration: Calibration = 1024,
    held_out: HeldOut = 1024,
    recorded: Recorded = None,
    out: Out = Path("runs/bench-supernets"),
    workers: Workers = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Train shared weights, estimate a benchmark's architectures by them, and compare with their
    recorded accuracies."""
    from archsmith.bench.proxies import recording
    from archsmith.bench.setting import Setting

    benchmark = benchmark if space is None else recording(space)
    width, cells = _scale(benchmark, width, cells)
    setting = Setting(
        data,
        benchmark,
        estimators=tuple(names_in(estimators, "--estimators")),
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
        width=width,
        cells=cells,
        sampling=sampling,
        within=_restrictions(within),
        calibration=calibration,
        held_out=held_out,
    )
    _compare(setting, out, recorded=recorded, workers=workers, device=device, json=json)


def _scale(benchmark: str, width: int | None, cells: int | None) -> tuple[int | None, int | None]:
    """Width and cells a stage; None: as recorded. A small network is the default where the recorded
    one is a stack of equal cells."""
    small = benchmark.startswith(("nasbench201", "toy"))
    width = (8 if small else 0) if width is None else width
    cells = int(small) if cells is None else cells
    return width or None, cells or None


def _compare(
    setting: Setting,
    out: Path,
    *,
    recorded: Path | None,
    workers: int | None,
    device: str,
    json: bool,
) -> None:
    """The comparison itself, watched; its tables and page in `out`, its text on standard output."""
    from archsmith.bench import page
    from archsmith.bench import supernets as grid
    from archsmith.training.device import pick_device

    chosen = str(pick_device(device))
    compare = partial(
        grid.compare,
        setting,
        out,
        recorded_data=None if recorded is None else str(recorded),
        workers=workers,
        device=chosen,
    )
    comparison = watched(
        "estimate", lambda tell: compare(tell=tell), lambda f: f"{f['networks']} networks"
    )
    page.write_supernets(comparison, out / "page.html")
    show(
        comparison,
        json,
        grid.text(comparison),
        f"\n\nestimates.jsonl, costs.jsonl, table.csv, table.json, page.html in {out}",
    )


def _restrictions(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Of "a=x|y, b=z"."""
    restrictions = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, sign, options = part.partition("=")
        if not sign or not options:
            raise UserError(f"--within '{part}': write decision=option|option")
        restrictions.append((name.strip(), tuple(option.strip() for option in options.split("|"))))
    return tuple(restrictions)
