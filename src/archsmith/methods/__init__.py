"""One paper, one page: each method is a module with the stages it fills in; the table by which the command line finds them."""

from __future__ import annotations

import inspect
from types import ModuleType

METHODS = {
    "zico": ("archsmith.methods.zico", "rank networks by ZiCo without training, search on the score (Li et al., ICLR 2023)"),
    "ensemble": (
        "archsmith.methods.ensemble",
        "rank networks by a rank sum of scores that were chosen for such spaces, search on it",
    ),
    "one-shot": (
        "archsmith.methods.one_shot",
        "one supernet, trained on your data, estimates all networks (Guo et al., ECCV 2020)",
    ),
    "few-shot": (
        "archsmith.methods.few_shot",
        "a supernet split into several estimates better than one (Zhao et al., ICML 2021)",
    ),
    "random": ("archsmith.methods.random", "random feasible networks, no score: the baseline every method has to beat"),
}
_CELLS = ("nasbench201", "darts", "darts-small", "transnas", "nasbench1shot1-space1", "nasbench1shot1-space2")


def auto(space: str) -> str:
    """What `--method auto` stands for: the score that ranks networks of the space best, as benchmarks/RESULTS.md has it."""
    return "ensemble" if space in _CELLS else "zico"


def settings_of(page: ModuleType) -> dict[str, inspect.Parameter]:
    """A method's settings: the keyword arguments of the function that trains its weights."""
    found = inspect.signature(page.weights).parameters if hasattr(page, "weights") else {}
    return {name: parameter for name, parameter in found.items() if parameter.kind is parameter.KEYWORD_ONLY}
