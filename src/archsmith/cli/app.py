"""The command line. Nothing heavy is imported before a command needs it: `archsmith --help` answers
at once."""

from __future__ import annotations

import contextlib
import json as json_module
import math
import os
import sys
import time as clock
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from archsmith._internal import interrupts
from archsmith._version import __version__
from archsmith.cli import arguments
from archsmith.cli.arguments import Json, Seed, Threads
from archsmith.cli.arguments import answer as _print
from archsmith.cli.bench import app as bench
from archsmith.errors import ArchsmithError, did_you_mean, message, shown

app = typer.Typer(
    name="archsmith",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Finds, trains and ships the best neural network for your data and budget.",
)
app.add_typer(bench)
_UNREAD = 141  # exit code where nobody reads the output: that of a program which SIGPIPE ended
RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", parser=arguments.place, help="The folder of a run, as given to --out."
    ),
]
Budget = Annotated[
    str,
    typer.Option(
        "--budget",
        help='Limits, e.g. "params<=3M, macs<=60M, latency<=8ms, memory<=2MiB, depth<=40".',
    ),
]
Space = Annotated[
    str,
    typer.Option("--space", help="A name from `archsmith spaces`, or your own as my_model.py:Net."),
]
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
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Run the file that the run's space names, though it was "
        "begun elsewhere or is another.",
    ),
]
Moved = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA",
        parser=arguments.source,
        help="Where the same images are now, if they were moved.",
    ),
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
_TELL_S = 10.0  # between two lines of a command that takes long
NO_RESULT = 3  # the exit code of a run whose network is no better than the same answer always


def main() -> None:
    """Entry point. Mistakes of the user end in one clear line and exit code 2, Ctrl-C in 130, what
    nobody expected in 1."""
    # beside other busy processes, OpenMP threads that spin while they wait are slower than one
    # thread alone
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    several = "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"
    try:
        _main(several)
    except SystemExit as ending:
        if (several or ending.code == interrupts.CODE) and interrupts.is_command():
            interrupts.leave(ending.code if isinstance(ending.code, int) else 0)
        raise
    if several and interrupts.is_command():
        interrupts.leave(0)


def _main(several: bool) -> None:
    with interrupts.handled() as stop, _told(stop):
        if not several:
            _run()
            return
        from archsmith.training.distributed import follow, joined

        # what ends the first process is told before the others are
        with joined() as rank, _told(stop):
            follow() if rank else _run()


def _run() -> None:
    arguments.check(sys.argv[1:])
    with arguments.only_answers("--json" in sys.argv):
        try:
            code = app(standalone_mode=False)
        except Exception as error:
            if type(error).__name__ != "NoArgsIsHelpError":
                raise
            print(error.format_message())  # type: ignore[attr-defined]
            return
    if code == interrupts.CODE:  # typer gives this instead of the KeyboardInterrupt
        raise KeyboardInterrupt
    if code:
        sys.exit(code)


@contextlib.contextmanager
def _told(stop: interrupts.Interrupts | None) -> Iterator[None]:
    """The one place where what ended a command becomes one line and an exit code; Python's own
    warnings are not for users."""
    shows = warnings.showwarning
    if not sys.warnoptions:
        warnings.showwarning = lambda *_, **__: None
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a terminal may not know the letters of a message
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
        if stop is not None and stop.asked:  # somebody's code kept it to itself
            raise KeyboardInterrupt
    except SystemExit as ending:
        # the parser of arguments ends with 1 there
        if isinstance(ending.__context__, BrokenPipeError):
            sys.exit(_UNREAD)
        raise
    except BaseException as error:
        code, said = _ending(error, stopped=stop is not None and stop.asked)
        if "ARCHSMITH_TRACEBACK" in os.environ and code != interrupts.CODE:
            traceback.print_exc()
        _say(said)
        # perhaps of standard output: let Python not try it once more at its end
        if isinstance(error, OSError):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(code)
    finally:
        warnings.showwarning = shows


