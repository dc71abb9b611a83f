"""The command line. Nothing heavy is imported before a command needs it: `archsmith --help` answers at once."""

from __future__ import annotations

import contextlib
import json as json_module
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from archsmith import __version__
from archsmith.bench.commands import app as bench
from archsmith.errors import ArchsmithError, did_you_mean

app = typer.Typer(
    name="archsmith", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Finds, trains and ships the best neural network for your data and budget.",
)  # fmt: skip
app.add_typer(bench)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output, progress to standard error.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, as given to --out.")]
Budget = Annotated[
    str, typer.Option("--budget", help='Limits, e.g. "params<=3M, macs<=60M, latency<=8ms, memory<=2MiB, depth<=40".')
]
Space = Annotated[str, typer.Option("--space", help="A name from `archsmith spaces`, or your own as my_model.py:Net.")]
Threads = Annotated[int | None, typer.Option("--threads", help="Threads to compute with. [default: physical cores]")]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same run.")]


def main() -> None:
    """Entry point. Mistakes of the user end in one clear line and exit code 2, Ctrl-C in 130."""
    # beside other busy processes, OpenMP threads that spin while they wait are slower than one thread alone
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        _run()
        return
    from archsmith.training.ranks import follow, joined

    try:
        with joined() as rank:
            follow() if rank else _run()
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    try:
        app(standalone_mode=False)
    except ArchsmithError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        if not hasattr(error, "format_message"):  # not one of the command-line parser's own
            raise
        print(f"error: {error.format_message().rstrip('.')}{_meant(error)}", file=sys.stderr)
        sys.exit(2)


def _meant(error: Exception) -> str:
    """A suggestion for a command that does not exist."""
    text = str(error)
    if "No such command" not in text:
        return "; see --help"
    known = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    return did_you_mean(text.split("'")[1], known) or "; see --help"


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"archsmith {__version__}")
        raise typer.Exit


def _print(value: Any) -> None:
    print(json_module.dumps(value, indent=1))


@contextlib.contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Says how to go on when Ctrl-C, or anything else, ends the run."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nstopped; everything done so far is kept. Go on with: archsmith resume {folder}", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        print(
            f"error: {error.filename or folder}: {error.strerror or error}; mend that, then: archsmith resume {folder}",
            file=sys.stderr,
        )
        sys.exit(2)


# -- the main job ---------------------------------------------------------------------------------------------------------


