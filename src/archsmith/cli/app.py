"""The command line: its commands in the order of --help, and its entry point. Nothing heavy is
imported before a command needs it: `archsmith --help` answers at once."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from archsmith._internal import interrupts
from archsmith._version import __version__
from archsmith.cli import arguments
from archsmith.cli.bench import app as bench
from archsmith.cli.continuing import again, resume, train
from archsmith.cli.doctor import doctor
from archsmith.cli.endings import ending
from archsmith.cli.listings import benchmarks, methods, proxies, spaces
from archsmith.cli.samples import profile, score
from archsmith.cli.searching import search
from archsmith.cli.shipping import export, report
from archsmith.cli.shrinking import shrink

app = typer.Typer(
    name="archsmith",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Finds, trains and ships the best neural network for your data and budget.",
)
COMMANDS = (
    *(search, shrink, resume, again, train, report, export),
    *(profile, score),
    *(spaces, methods, proxies, benchmarks, doctor),
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(bench)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"archsmith {__version__}")
        raise typer.Exit


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
    names = [command.__name__ for command in COMMANDS]
    with interrupts.handled() as stop, ending(stop, names):
        if not several:
            _run()
            return
        from archsmith.training.distributed import follow, joined

        # what ends the first process is told before the others are
        with joined() as rank, ending(stop, names):
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


if __name__ == "__main__":
    main()