def _ending(error: BaseException, *, stopped: bool) -> tuple[int, str]:
    """Exit code, and what to say ("": nothing)."""
    if stopped or isinstance(error, KeyboardInterrupt | typer.Abort):
        return interrupts.CODE, "stopped"
    if isinstance(error, ArchsmithError):
        return 2, f"error: {error}"
    if hasattr(error, "format_message"):  # one of the command-line parser's own
        return 2, f"error: {_meant(error.format_message().strip().rstrip('.'), error)}"
    if isinstance(error, BrokenPipeError):  # `| head` has seen enough
        return _UNREAD, ""
    if isinstance(error, OSError):
        where = shown(error.filename) if error.filename is not None else "cannot read or write"
        return 2, f"error: {where}: {error.strerror or error}"
    if (
        isinstance(error, MemoryError)
        or ("allocate memory") in str(error)
        or type(error).__name__ == "OutOfMemoryError"
    ):
        return 2, (
            "error: there is not enough memory for that; take smaller images (--size), "
            "batches (--batch) or networks"
        )
    what = f"{type(error).__name__}: {error}"
    return 1, (
        f"error: unexpected {what} (a fault of archsmith: ARCHSMITH_TRACEBACK=1 in front of "
        f"the command shows where)"
    )


def _say(text: str) -> None:
    """One line on standard error, where there is one."""
    if text and sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(message(text), file=sys.stderr, flush=True)


def _note(notes: Sequence[str]) -> None:
    """What was taken for what, before anything begins."""
    for note in notes:
        _say(f"note: {note}")


def _meant(said: str, error: BaseException) -> str:
    """What the parser says, with one suggestion, where there is one, or where to look."""
    if bounds := arguments.out_of_bounds(error):
        return f"{bounds}; see --help"
    if "Did you mean" in said:
        return said.replace(". Did you mean", "; did you mean")
    if "No such command" in said:
        known = [
            command.name or getattr(command.callback, "__name__", "")
            for command in app.registered_commands
        ]
        return said + (did_you_mean(said.split("'")[1], known) or "; see --help")
    return f"{said}; see --help"


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"archsmith {__version__}")
        raise typer.Exit


