"""How a command ends: what ended it in one line on standard error, and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence

import typer

from archsmith._internal import interrupts
from archsmith.cli import arguments
from archsmith.errors import ArchsmithError, did_you_mean, message, shown

_UNREAD = 141  # exit code where nobody reads the output: that of a program which SIGPIPE ended


@contextlib.contextmanager
def ending(stop: interrupts.Interrupts | None, commands: Sequence[str]) -> Iterator[None]:
    """The one place where what ended a command becomes one line and an exit code; Python's own
    warnings are not for users.

    Args:
        stop: Whether Ctrl-C was pressed.
        commands: The names of all commands, one of which may have been meant.
    """
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
        code, text = _ending(error, commands, stopped=stop is not None and stop.asked)
        if "ARCHSMITH_TRACEBACK" in os.environ and code != interrupts.CODE:
            traceback.print_exc()
        say(text)
        # perhaps of standard output: let Python not try it once more at its end
        if isinstance(error, OSError):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(code)
    finally:
        warnings.showwarning = shows


def _ending(error: BaseException, commands: Sequence[str], *, stopped: bool) -> tuple[int, str]:
    """Exit code, and what to say ("": nothing)."""
    if stopped or isinstance(error, KeyboardInterrupt | typer.Abort):
        return interrupts.CODE, "stopped"
    if isinstance(error, ArchsmithError):
        return 2, f"error: {error}"
    if hasattr(error, "format_message"):  # one of the command-line parser's own
        return 2, f"error: {_meant(error.format_message().strip().rstrip('.'), error, commands)}"
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


def _meant(text: str, error: BaseException, commands: Sequence[str]) -> str:
    """What the parser says, with one suggestion, where there is one, or where to look."""
    if bounds := arguments.out_of_bounds(error):
        return f"{bounds}; see --help"
    if "Did you mean" in text:
        return text.replace(". Did you mean", "; did you mean")
    if "No such command" in text:
        return text + (did_you_mean(text.split("'")[1], commands) or "; see --help")
    return f"{text}; see --help"


def say(text: str) -> None:
    """One line on standard error, where there is one."""
    if text and sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(message(text), file=sys.stderr, flush=True)


def note(notes: Sequence[str]) -> None:
    """What was taken for what, before anything begins."""
    for text in notes:
        say(f"note: {text}")