@app.command()
def search(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A folder of images, a CSV, parquet or npz file, or `digits`.")],
    budget: Budget = "",
    method: Annotated[str, typer.Option(help="A name from `archsmith methods`.")] = "auto",
    space: Space = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    time: Annotated[str, typer.Option(help="All the time it may take: 90s, 20m, 1h30m.")] = "20m",
    steps: Annotated[int | None, typer.Option(help="Training steps instead of --time: the same run to the bit.")] = None,
    trials: Annotated[int | None, typer.Option(help="Networks to score. [default: as time allows; 192 with --steps]")] = None,
    threads: Threads = None,
    seed: Seed = 0,
    init: Annotated[Path | None, typer.Option(help="Start from these weights (.safetensors, or a .pt state_dict).")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the input in pixels. [default: from the images]")] = None,
    val_share: Annotated[float, typer.Option(help="Share of the images kept for validation, where none are given.")] = 0.15,
    test_share: Annotated[float | None, typer.Option(help="Share kept for the test. [default: 0.2; digits 0.3]")] = None,
    group: Annotated[str | None, typer.Option(help="Column whose equal values must not be split (CSV, parquet).")] = None,
    reference: Annotated[bool, typer.Option(help="Train a hand-made network beside it, at equal cost.")] = True,
    task: Annotated[
        str, typer.Option(help="classification, regression (labels are numbers) or reconstruction (of the image; no labels).")
    ] = "classification",
    fit: Annotated[
        str, typer.Option(help="How an image becomes square: auto, crop (its middle), pad (grey bars) or squeeze.")
    ] = "auto",
    flip: Annotated[str, typer.Option(help="Mirror training images left to right: auto, yes or no.")] = "auto",
    splits: Annotated[int | None, typer.Option(help="few-shot: levels of supernets below the first. [default: 1]")] = None,
    split_on: Annotated[
        str | None,
        typer.Option(
            help="few-shot: a decision, gradients, scores, random or arbitrary; a+b: one a level. [default: gradients]"
        ),
    ] = None,
    settings: Annotated[
        str, typer.Option("--set", help='Settings of the method, as "rounds=4, rule=half"; see its page in docs/.')
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the run. [default: runs/NAME]")] = None,
    json: Json = False,
) -> None:
    """Search, train and ship the best network for DATA within a budget."""
    from archsmith.budget import parse_seconds
    from archsmith.methods import METHODS
    from archsmith.run import request_from

    if method != "auto" and method not in METHODS:
        raise _unknown("method", method, ["auto", *METHODS])
    _check_space(space)
    request = request_from(
        data=data, budget=budget, method=method, space=space, device=device, steps=steps,
        time_s=None if steps is not None else parse_seconds(time), trials=trials, threads=threads, seed=seed,
        init=str(init) if init else None, size=size, val_share=val_share, test_share=test_share, group=group,
        reference=reference, task=task, fit=fit, flip=flip,
        settings={
            **_settings(settings),
            **{name: value for name, value in (("splits", splits), ("split_on", split_on)) if value is not None},
        },
    )  # fmt: skip
    folder = out if out is not None else _free_name(Path("runs"), Path(data).stem or "run")
    with _resumable(folder):
        from archsmith.pipeline import start
        from archsmith.progress import watch
        from archsmith.run import STAGES

        with watch(STAGES) as watching:
            run = start(request, folder, watching)
    _finished(run, json)


def _settings(text: str) -> dict[str, Any]:
    """Of "a=1, b=half": numbers and true or false are those."""
    from archsmith.errors import UserError

    found: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, sign, value = (word.strip() for word in part.partition("="))
        if not sign or not value:
            raise UserError(f"--set '{part}': write name=value, e.g. --set \"rounds=4, rule=half\"")
        try:
            found[name] = json_module.loads(value.lower())
        except ValueError:
            found[name] = value
        if not isinstance(found[name], int | float | bool | str):
            found[name] = value
    return found


@app.command()
def resume(run: RunFolder, json: Json = False) -> None:
    """Go on with a run that was stopped, killed, or failed."""
    from archsmith.run import STAGES, Run

    found = Run.open(run)
    if found.record["status"] == "done" and found.stage("ship") is not None:
        print(f"{run} is finished; nothing to resume", file=sys.stderr)
        _finished(found, json)
        return
    with _resumable(run):
        from archsmith.pipeline import carry_on
        from archsmith.progress import watch

        with watch(STAGES) as watching:
            carry_on(found, watching)
    _finished(found, json)


@app.command()
def again(
    run: RunFolder,
    budget: Annotated[list[str], typer.Option(help="As in `search`; may be given several times.")],
    count: Annotated[int, typer.Option(help="So many networks for each budget.")] = 1,
    time: Annotated[str | None, typer.Option(help="Train and ship the best for the budget in this time, in a new run.")] = None,
    steps: Annotated[int | None, typer.Option(help="The same, by training steps.")] = None,
    reference: Annotated[bool, typer.Option(help="Train a hand-made network beside it, at equal cost.")] = True,
    settings: Annotated[str, typer.Option("--set", help='Of ddpnas: "worth=log, height=2, free=4"; see docs/ddpnas.md.')] = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the new run. [default: RUN-2]")] = None,
    json: Json = False,
) -> None:
    """Networks for another budget from the same run: no new training of shared weights; after ddpnas in seconds."""
    from archsmith.budget import parse_seconds
    from archsmith.errors import UserError
    from archsmith.run import STAGES, Run

    found = Run.open(run)
    if time is None and steps is None:
        from archsmith.pipeline import generated

        if count < 1:
            raise UserError(f"--count {count}: give at least 1")
        rows = generated(found, budget, count, _settings(settings))
        _print(rows) if json else print(_networks(rows))
        if any(row["error"] for row in rows):
            sys.exit(2)
        return
    if len(budget) > 1:
        raise UserError("with --time or --steps give one --budget; each trains a network of its own")
    folder = out if out is not None else _free_name(run.absolute().parent, run.absolute().name)
    limits = {"steps": steps, "time_s": None if steps is not None else parse_seconds(time or ""), "reference": reference}
    with _resumable(folder):
        from archsmith.pipeline import again as begin
        from archsmith.progress import watch

        with watch(STAGES) as watching:
            new = begin(found, budget[0], folder, watching, _settings(settings), **limits)
    _finished(new, json)


def _networks(rows: list[dict[str, Any]]) -> str:
    """For people: what each budget gives."""
    from archsmith.budget import human

    lines = []
    for row in rows:
        lines.append(f"budget {row['budget']}" + (f": {row['error']}" if row["error"] else ""))
        for network in row["networks"]:
            costs = ", ".join(f"{n} {human(n, v)}" for n, v in network.items() if n not in ("key", "options"))
            lines.append(f"  {network['key']}  {costs}")
            lines.append("    " + ", ".join(f"{name}={option}" for name, option in network["options"].items()))
    return "\n".join(lines)


def _finished(run: Any, json: bool) -> None:
    """What a finished run came to; exit code 2 where no network kept the budget."""
    summary = run.summary()
    if json:
        _print(summary)
    else:
        from archsmith.pipeline import time_text

        print(f"\n{summary['verdict']}")
        print(f"model    {run.folder / 'best'}   (try: python {run.folder / 'best' / 'predict.py'} IMAGE)")
        print(f"report   {summary['report']}")
        print(f"time     {time_text(run)}")
    missed = [row for row in summary["budget"] or [] if not row["met"]]
    if missed:
        misses = "; ".join(f"{row['text']} but measured {row['value']:.4g}" for row in missed)
        print(f"error: no trained network kept the budget on the exported file ({misses}); relax that limit", file=sys.stderr)
        sys.exit(2)


def _free_name(parent: Path, stem: str) -> Path:
    """runs/NAME, or runs/NAME-2, -3, ... where that is taken."""
    taken = [parent / stem, *(parent / f"{stem}-{i}" for i in range(2, 10_000))]
    return next(folder for folder in taken if not folder.exists())


def _unknown(kind: str, name: str, known: list[str]) -> ArchsmithError:
    from archsmith.errors import UserError

    return UserError(f"no {kind} '{name}'; there are {', '.join(known)}{did_you_mean(name, known)}")


def _check_space(space: str) -> None:
    from archsmith.models import SPACES

    if space != "auto" and space not in SPACES and ".py" not in space:
        known = ["auto", *SPACES]
        raise _unknown("space", space, [*known, "my_model.py:Net"])


@app.command()
def report(run: RunFolder, json: Json = False) -> None:
    """Draw report.html anew, also while a run is going on."""
    from archsmith.report.page import write
    from archsmith.run import Run

    path = write(Run.open(run).folder)
    _print({"report": str(path)}) if json else print(path)


@app.command()
def export(
    run: RunFolder,
    format: Annotated[str, typer.Option(help="onnx, pt2 or safetensors.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="The file to write. [default: NAME.FORMAT beside the run]")] = None,
    json: Json = False,
) -> None:
    """Write the chosen network of a finished run as one verified file."""
    from archsmith.run import Run

    found = Run.open(run)
    target = out if out is not None else run.parent / f"{run.name}.{format}"
    path = found.export(target, format)  # type: ignore[arg-type]
    _print({"file": str(path)}) if json else print(path)


# -- looking around -------------------------------------------------------------------------------------------------------


@app.command()
def profile(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Data whose classes and size to use, or --classes and --size.")
    ] = None,
    space: Space = "auto",
    budget: Budget = "",
    classes: Annotated[int, typer.Option(help="Number of classes, without DATA.")] = 10,
    channels: Annotated[int, typer.Option(help="Image channels, without DATA.")] = 3,
    size: Annotated[int | None, typer.Option(help="Image side in pixels. [default: DATA's, or 32]")] = None,
    latency: Annotated[bool, typer.Option("--latency", help="Measure latency with ONNX Runtime too.")] = False,
    threads: Threads = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """What networks of a space cost, and how many fit a budget."""
    from archsmith.survey import profile_space, profile_text

    _check_space(space)
    found = profile_space(
        data, space, budget, classes=classes, channels=channels, size=size, latency=latency, threads=threads, seed=seed
    )
    _print(found) if json else print(profile_text(found))


@app.command()
def score(
    space: Space = "auto",
    proxies: Annotated[str, typer.Option(help="Names from `archsmith proxies`, with commas.")] = "zico",
    data: Annotated[str | None, typer.Option(help="Images to score with. [default: noise, and random labels]")] = None,
    sample: Annotated[int, typer.Option(help="How many random networks.")] = 20,
    architecture: Annotated[Path | None, typer.Option(help="Score this architecture.json instead.")] = None,
    budget: Budget = "",
    classes: Annotated[int, typer.Option(help="Number of classes, without --data.")] = 10,
    channels: Annotated[int, typer.Option(help="Image channels, without --data.")] = 3,
    size: Annotated[int | None, typer.Option(help="Image side in pixels. [default: the data's, or 32]")] = None,
    batch: Annotated[int, typer.Option(help="Images in each of the two mini-batches.")] = 64,
    threads: Threads = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Training-free scores of networks of a space."""
    from archsmith.survey import score_space, score_text

    _check_space(space)
    found = score_space(
        space, [p.strip() for p in proxies.split(",") if p.strip()], data=data, sample=sample, architecture=architecture,
        budget=budget, classes=classes, channels=channels, size=size, batch=batch, threads=threads, seed=seed,
    )  # fmt: skip
    _print(found) if json else print(score_text(found))


@app.command()
def spaces(json: Json = False) -> None:
    """The search spaces there are."""
    from archsmith.models import SPACES

    rows = {name: entry if isinstance(entry, str) else entry[1] for name, entry in SPACES.items()}
    _listing(rows, json)


@app.command()
def methods(json: Json = False) -> None:
    """The methods there are."""
    from archsmith.methods import METHODS

    _listing({name: text for name, (_, text) in METHODS.items()}, json)


@app.command()
def proxies(json: Json = False) -> None:
    """The training-free scores there are."""
    from archsmith.metrics.proxies import PROXIES

    _listing({name: text for name, (_, text) in PROXIES.items()}, json)


def _listing(rows: dict[str, str], json: bool) -> None:
    if json:
        _print(rows)
        return
    width = max(map(len, rows))
    for name, text in rows.items():
        print(f"{name:<{width}}  {text}")


@app.command()
def benchmarks(json: Json = False) -> None:
    """List the recorded benchmarks."""
    from archsmith.benchmarks import BENCHMARKS

    _listing({name: text for name, (_, text) in BENCHMARKS.items()}, json)


@app.command()
def doctor(json: Json = False) -> None:
    """What this machine and installation can do, and what is wrong with it."""
    from archsmith.doctor import examine, text

    found = examine()
    _print(found) if json else print(text(found))
    if any(not check["ok"] for check in found["checks"]):
        sys.exit(2)


if __name__ == "__main__":
    main()
