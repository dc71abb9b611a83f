"""Scores of untrained networks: a table of names, and `build`, which makes one a metric. Listing them does not import torch."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from archsmith.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

    from archsmith.space import Architecture

_HERE = "archsmith.metrics.proxies"
PROXIES: dict[str, tuple[str, str]] = {  # name -> (module:attribute, what it is); larger is better
    "zico": (f"{_HERE}.zico:ZiCo", "inverse coefficient of variation of gradients over two batches (Li et al., ICLR 2023)"),
    "params": (f"{_HERE}.baselines:Params", "number of parameters: baseline"),
    "macs": (f"{_HERE}.baselines:MACs", "multiply-accumulates of one image: baseline"),
    "depth": (f"{_HERE}.baselines:Depth", "number of convolutions and linear layers: baseline"),
    "random": (f"{_HERE}.baselines:Random", "a fixed random number per architecture: baseline"),
}


def build(
    name: str,
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    costs: Callable[[Architecture], Mapping[str, float]] | None = None,
    seed: int = 0,
    **settings: Any,
) -> Callable[[Architecture], float]:
    """The proxy `name` as a metric over the architectures of `model`: arch -> float, larger is better.

    Each gets what its signature asks for of `model` (elastic, may be on `meta`), `batches` (of images and labels, drawn once),
    `costs` (arch -> {"params", "macs"}) and `seed`; `settings` are its own. Raises UserError for an unknown name or setting.
    """
    if name not in PROXIES:
        raise UserError(f"no proxy '{name}' among {', '.join(PROXIES)}{did_you_mean(name, PROXIES)}")
    where, _, attribute = PROXIES[name][0].partition(":")
    factory = getattr(importlib.import_module(where), attribute)
    known = inspect.signature(factory).parameters
    given = {"model": model, "batches": batches, "costs": costs, "seed": seed}
    own = [setting for setting in known if setting not in given]
    for setting in settings:
        if setting not in own:
            allowed = ", ".join(own) or "none"
            raise UserError(f"proxy '{name}' has no setting '{setting}'; it has: {allowed}{did_you_mean(setting, own)}")
    if "costs" in known and costs is None:
        raise UserError(f"proxy '{name}' reads the costs of an architecture; pass costs=Costs(model, shape)")
    return factory(**{key: value for key, value in given.items() if key in known}, **settings)