@contextlib.contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Says how to go on when Ctrl-C, or anything else, ends the run, where there is one already."""
    try:
        yield
    except KeyboardInterrupt:
        begun = (folder / "run.json").is_file()
        kept = (
            (f"; everything done so far is kept. Go on with: archsmith resume {folder}")
            if begun
            else " before anything began"
        )
        _say(f"stopped{kept}")
        sys.exit(interrupts.CODE)
    except OSError as error:
        on = (
            (f"; mend that, then: archsmith resume {folder}")
            if (folder / "run.json").is_file()
            else ""
        )
        _say(f"error: {error.filename or folder}: {error.strerror or error}{on}")
        sys.exit(2)


# -- the main job --------------------------------------------------------------------------------


@app.command()
def search(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            parser=arguments.source,
            help="A folder of images, a CSV, parquet or npz file, or `digits`.",
        ),
    ],
    budget: Budget = "",
    method: Annotated[str, typer.Option(help="A name from `archsmith methods`.")] = "auto",
    space: Space = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    time: Annotated[
        str | None, typer.Option(help="All the time it may take: 90s, 20m, 1h30m. [default: 20m]")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, max=10**9, help="Training steps instead of --time: the same run to the bit."
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=8, max=10**6, help="Networks to score. [default: as time allows; 192 with --steps]"
        ),
    ] = None,
    threads: Threads = None,
    seed: Seed = 0,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=arguments.place,
            help="Start from these weights (.safetensors, or a .pt state_dict).",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=4, max=1024, help="Side of the input in pixels. [default: from the images]"
        ),
    ] = None,
    val_share: Annotated[
        float | None,
        typer.Option(
            callback=arguments.finite,
            min=1e-4,
            max=0.9,
            help="Share of the images kept for validation, where none are given. [default: 0.15; "
            "of more than 3,300 images "
            "500, of more than 10,000 0.05]",
        ),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(
            callback=arguments.finite,
            min=1e-4,
            max=0.9,
            help="Share kept for the test. [default: 0.2; digits 0.3]",
        ),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Column whose equal values must not be split (CSV, parquet).")
    ] = None,
    classes_at: ClassesAt = None,
    reference: Annotated[
        bool, typer.Option(help="Train a hand-made network beside it, at equal cost.")
    ] = True,
    task: Annotated[
        str,
        typer.Option(
            help="classification, regression (labels are numbers) or reconstruction "
            "(of the image; no labels)."
        ),
    ] = "classification",
    follow: Annotated[
        str,
        typer.Option(
            help="Estimates by shared weights: checked (followed where a check finds "
            "them good) or always."
        ),
    ] = "checked",
    fit: Annotated[
        str,
        typer.Option(
            help="How an image becomes square: auto, crop (its middle), pad (grey bars) or squeeze."
        ),
    ] = "auto",
    flip: Annotated[
        str, typer.Option(help="Mirror training images left to right: auto, yes or no.")
    ] = "auto",
    splits: Annotated[
        int | None,
        typer.Option(
            min=1, max=16, help="few-shot: levels of supernets below the first. [default: 1]"
        ),
    ] = None,
    split_on: Annotated[
        str | None,
        typer.Option(
            help="few-shot: a decision, gradients, scores, random or arbitrary; a+b: one a level. "
            "[default: gradients]"
        ),
    ] = None,
    settings: Annotated[
        str,
        typer.Option(
            "--set",
            help='Settings of the method, as "rounds=4, rule=half"; see its page in docs/methods/.',
        ),
    ] = "",
    lr: Rate = None,
    batch: BatchSize = None,
    augment: Augmentation = None,
    precision: Precisely = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", parser=arguments.place, help="Folder of the run. [default: runs/NAME]"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Search, train and ship the best network for DATA within a budget."""
    from archsmith._internal.registry import require_known
    from archsmith.methods import METHODS
    from archsmith.problem.budget import read, read_seconds
    from archsmith.run.request import request_from

    require_known("method", method, ["auto", *METHODS])
    _check_space(space)
    _one_of(time=time, steps=steps)
    seconds, of_time = (
        (None, ()) if steps is not None else read_seconds("20m" if time is None else time)
    )
    notes = (*read(budget)[1], *of_time)
    request = request_from(
        data=data,
        budget=budget,
        method=method,
        space=space,
        device=device,
        steps=steps,
        time_s=seconds,
        trials=trials,
        threads=threads,
        seed=seed,
        init=str(init) if init else None,
        size=size,
        val_share=val_share,
        test_share=test_share,
        group=group,
        classes_at=classes_at,
        reference=reference,
        task=task,
        fit=fit,
        flip=flip,
        follow=follow,
        training=_training(lr, batch, augment, precision),
        settings={
            **_settings(settings),
            **{
                name: value
                for name, value in (("splits", splits), ("split_on", split_on))
                if value is not None
            },
        },
    )
    folder = out if out is not None else _free_name(Path("runs"), Path(data).stem or "run")
    _note(notes)
    with _resumable(folder):
        from archsmith._internal.progress import watch
        from archsmith.run.store import STAGES
        from archsmith.stages.requests import start

        with watch(STAGES) as watching:
            run = start(request, folder, watching, ahead_s=_ahead(), notes=notes)
    _finished(run, json)


def _training(
    lr: float | None, batch: int | None, augment: str | None, precision: str | None
) -> dict[str, Any]:
    """What of the recipe was given."""
    if augment is not None:
        from archsmith.data.augment import LEVELS

        _allowed("--augment", augment, LEVELS)
    if precision is not None:
        from archsmith.training.recipe import PRECISIONS

        _allowed("--precision", precision, PRECISIONS)
    given = {"lr": lr, "batch": batch, "augment": augment, "precision": precision}
    return {name: value for name, value in given.items() if value is not None}


