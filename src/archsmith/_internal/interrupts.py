"""Ctrl-C: one line and exit code 130 wherever a command is, while it imports and where code
swallows it; twice ends at once."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from archsmith._internal.processes import interrupt_self

CODE = 130
# seconds in which two signals are one Ctrl-C, sent to the group and passed on by a wrapper
_ONE_KEY = 0.3
# seconds that ending may take, e.g. until threads have read the images they are at
_PATIENCE = 20.0


class Interrupts:
    """The handler of SIGINT: `asked` tells whether there was one, whatever became of the
    KeyboardInterrupt."""

    def __init__(self, before: Any) -> None:
        self.before = before  # the handler that was there
        self.early = True  # nothing of the command has begun: there is nothing to put in order
        self._at: float | None = None
        self._resent = False  # the signal that comes is one of before, put off

    @property
    def asked(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._at is not None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Stops what runs, an import once it is over: C++ code that is being loaded may abort. The
        second time the process."""
        resent, self._resent, now = self._resent, False, time.monotonic()
        if self.early:
            end_now()
        if not resent:
            if self._at is not None:
                if now - self._at > _ONE_KEY:
                    end_now()
                return
            self._at = now
            if is_command():
                self._soon(_PATIENCE, end_now)
        if _importing(frame):
            self.later()
            return
        raise KeyboardInterrupt

    def later(self) -> None:
        """Raises the KeyboardInterrupt soon, elsewhere: here is code that cannot pass it on."""
        self._soon(0.03, self._again)

    def _again(self) -> None:
        self._resent = True
        interrupt_self()

    def _soon(self, seconds: float, do: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, do)
        timer.daemon = True
        timer.start()


def _importing(frame: FrameType | None) -> bool:
    """Whether an import statement is at work in any of the callers."""
    while frame is not None:
        if frame.f_code.co_name == "_find_and_load" and frame.f_code.co_filename.startswith(
            "<frozen importlib"
        ):
            return True
        frame = frame.f_back
    return False


def end_now(line: bytes = b"stopped\n") -> None:
    """Ends the process, without putting anything in order; its workers end with it."""
    try:
        os.write(2, line)
    finally:
        os._exit(CODE)


def leave(code: int = CODE) -> None:
    """Ends a command that has put things in order: no thread is waited for, none is cut off in the
    middle of C++ code, which aborts the process in Python 3.11 (threads of gloo, when several
    processes train)."""
    if code != CODE:  # one of them may wait for a worker, and Ctrl-C for nothing
        with suppress(Exception):
            atexit._run_exitfuncs()  # temporary folders, loggers
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def is_command() -> bool:
    """Whether Python was started as `archsmith` or `python -m archsmith`, not as a program that
    imports it."""
    # sys.argv is not complete when the package is imported, and a test may change it
    words = iter(sys.orig_argv[1:])
    for word in words:
        if word == "-m":
            return next(words, "") == "archsmith"
        if word in ("-X", "-W"):
            next(words, "")
        elif not word.startswith("-"):
            return os.path.basename(word) in ("archsmith", "archsmith.exe")
    return False


def arm() -> Interrupts | None:
    """Handles SIGINT from now on; None outside the main thread, and where SIGINT is ignored, as by
    `nohup` or a shell's `&`."""
    if threading.current_thread() is not threading.main_thread():
        return None
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, Interrupts):
        return before
    if before in (signal.SIG_IGN, None):
        return None
    handler = Interrupts(before)
    signal.signal(signal.SIGINT, handler)
    return handler


@contextmanager
def handled() -> Iterator[Interrupts | None]:
    """Within it Ctrl-C is a KeyboardInterrupt, also where one is lost in a destructor; afterwards
    all is as before."""
    handler, hook = arm(), sys.unraisablehook
    if handler is None:
        yield None
        return

    def lost(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            handler.later()
        else:
            hook(unraisable)

    handler.early, sys.unraisablehook = False, lost
    try:
        yield handler
    finally:
        sys.unraisablehook = hook
        # the second Ctrl-C still ends a command that is slow to leave
        if not (handler.asked and is_command()):
            signal.signal(signal.SIGINT, handler.before)


@contextmanager
def held() -> Iterator[None]:
    """Within it SIGINT waits, and processes that are started never see one: who started them ends
    them.

    Where a system cannot hold signals back nothing is held, and a process that is started calls
    `deaf`.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def deaf() -> None:
    """Has a worker see no Ctrl-C where `held` could not keep it away."""
    if not hasattr(signal, "pthread_sigmask"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
