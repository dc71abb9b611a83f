"""One paper, one page: each method is a module with the stages it fills in; the table by which the command line finds them."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from archsmith.spaces import described

_GRADIENT = "archsmith.methods.gradient"
METHODS = {  # name -> (module, or module:attribute, what it is)
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
    "ddpnas": (
        "archsmith.methods.ddpnas",
        "one supernet, shared by ever fewer networks; then the best for any budget (Zheng et al., IJCV 2023)",
    ),
    "darts": (f"{_GRADIENT}:darts", "all options at once, their weights learned by gradient (Liu et al., ICLR 2019)"),
    "darts-2": (f"{_GRADIENT}:darts2", "DARTS, looking one weight step ahead (second order)"),
    "pc-darts": (f"{_GRADIENT}:pc_darts", "DARTS on a quarter of the channels (Xu et al., ICLR 2020)"),
    "gdas": (f"{_GRADIENT}:gdas", "one sampled option a step, gradients through the sample (Dong and Yang, CVPR 2019)"),
    "snas": (f"{_GRADIENT}:snas", "samples of a concrete distribution (Xie et al., ICLR 2019)"),
    "setn": (f"{_GRADIENT}:setn", "weights by single paths, options jointly (Dong and Yang, ICCV 2019)"),
    "drnas": (f"{_GRADIENT}:drnas", "samples of a Dirichlet distribution (Chen et al., ICLR 2021)"),
    "enas": (f"{_GRADIENT}:enas", "a recurrent controller, rewarded with accuracy (Pham et al., ICML 2018)"),
    "hand-made": (
        "archsmith.methods.hand_made",
        "networks as one would make them by hand, and neighbors of them: training alone decides",
    ),
    "random": ("archsmith.methods.random", "random feasible networks, no score: the baseline every method has to beat"),
}
_RANK_BETTER = ("archsmith", "archsmith-vit")  # ensembles that rank networks of their kind better than ZiCo does


def auto(space: str) -> str:
    """What `--method auto` stands for, as benchmarks/RESULTS.md has it.

    Hand-made networks and neighbors where the space has such, else the score that ranks its networks best.
    """
    if described(space).hand_made:
        return "hand-made"
    return "ensemble" if described(space).ensemble in _RANK_BETTER else "zico"


def page_of(name: str) -> Any:
    """The stages that a method fills in: `screen`, `search`, and where it has them `train`, `network`, `weights`, `refuse`."""
    module, _, attribute = METHODS[name][0].partition(":")
    page = importlib.import_module(module)
    return getattr(page, attribute) if attribute else page


def settings_of(page: Any) -> dict[str, inspect.Parameter]:
    """A method's settings: the keyword arguments of the function that trains its weights."""
    found = inspect.signature(page.weights).parameters if hasattr(page, "weights") else {}
    return {name: parameter for name, parameter in found.items() if parameter.kind is parameter.KEYWORD_ONLY}