def _allowed(option: str, value: str, allowed: Sequence[str]) -> None:
    from archsmith.errors import UserError

    if value not in allowed:
        raise UserError(
            f"{option} '{shown(value)}': it is one of "
            f"{', '.join(allowed)}{did_you_mean(value, allowed)}"
        )


def _ahead() -> float:
    """Seconds that this command has taken already: since its process began, where that was started
    for it."""
    from archsmith._internal.hardware import age_s

    return age_s() if interrupts.is_command() else 0.0


def _every_while() -> Callable[[str, float | None], None]:
    """Tells, once it has taken a while, what a command without stages is at."""
    last = clock.monotonic()

    def tell(text: str, share: float | None) -> None:
        nonlocal last
        if clock.monotonic() - last >= _TELL_S:
            last = clock.monotonic()
            _say(f"... {text}")

    return tell


def _settings(text: str) -> dict[str, Any]:
    """Of "a=1, b=half": numbers and true or false are those."""
    from archsmith.errors import UserError

    found: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, sign, value = (word.strip() for word in part.partition("="))
        if not sign or not value:
            raise UserError(
                f"--set '{shown(part)}': write name=value, e.g. --set \"rounds=4, rule=half\""
            )
        try:
            found[name] = json_module.loads(value.lower())
        except (ValueError, RecursionError):
            found[name] = value
        if isinstance(found[name], float) and not math.isfinite(found[name]):
            raise UserError(f"--set {shown(name)}={shown(value)}: that is no finite number")
        if not isinstance(found[name], int | float | bool | str):
            found[name] = value
    return found


