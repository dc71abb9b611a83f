"""Scores of untrained networks: a table of names, and `build`, which makes one a metric. Listing
them does not import torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archsmith._internal.registry import load_named, require_known
from archsmith.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

    from archsmith.metrics.proxies.reading import Loss, Proxy
    from archsmith.space import Architecture

_HERE = "archsmith.metrics.proxies"
# name -> (module:attribute, what it is); larger is better unless said
PROXIES: dict[str, tuple[str, str]] = {
    "zico": (
        f"{_HERE}.zico:ZiCo",
        "inverse coefficient of variation of gradients over two batches (Li et al., ICLR 2023)",
    ),
    "zico_bc": (
        f"{_HERE}.zico:ZICO_BC",
        "ZiCo corrected for its liking of thin, deep networks (Lee et al., ICCV-W 2023)",
    ),
    "l2_norm": (f"{_HERE}.gradients:L2_NORM", "norms of the initial weights"),
    "grad_norm": (
        f"{_HERE}.gradients:GRAD_NORM",
        "norms of the loss's gradients (Abdelfattah et al., ICLR 2021)",
    ),
    "plain": (
        f"{_HERE}.gradients:PLAIN",
        "sum of weight times gradient (Mozer and Smolensky, NeurIPS 1989)",
    ),
    "snip": (f"{_HERE}.gradients:SNIP", "sum of |weight times gradient| (Lee et al., ICLR 2019)"),
    "grasp": (
        f"{_HERE}.gradients:GRASP",
        "minus weight times Hessian times gradient (Wang et al., ICLR 2020)",
    ),
    "fisher": (
        f"{_HERE}.gradients:FISHER",
        "squared activation times gradient by channel (Turner et al., ICLR 2020)",
    ),
    "synflow": (
        f"{_HERE}.flow:SYNFLOW",
        "logarithm of the flow through absolute weights (Tanaka et al., NeurIPS 2020)",
    ),
    "effective_params": (
        f"{_HERE}.flow:EFFECTIVE_PARAMS",
        "number of parameters that something flows through: baseline",
    ),
    "dss": (
        f"{_HERE}.flow:DSS",
        "synaptic diversity and saliency, for Transformers (Zhou et al., CVPR 2022)",
    ),
    "jacob_cov": (
        f"{_HERE}.jacobian:JACOB_COV",
        "how differently images move the outputs (Mellor et al., 2020)",
    ),
    "epe_nas": (
        f"{_HERE}.jacobian:EPE_NAS",
        "the same within each class (Lopes et al., ICANN 2021)",
    ),
    "naswot": (
        f"{_HERE}.codes:NASWOT",
        "how differently images switch units on (Mellor et al., ICML 2021)",
    ),
    "swap": (
        f"{_HERE}.codes:SWAP",
        "number of different patterns of a unit over images (Peng et al., ICLR 2024)",
    ),
    "linear_regions": (
        f"{_HERE}.codes:LINEAR_REGIONS",
        "number of different patterns of an image (Chen et al., ICLR 2021)",
    ),
    "zen": (
        f"{_HERE}.zen:ZEN",
        "how much features move with Gaussian images (Lin et al., ICCV 2021)",
    ),
    "ntk": (
        f"{_HERE}.persample:NTK",
        "condition number of the neural tangent kernel, smaller is better (Chen et al., ICLR 2021)",
    ),
    "gradsign": (
        f"{_HERE}.persample:GRADSIGN",
        "agreement of the signs of images' gradients (Zhang and Jia, ICLR 2022)",
    ),
    "meco": (
        f"{_HERE}.correlations:MECO",
        "least eigenvalues of channels' correlations (Jiang et al., NeurIPS 2023)",
    ),
    "wrcor": (
        f"{_HERE}.correlations:WRCOR",
        "images' correlations in activations and gradients (Du et al., 2025)",
    ),
    "az_nas": (
        f"{_HERE}.az_nas:AZ_NAS",
        "expressivity, progressivity, trainability, complexity (Lee and Ham, CVPR 2024)",
    ),
    "vkdnw": (
        f"{_HERE}.vkdnw:VKDNW",
        "entropy of the Fisher information's spectrum (Tybl and Neumann, CVPR 2025)",
    ),
    "params": (f"{_HERE}.baselines:Params", "number of parameters: baseline"),
    "macs": (f"{_HERE}.baselines:MACs", "multiply-accumulates of one image: baseline"),
    "depth": (f"{_HERE}.baselines:Depth", "number of convolutions and linear layers: baseline"),
    "random": (f"{_HERE}.baselines:Random", "a fixed random number per architecture: baseline"),
}


def named(name: str) -> Proxy:
    """The proxy `name` as `Scores` and `score_network` take it; UserError for a baseline, which
    reads no network."""
    scorer = _looked_up(name)
    if name == "zico":
        scorer = scorer.proxy
    if inspect.isclass(scorer):
        raise UserError(f"proxy '{name}' is counted, not scored; use build('{name}', ...)")
    return scorer


def _looked_up(name: str) -> Any:
    """As `load_named`; a plain function (network, batches) -> float of a plug-in or a user's file
    is a proxy that needs no pass of ours."""
    proxy = load_named("proxy", name, PROXIES)
    if name in PROXIES or inspect.isclass(proxy) or not callable(proxy):
        return proxy
    from archsmith.metrics.proxies.reading import Proxy

    return Proxy(label_of(name), lambda reading: proxy(reading.network, reading.batches))


def label_of(name: str) -> str:
    """What the scores of a proxy are called: "width" for "my.py:width"."""
    return name.rpartition(":")[2]


def lower_is_better(name: str) -> bool:
    """Whether the smaller value of this proxy is the better one."""
    proxy = _looked_up(name)
    return not inspect.isclass(proxy) and bool(proxy.lower)


def build(
    name: str,
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    costs: Callable[[Architecture], Mapping[str, float]] | None = None,
    seed: int = 0,
    **settings: Any,
) -> Callable[[Architecture], float]:
    """The proxy `name` as a metric over the architectures of `model`: arch -> float; larger is
    better unless it says `lower`.

    One whose parts are to be ranked over a set of networks gives a dict of them.

    Each gets what its signature asks for of `model` (elastic, may be on `meta`), `batches` (of
    images and labels, drawn once), `costs` (arch -> {"params", "macs", "depth"}) and `seed`;
    `settings` are its own. Raises UserError for an unknown name or setting.
    """
    factory = _looked_up(name)
    given = {"model": model, "batches": batches, "costs": costs, "seed": seed}
    if not inspect.isclass(factory):
        from archsmith.metrics.proxies.scores import Scores

        own = list(inspect.signature(factory.score).parameters)[1:]
        _check_settings(name, settings, [*own, *_SHARED])
        options = {key: value for key, value in settings.items() if key in _SHARED}
        mine = {key: value for key, value in settings.items() if key in own}
        single = not factory.needs.set_score
        return Scores(
            model, batches, [factory], seed=seed, single=single, settings={name: mine}, **options
        )  # type: ignore[return-value]
    known = inspect.signature(factory).parameters
    _check_settings(name, settings, [setting for setting in known if setting not in given])
    if "costs" in known and costs is None:
        raise UserError(
            f"proxy '{name}' reads the costs of an architecture; pass costs=Costs(model, shape)"
        )
    metric: Any = factory(
        **{key: value for key, value in given.items() if key in known}, **settings
    )
    return metric


_SHARED = (
    "init",
    "repeats",
    "drop_shortcuts",
    "drop_squeeze_excite",
    "canonical",
    "loss",
    "memory_format",
)


def _check_settings(name: str, settings: Mapping[str, Any], own: Sequence[str]) -> None:
    for setting in settings:
        if setting not in own:
            allowed = ", ".join(own) or "none"
            raise UserError(
                f"proxy '{name}' has no setting '{setting}'; it has: "
                f"{allowed}{did_you_mean(setting, own)}"
            )


def build_all(
    names: Sequence[str],
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    costs: Callable[[Architecture], Mapping[str, float]],
    seed: int = 0,
    canonical: Callable[[Architecture], Architecture] | None = None,
    strict: bool = False,
    loss: Loss | None = None,
) -> Callable[[Architecture], dict[str, float]]:
    """Several proxies as one metric: arch -> {name, or "name.part": value}; those that need the
    same pass share it.

    `canonical`, `strict` and `loss` (None: cross-entropy): see `Scores`.
    """
    from archsmith.metrics.proxies.scores import Scores

    for name in names:
        require_known("proxy", name, PROXIES)
    counted = [name for name in names if ".baselines:" in PROXIES.get(name, ("",))[0]]
    metrics = {name: build(name, model, batches, costs=costs, seed=seed) for name in counted}
    scored = [named(name) for name in names if name not in counted]
    options: dict[str, Any] = {} if loss is None else {"loss": loss}
    together = (
        Scores(model, batches, scored, seed=seed, canonical=canonical, strict=strict, **options)
        if scored
        else None
    )

    def scores(arch: Architecture) -> dict[str, float]:
        values: dict[str, float] = {} if together is None else together(arch)  # type: ignore[assignment]
        values |= {name: float(metric(arch)) for name, metric in metrics.items()}
        order = {label_of(name): position for position, name in enumerate(names)}
        return dict(sorted(values.items(), key=lambda item: order[item[0].partition(".")[0]]))

    return scores
