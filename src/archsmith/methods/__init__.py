"""One paper, one page: each method is a frozen dataclass of its settings; the table by which the
command line finds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archsmith._internal.registry import load_named
from archsmith.methods import protocol
from archsmith.methods.protocol import Method, Setting
from archsmith.spaces import described

_GRADIENT = "archsmith.methods.gradient"
METHODS = {  # name -> (module:attribute, what it is)
    "zico": (
        "archsmith.methods.zico:ZiCo",
        "networks ranked by ZiCo, untrained; search on the score (Li et al., ICLR 2023)",
    ),
    "ensemble": (
        "archsmith.methods.ensemble:Ensemble",
        "rank networks by a rank sum of scores that were chosen for such spaces, search on it",
    ),
    "one-shot": (
        "archsmith.methods.one_shot:OneShot",
        "one supernet, trained on your data, estimates all networks (Guo et al., ECCV 2020)",
    ),
    "few-shot": (
        "archsmith.methods.few_shot:FewShot",
        "a supernet split into several estimates better than one (Zhao et al., ICML 2021)",
    ),
    "ddpnas": (
        "archsmith.methods.ddpnas:DDPNAS",
        "one supernet, shared by ever fewer networks; then the best for any budget (Zheng et al., "
        "IJCV 2023)",
    ),
    "darts": (
        f"{_GRADIENT}:darts",
        "all options at once, their weights learned by gradient (Liu et al., ICLR 2019)",
    ),
    "darts-2": (f"{_GRADIENT}:darts2", "DARTS, looking one weight step ahead (second order)"),
    "pc-darts": (
        f"{_GRADIENT}:pc_darts",
        "DARTS on a quarter of the channels (Xu et al., ICLR 2020)",
    ),
    "gdas": (
        f"{_GRADIENT}:gdas",
        "one sampled option a step, gradients through the sample (Dong and Yang, CVPR 2019)",
    ),
    "snas": (f"{_GRADIENT}:snas", "samples of a concrete distribution (Xie et al., ICLR 2019)"),
    "setn": (
        f"{_GRADIENT}:setn",
        "weights by single paths, options jointly (Dong and Yang, ICCV 2019)",
    ),
    "drnas": (f"{_GRADIENT}:drnas", "samples of a Dirichlet distribution (Chen et al., ICLR 2021)"),
    "enas": (
        f"{_GRADIENT}:enas",
        "a recurrent controller, rewarded with accuracy (Pham et al., ICML 2018)",
    ),
    "hand-made": (
        "archsmith.methods.hand_made:HandMade",
        "networks as one would make them by hand, and neighbors of them: training alone decides",
    ),
    "shrink": (
        "archsmith.methods.shrink:Shrink",
        "a trained network made smaller: all its versions trained together, the best fine-tuned",
    ),
    "random": (
        "archsmith.methods.random:RandomSearch",
        "random feasible networks: the baseline every method has to beat",
    ),
}
# ensembles that rank networks of their kind better than ZiCo does
_RANK_BETTER = ("archsmith", "archsmith-vit")


def auto(space: str) -> str:
    """What `--method auto` stands for, as measured (results decider-hand-made,
    nasbench201-archsmith, vit-no-score).

    Hand-made networks and neighbors where the space has such, else the score that ranks its
    networks best.
    """
    if described(space).begins_by_hand:
        return "hand-made"
    return "ensemble" if described(space).ensemble in _RANK_BETTER else "zico"


def named(name: str) -> Any:
    """The class, or what makes one, of a method by name, of an installed plug-in, or of the user's
    own file: "my.py:Mine"."""
    return load_named("method", name, METHODS)


def settings_of(name: str) -> dict[str, Setting]:
    """The settings of a method by name: its fields, each with its default and a line about it."""
    kind = named(name)
    return protocol.settings_of(getattr(kind, "func", kind))


def method(name: str, settings: Mapping[str, Any]) -> Method:
    """The method of that name with these settings. UserError for an unknown one, or settings it
    does not have or refuses."""
    return protocol.made(named(name), name, settings)