@app.command()
def resume(
    run: RunFolder,
    data: Moved = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Go on with a run that was stopped, killed, or failed."""
    from archsmith.run.store import STAGES, Run
    from archsmith.stages.intact import complete

    found = Run.open(run, trust=trust)
    if complete(found):
        if data is not None:
            from archsmith.stages.requests import moved

            found = moved(found, data)
        where = (
            (f"its images are at {shown(found.request.data)} from now on")
            if data is not None
            else "nothing to resume"
        )
        print(f"{run} is finished; {where}", file=sys.stderr)
        _finished(found, json)
        return
    with _resumable(run):
        from archsmith._internal.progress import watch
        from archsmith.stages.requests import continued

        with watch(STAGES) as watching:
            found = continued(found, data, watching, ahead_s=_ahead())
    _finished(found, json)


@app.command()
def again(
    run: RunFolder,
    budget: Annotated[list[str], typer.Option(help="As in `search`; may be given several times.")],
    count: Annotated[
        int, typer.Option(min=1, max=10_000, help="So many networks for each budget.")
    ] = 1,
    time: Annotated[
        str | None,
        typer.Option(help="Train and ship the best for the budget in this time, in a new run."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="The same, by training steps.")
    ] = None,
    reference: Annotated[
        bool, typer.Option(help="Train a hand-made network beside it, at equal cost.")
    ] = True,
    settings: Annotated[
        str,
        typer.Option(
            "--set", help='Of ddpnas: "worth=log, height=2, free=4"; see docs/methods/ddpnas.md.'
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", parser=arguments.place, help="Folder of the new run. [default: RUN-2]"
        ),
    ] = None,
    data: Moved = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Networks for another budget from the same run: no new training of shared weights; after
    ddpnas in seconds."""
    from archsmith.errors import UserError
    from archsmith.problem.budget import read, read_seconds
    from archsmith.run.store import STAGES, Run

    _one_of(time=time, steps=steps)
    found = Run.open(run, trust=trust)
    seconds, of_time = (None, ()) if time is None else read_seconds(time)
    notes = (*dict.fromkeys(note for text in budget for note in read(text)[1]), *of_time)
    if time is None and steps is None:
        from archsmith.stages.answers import generated

        _note(notes)
        rows = generated(found, budget, count, _settings(settings))
        _print(rows) if json else print(_networks(rows))
        if any(row["error"] for row in rows):
            sys.exit(2)
        return
    if len(budget) > 1:
        raise UserError(
            "with --time or --steps give one --budget; each trains a network of its own"
        )
    folder = out if out is not None else _free_name(run.absolute().parent, run.absolute().name)
    changes: dict[str, Any] = {
        "steps": steps,
        "time_s": seconds,
        "reference": reference,
        **_of_data(data),
    }
    _note(notes)
    with _resumable(folder):
        from archsmith._internal.progress import watch
        from archsmith.stages.requests import again as begin

        with watch(STAGES) as watching:
            new = begin(
                found,
                budget[0],
                folder,
                watch=watching,
                settings=_settings(settings),
                ahead_s=_ahead(),
                notes=notes,
                **changes,
            )
    _finished(new, json)


@app.command()
def train(
    run: RunFolder,
    time: Annotated[
        str | None, typer.Option(help="All the time it may take: 90s, 20m, 1h30m.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="Training steps instead.")
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            callback=arguments.finite,
            min=0.01,
            max=1e6,
            help="Passes over the training images instead of a time.",
        ),
    ] = None,
    lr: Rate = None,
    batch: BatchSize = None,
    augment: Augmentation = None,
    precision: Precisely = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="search, reference, or the key of another that was trained. "
            "[default: the shipped one]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", parser=arguments.place, help="Folder of the new run. [default: RUN-2]"
        ),
    ] = None,
    data: Moved = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Train the network of a finished run further, with its recipe, and ship it anew in a new
    run."""
    from archsmith.errors import UserError
    from archsmith.problem.budget import read_seconds
    from archsmith.run.store import STAGES, Run

    if _one_of(time=time, steps=steps, epochs=epochs) is None:
        raise UserError("give one of --time, --steps and --epochs, e.g. --time 30m")
    found = Run.open(run, trust=trust)
    seconds, notes = (None, ()) if time is None else read_seconds(time)
    folder = out if out is not None else _free_name(run.absolute().parent, run.absolute().name)
    _note(notes)
    changes: dict[str, Any] = {"time_s": seconds, "steps": steps if time is None else None}
    changes = {**({} if epochs is not None else changes), **_of_data(data)}
    with _resumable(folder):
        from archsmith._internal.progress import watch
        from archsmith.stages.requests import train as begin

        with watch(STAGES) as watching:
            new = begin(
                found,
                folder,
                watching,
                which=network,
                epochs=epochs,
                ahead_s=_ahead(),
                notes=notes,
                training={**found.request.training, **_training(lr, batch, augment, precision)},
                **changes,
            )
    _finished(new, json)


def _one_of(**lengths: object) -> str | None:
    """Which of the options that say how long to train is given; UserError where several are."""
    from archsmith.errors import UserError

    given = [f"--{name}" for name, value in lengths.items() if value is not None]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} each say how long to train; give one of them")
    return given[0] if given else None


def _of_data(data: str | None) -> dict[str, str]:
    """What changes of a request where images were moved."""
    return {} if data is None else {"data": data}


def _networks(rows: list[dict[str, Any]]) -> str:
    """For people: what each budget gives."""
    from archsmith.problem.budget import human

    lines = []
    for row in rows:
        lines.append(f"budget {row['budget']}" + (f": {row['error']}" if row["error"] else ""))
        for network in row["networks"]:
            costs = ", ".join(
                f"{n} {human(n, v)}" for n, v in network.items() if n not in ("key", "options")
            )
            lines.append(f"  {network['key']}  {costs}")
            lines.append(
                "   "
                " " + ", ".join(f"{name}={option}" for name, option in network["options"].items())
            )
    return "\n".join(lines)


def _finished(run: Any, json: bool) -> None:
    """What a finished run came to; exit code 2 where no network kept the budget, 3 where none is
    better than a constant."""
    from archsmith.api import Result

    summary = Result(run).summary()
    if json:
        _print(summary)
    else:
        from archsmith.stages.pipeline import time_text

        if summary["warning"]:
            print(_banner(summary["warning"]), file=sys.stderr)
        print(f"\n{summary['verdict']}")
        print(
            f"model    {run.folder / 'best'}   (try: python {run.folder / 'best' / 'predict.py'} "
            f"IMAGE)"
        )
        print(f"report   {summary['report']}")
        print(f"time     {time_text(run)}")
        if summary["network"] == "reference" and summary["search_test_accuracy"] is not None:
            print(
                f"         the search's own network: archsmith export {run.folder} --network search"
            )
    missed = [row for row in summary["budget"] or [] if not row["met"]]
    if missed:
        misses = "; ".join(f"{row['text']} but measured {row['value']:.4g}" for row in missed)
        print(
            f"error: no trained network kept the budget on the exported file ({misses}); relax "
            f"that limit",
            file=sys.stderr,
        )
        sys.exit(2)
    if summary["warning"]:
        sys.exit(NO_RESULT)


def _banner(text: str) -> str:
    """For what must not be overlooked."""
    import textwrap

    line = "!" * 78
    return "\n".join(["", line, *textwrap.wrap(text, 78), line])


def _free_name(parent: Path, stem: str) -> Path:
    """runs/NAME, or runs/NAME-2, -3, ... where that is taken."""
    from archsmith.run.claim import vacant

    taken = [parent / stem, *(parent / f"{stem}-{i}" for i in range(2, 10_000))]
    return next(
        folder
        for folder in taken
        if not folder.exists() or (folder.is_dir() and any(folder.iterdir()) and vacant(folder))
    )


def _check_space(space: str) -> None:
    from archsmith._internal.registry import require_known
    from archsmith.spaces import SPACES

    require_known("space", space, ["auto", *SPACES])


@app.command()
def report(run: RunFolder, json: Json = False) -> None:
    """Draw report.html anew, also while a run is going on."""
    from archsmith.report.page import write
    from archsmith.run.store import Run, altered

    found = Run.open(run)
    path = write(found.folder)
    _note(
        [f"{file} is no longer the file that was shipped" for file in altered(run, found.shipped)]
    )
    _print({"report": str(path)}) if json else print(path)


@app.command()
def export(
    run: RunFolder,
    format: Annotated[
        str | None, typer.Option(help="onnx, pt2 or safetensors. [default: as --out ends, or onnx]")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="search, reference, or the key of another that was trained. "
            "[default: the shipped one]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            parser=arguments.place,
            help="The file to write. [default: NAME.FORMAT beside the run]",
        ),
    ] = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Write a network of a finished run as one verified file."""
    from archsmith.api import open_run

    path = open_run(run, trust=trust).export(out, format, network=network)  # type: ignore[arg-type]
    _print({"file": str(path)}) if json else print(path)


