"""Results of a pool of processes as they come; after a failure the rest is not waited for. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, as_completed
from typing import Any


def results(pool: Executor, futures: Iterable[Future[Any]]) -> Iterator[tuple[Future[Any], Any]]:
    """Each future with its result. Where one failed, or nobody reads on, those that have not begun are dropped."""
    try:
        for future in as_completed(list(futures)):
            yield future, future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
