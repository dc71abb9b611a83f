"""Processes, on whatever system: how new ones are started, whether one is alive, how one interrupts
itself."""

from __future__ import annotations

import os
import signal
import sys

WINDOWS = os.name == "nt"


def start_method(*, fork: bool) -> str:
    """How new processes are started: by a fork, where that is asked for and safe; else anew.

    Windows has no fork; in a forked process of macOS the system's own libraries may fail.
    """
    import multiprocessing

    able = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
    return "fork" if fork and able else "spawn"


def alive(process: int) -> bool:
    """Whether there is a process of this id that has not ended; one that only waits to be asked how
    it ended is none."""
    import psutil

    try:
        return (
            psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    except (OverflowError, ValueError):  # a number that no process can have
        return False


def interrupt_self() -> None:
    """What Ctrl-C does to this process alone, from any of its threads."""
    if WINDOWS:  # where os.kill ends a process, whatever the signal
        signal.raise_signal(signal.SIGINT)
    else:  # to the process, not to the thread: it wakes the first one, whose handler runs
        os.kill(os.getpid(), signal.SIGINT)