# -- looking around ------------------------------------------------------------------------------


@app.command()
def profile(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            parser=arguments.source,
            help="Data whose classes and size to use, or --classes and --size.",
        ),
    ] = None,
    space: Space = "auto",
    budget: Budget = "",
    classes: Annotated[
        int, typer.Option(min=1, max=100_000, help="Number of classes, without DATA.")
    ] = 10,
    channels: Annotated[
        int, typer.Option(min=1, max=1024, help="Image channels, without DATA.")
    ] = 3,
    size: Annotated[
        int | None,
        typer.Option(min=4, max=1024, help="Image side in pixels. [default: DATA's, or 32]"),
    ] = None,
    latency: Annotated[
        bool, typer.Option("--latency", help="Measure latency with ONNX Runtime too.")
    ] = False,
    classes_at: ClassesAt = None,
    threads: Threads = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """What networks of a space cost, and how many fit a budget."""
    from archsmith.problem.budget import read
    from archsmith.stages.profiling import profile_space, profile_text

    _check_space(space)
    _note(read(budget)[1])
    found = profile_space(
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
    _print(found) if json else print(profile_text(found))


@app.command()
def score(
    space: Space = "auto",
    proxies: Annotated[
        str, typer.Option(help="Names from `archsmith proxies`, with commas.")
    ] = "zico",
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            parser=arguments.source,
            help="Images to score with. [default: noise, and random labels]",
        ),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, max=10**6, help="How many random networks.")] = 20,
    architecture: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|TEXT",
            parser=arguments.given,
            help="Score this architecture.json instead, or a network as its publishers write it, "
            "e.g. '8:16:24:32:40'.",
        ),
    ] = None,
    budget: Budget = "",
    classes: Annotated[
        int, typer.Option(min=1, max=100_000, help="Number of classes, without --data.")
    ] = 10,
    channels: Annotated[
        int, typer.Option(min=1, max=1024, help="Image channels, without --data.")
    ] = 3,
    size: Annotated[
        int | None,
        typer.Option(min=4, max=1024, help="Image side in pixels. [default: the data's, or 32]"),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=2, max=2**16, help="Images in each of the two mini-batches.")
    ] = 64,
    classes_at: ClassesAt = None,
    threads: Threads = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Training-free scores of networks of a space."""
    from archsmith.problem.budget import read
    from archsmith.stages.scoring import score_space, score_text

    _check_space(space)
    _note(read(budget)[1])
    found = score_space(
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
    _print(found) if json else print(score_text(found))


@app.command()
def spaces(json: Json = False) -> None:
    """The search spaces there are: what each is, how many networks it holds, for which images."""
    from archsmith._internal.registry import plugins
    from archsmith.spaces import SPACES

    installed = {
        name: f"installed: {point.value}"
        for name, point in plugins("space").items()
        if name not in SPACES
    }
    if json:
        entries: dict[str, Any] = {name: {"what": what} for name, what in installed.items()}
        for name, space in SPACES.items():
            forms = [form.name for form in space.formats]
            entries[name] = {
                "what": space.what,
                "networks": space.networks,
                "images": space.images,
                "formats": forms,
            }
        _print(entries)
        return
    rows = {
        name: f"{space.what}; {space.networks} networks; {space.images}"
        for name, space in SPACES.items()
    }
    _listing(
        {
            **rows,
            **installed,
            "my_model.py:Net": "your own torch.nn.Module, which holds a Choice "
            "where torch takes a number",
        },
        json,
    )


@app.command()
def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One of them, or my.py:Mine: its settings.")
    ] = None,
    json: Json = False,
) -> None:
    """The methods there are; with NAME, the settings of one."""
    from archsmith._internal.registry import listed
    from archsmith.methods import METHODS, auto, settings_of

    if name is None:
        _listing(
            {
                **listed("method", METHODS),
                "my.py:Mine": "your own, a frozen dataclass with a search(job, trained)",
            },
            json,
        )
        return
    name = auto("auto") if name == "auto" else name
    found = settings_of(name)
    if json:
        _print(
            {
                "method": name,
                "settings": {k: {"default": s.default, "what": s.text} for k, s in found.items()},
            }
        )
        return
    print(METHODS[name][1] if name in METHODS else name)
    rows = {f"{s.name}={str(s.default).lower()}": f"{s.text} ({s.kind})" for s in found.values()}
    _listing(rows, json) if rows else print("no settings")


@app.command()
def proxies(json: Json = False) -> None:
    """The training-free scores there are."""
    from archsmith._internal.registry import listed
    from archsmith.metrics.proxies import PROXIES

    _listing(
        {
            **listed("proxy", PROXIES),
            "my.py:score": "your own function (network, batches) -> float",
        },
        json,
    )


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
    from archsmith._internal.registry import listed
    from archsmith.recorded import BENCHMARKS

    _listing(
        {
            **listed("benchmark", BENCHMARKS),
            "my.py:table": "your own, made by recorded.benchmark.tabulated",
        },
        json,
    )


@app.command()
def doctor(json: Json = False) -> None:
    """What this machine and installation can do, and what is wrong with it."""
    from archsmith.cli.doctor import examine, text

    found = examine()
    _print(found) if json else print(text(found))
    if any(not check["ok"] for check in found["checks"]):
        sys.exit(2)


if __name__ == "__main__":
    main()
