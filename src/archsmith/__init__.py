"""archsmith finds, trains and ships the best neural network for a data set and a budget."""

from __future__ import annotations

from archsmith._internal import interrupts as _interrupts

if _interrupts.is_command():  # what follows takes a moment, in which Ctrl-C is no traceback either
    _interrupts.arm()

import importlib as _importlib
from typing import TYPE_CHECKING
from typing import Any as _Any

from archsmith._version import __version__

if TYPE_CHECKING:
    from archsmith.api import Result, open_run, profile, resume, score, search, shrink
    from archsmith.elastic.supernet import active, calibrate, extract, search_space
    from archsmith.problem import Problem, at_least, at_most, between, maximize, minimize
    from archsmith.searchers.archive import Archive
    from archsmith.searchers.loop import run_searcher
    from archsmith.space import Architecture, Choice, Derived, SearchSpace

_NAMES = {  # looked up when first used, so that torch is imported only by what needs it
    "archsmith.api": ("Result", "open_run", "profile", "resume", "score", "search", "shrink"),
    "archsmith.elastic.supernet": ("active", "calibrate", "extract", "search_space"),
    "archsmith.problem": ("Problem", "at_least", "at_most", "between", "maximize", "minimize"),
    "archsmith.searchers.archive": ("Archive",),
    "archsmith.searchers.loop": ("run_searcher",),
    "archsmith.space": ("Architecture", "Choice", "Derived", "SearchSpace"),
}
_WHERE = {name: module for module, names in _NAMES.items() for name in names}
_PACKAGES = (
    "data",
    "elastic",
    "errors",
    "export",
    "feasibility",
    "graph",
    "methods",
    "metrics",
    "predictors",
    "problem",
    "recorded",
    "searchers",
    "space",
    "spaces",
    "tasks",
    "testing",
    "training",
)

__all__ = [
    "Architecture",
    "Archive",
    "Choice",
    "Derived",
    "Problem",
    "Result",
    "SearchSpace",
    "__version__",
    "active",
    "at_least",
    "at_most",
    "between",
    "calibrate",
    "extract",
    "maximize",
    "minimize",
    "open_run",
    "profile",
    "resume",
    "run_searcher",
    "score",
    "search",
    "search_space",
    "shrink",
]


if not TYPE_CHECKING:  # to a type checker a name that is not here is a mistake

    def __getattr__(name: str) -> _Any:
        if name in _WHERE:
            return getattr(_importlib.import_module(_WHERE[name]), name)
        if name in _PACKAGES:
            return _importlib.import_module(f"archsmith.{name}")
        raise AttributeError(f"module 'archsmith' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
