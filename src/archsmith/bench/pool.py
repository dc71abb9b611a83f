"""Pools of processes: results as they come, after a failure nothing is waited for, no worker
outlives its parent. No torch."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from multiprocessing import resource_tracker
from typing import Any

from archsmith._internal.interrupts import deaf, held
from archsmith._internal.processes import WINDOWS, start_method


def results(pool: Executor, futures: Iterable[Future[Any]]) -> Iterator[tuple[Future[Any], Any]]:
    """Each future with its result. Where one failed, or nobody reads on, those that have not begun
    are dropped."""
    try:
        for future in as_completed(list(futures)):
            yield future, future.result()
    except BaseException:
        workers = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:  # else the program ends when each has finished what it is at
            worker.terminate()
        raise


class _Pool(ProcessPoolExecutor):
    """Its processes see no Ctrl-C, not even while they import: the parent ends them."""

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        with held():
            return super().submit(*args, **kwargs)


def processes(
    count: int, begin: Callable[..., None] | None = None, *given: Any, fork: bool = False
) -> ProcessPoolExecutor:
    """`count` new processes (torch does not bear a fork), each of which first calls
    `begin(*given)`."""
    context = multiprocessing.get_context(start_method(fork=fork))
    _silent_tracker()
    return _Pool(count, context, _begun, (begin, given))


def _silent_tracker() -> None:
    """Python's own process that tidies up after Ctrl-C must not say so on our standard error; it is
    started with this."""
    if WINDOWS:  # which has none
        return
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(
        filter(None, (before, "ignore:resource_tracker:UserWarning"))
    )
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _begun(begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    deaf()
    end_with_parent()
    if begin is not None:
        begin(*given)


def end_with_parent() -> None:
    """A parent that is killed leaves no worker behind, whatever that is busy with."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
