"""Searchers: each proposes candidates of a problem and hears what became of them; a table of their
names. No torch here."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from archsmith._internal.registry import load_named
from archsmith._internal.user_code import is_file
from archsmith.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from archsmith.searchers.loop import GeneratorSearcher

_HERE = "archsmith.searchers"
# for one objective: name -> (module:attribute, what it is)
SEARCHERS: dict[str, tuple[str, str]] = {
    "random": (f"{_HERE}.random:random_search", "uniform random search: baseline"),
    "local": (
        f"{_HERE}.local:local_search",
        "hill climbing with restarts (White et al., UAI 2021)",
    ),
    "evolution": (f"{_HERE}.evolution:evolution", "(mu+lambda) evolution with crossover"),
    "regularized-evolution": (
        f"{_HERE}.evolution:regularized_evolution",
        "the oldest retires (Real et al., AAAI 2019)",
    ),
    "reinforce": (
        f"{_HERE}.reinforce:reinforce",
        "policy gradient on independent decisions (Williams 1992)",
    ),
    "ddpnas": (
        f"{_HERE}.pruning:pruning",
        "every option tried equally often, the least probable pruned (Zheng et al., IJCV 2023)",
    ),
    "sng": (
        f"{_HERE}.natural_gradient:sng",
        "stochastic natural gradient on independent decisions (Akimoto et al., ICML 2019)",
    ),
    "asng": (
        f"{_HERE}.natural_gradient:asng",
        "SNG with a trust region that adapts (Akimoto et al., ICML 2019)",
    ),
    "dynamic-sng": (f"{_HERE}.natural_gradient:dynamic_sng", "SNG on equal turns, with pruning"),
    "dynamic-asng": (f"{_HERE}.natural_gradient:dynamic_asng", "ASNG on equal turns, with pruning"),
    "migo": (
        f"{_HERE}.natural_gradient:migo",
        "natural gradient with momentum (Zheng et al., TPAMI 2021)",
    ),
    "mdenas": (
        f"{_HERE}.natural_gradient:mdenas",
        "pairwise votes between options (Zheng et al., ICCV 2019)",
    ),
    "tpe": (
        f"{_HERE}.tpe:tpe",
        "densities of the good and the others (Bergstra et al., NeurIPS 2011)",
    ),
    "smac": (
        f"{_HERE}.smac:smac",
        "random-forest Bayesian optimisation (Hutter et al., LION 2011)",
    ),
    "guided": (
        f"{_HERE}.predictor_guided:predictor_guided",
        "an ensemble predictor guides mutation (White et al., AAAI 2021)",
    ),
    "successive-halving": (
        f"{_HERE}.hyperband:successive_halving",
        "cheap fidelities first (Jamieson and Talwalkar 2016)",
    ),
    "hyperband": (
        f"{_HERE}.hyperband:hyperband",
        "brackets of successive halving (Li et al., JMLR 2018)",
    ),
    "bohb": (
        f"{_HERE}.bohb:bohb",
        "Hyperband that learns where to start (Falkner et al., ICML 2018)",
    ),
}
NEED_FIDELITIES = ("successive-halving", "hyperband", "bohb")


def make(name: str) -> Callable[..., GeneratorSearcher]:
    """The searcher factory `name`: (problem, seed=0, **settings) -> searcher.

    "regularized-evolution:population=50:tournament=10" has settings other than the searcher's own.
    UserError for an unknown name or setting, and for a value that is no number.
    """
    base, given = _split(name)
    factory: Callable[..., GeneratorSearcher] = load_named("searcher", base, SEARCHERS)
    if inspect.isgeneratorfunction(factory):  # of a plug-in or a user's file
        from archsmith.searchers.loop import searcher

        factory = searcher(factory)
    if not given:
        return factory
    known = [key for key in inspect.signature(factory).parameters if key not in ("problem", "seed")]
    settings: dict[str, Any] = {}
    for text in given:
        key, _, value = text.partition("=")
        if key in known and isinstance(inspect.signature(factory).parameters[key].default, str):
            settings[key] = value  # which words are allowed the searcher says
            continue
        if key not in known:
            raise UserError(
                f"searcher '{base}' has no setting '{key}'{did_you_mean(key, known)}; "
                f"it has {', '.join(known)}"
            )
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = None
        if not isinstance(settings[key], int | float):
            raise UserError(
                f"searcher '{name}': {key}={value!r} is no number; write it as {base}:{key}=50"
            )
    return partial(factory, **settings)


def _split(name: str) -> tuple[str, list[str]]:
    """The name and its settings; of a user's own, "my.py:mine:population=9", the name has a
    colon."""
    parts = name.split(":")
    own = 2 if is_file(name) and len(parts) > 1 else 1
    return ":".join(parts[:own]), parts[own:]


def needs_fidelities(name: str) -> bool:
    """Whether the searcher `name`, with or without settings, is of no use where nothing cheaper
    than the whole is measured."""
    return _split(name)[0] in NEED_FIDELITIES
