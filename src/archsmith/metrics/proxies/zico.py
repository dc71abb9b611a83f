"""ZiCo (Li et al., ICLR 2023, arXiv 2301.11300): how consistent an untrained network's gradients are over mini-batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.errors import EvaluationFailed, UserError, did_you_mean
from archsmith.metrics.proxies.surgery import without_shortcuts, without_squeeze_excite
from archsmith.metrics.proxies.untouched import untouched
from archsmith.seeding import mix
from archsmith.space import Architecture
from archsmith.supernet import extract

Std = Literal["signed", "abs"]
Reduce = Literal["sum", "mean"]
Init = Literal["default", "kaiming", "xavier"]
Loss = Callable[[Tensor, Tensor], Tensor]


def zico(
    module: nn.Module,
    batches: Sequence[tuple[Tensor, Tensor]],
    *,
    std: Std = "signed",
    reduce: Reduce = "sum",
    loss: Loss = F.cross_entropy,
    seed: int = 0,
) -> float:
    """The score of one plain network as it stands; larger is better.

        sum over layers l of  ln( sum over weights w of l of  mean_i |g_i(w)| / std_i(g_i(w)) )

    with g_i the gradient of batch i's mean loss (equation 15). Layers: the `weight` of each Conv2d and Linear. Batches: x (B,
    C, H, W) with labels y, at least two (the paper's number is 2, each of 128 images). Standard deviation: population (ddof 0).
    As in the released code: a weight whose deviation is exactly 0 counts nothing, no epsilon anywhere, and a layer in which
    nothing counts adds nothing. `std`: of the signed gradient (the code, the default) or of its absolute value (the paper).
    `reduce="mean"`: the inner sum divided by the number of weights that count. A weight that the loss does not reach counts
    nothing.

    Train mode (batch statistics); weights, modes, buffers, `.grad` and the global RNG are left as they were; `seed` is for
    Dropout. Raises EvaluationFailed where the score is not finite.
    """
    _check("std", std, get_args(Std))
    _check("reduce", reduce, get_args(Reduce))
    if len(batches) < 2:
        raise UserError(f"zico compares gradients of at least 2 batches, got {len(batches)}")
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    weights = list({id(layer.weight): layer.weight for layer in layers}.values())  # tied weights count once
    if not weights:
        raise UserError(f"zico reads Conv2d and Linear layers; {type(module).__name__} has none")
    with untouched(module, seed), torch.enable_grad():
        gradients = [_gradients(module, weights, x, y, loss) for x, y in batches]
    sums = [_layer_sum(layer, std, reduce) for layer in zip(*gradients, strict=True) if any(g is not None for g in layer)]
    totals = torch.stack(sums).tolist() if sums else []  # one read for all layers
    score = math.fsum(math.log(total) if math.isfinite(total) else math.nan for total in totals if total != 0.0)
    if not math.isfinite(score):
        raise EvaluationFailed(f"ZiCo is {score}: the gradients of the fresh network are not finite")
    return score


def _check(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"zico: {name}={value!r} is not one of {', '.join(allowed)}{did_you_mean(str(value), allowed)}")


def _gradients(module: nn.Module, weights: list[Tensor], x: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor | None, ...]:
    logits = module(x)
    if not isinstance(logits, Tensor):
        raise EvaluationFailed(
            f"zico needs a network that returns its logits; {type(module).__name__} returns {type(logits).__name__}"
        )
    return torch.autograd.grad(loss(logits, y), weights, allow_unused=True)


def _layer_sum(gradients: tuple[Tensor | None, ...], std: Std, reduce: Reduce) -> Tensor:
    """The inner sum of one layer, float64 scalar: ratios are heavy-tailed, one weight may outweigh its layer."""
    like = next(g for g in gradients if g is not None)
    present = [torch.zeros_like(like) if g is None else g.float() for g in gradients]
    absolute = [g.abs() for g in present]
    if len(present) == 2:  # mean |g| / std = (|a| + |b|) / |a - b|: both halves cancel
        first, second = present if std == "signed" else absolute
        numerator, denominator = absolute[0] + absolute[1], (first - second).abs_()
    else:  # float64, so that equal gradients have a deviation of exactly 0
        numerator = torch.stack(absolute).double().mean(0)
        denominator = torch.stack(present if std == "signed" else absolute).double().std(0, correction=0)
    counts = denominator != 0
    ratio = torch.where(counts, numerator / denominator, 0.0)  # 0 / 0 is replaced
    total = ratio.sum(dtype=torch.float64)
    return total / counts.sum().clamp(min=1) if reduce == "mean" else total


class ZiCo:
    """ZiCo as a metric: arch -> score of `extract(model, arch, weights="fresh")`, the mean over `repeats` initialisations.

    `batches`: drawn once and used for every architecture (common random numbers: less noise in the ranking); augmented or not,
    as drawn. The weights of an architecture depend on (`seed`, repeat, arch.key) only, so a score does not depend on the order
    of asking. `init`: "default" is torch's (what the released code does), "kaiming" (normal, fan-in; what the paper says) or
    "xavier" (normal). `drop_shortcuts`, `drop_squeeze_excite`: score without them, as the released code does in the Zen space.
    `memory_format`: channels last takes two thirds of the time of contiguous on a CPU; scores differ by 0.5 % (median), ranks
    agree (Spearman 0.997). `std`, `reduce`, `loss`: see `zico`.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[tuple[Tensor, Tensor]],
        *,
        std: Std = "signed",
        reduce: Reduce = "sum",
        init: Init = "default",
        repeats: int = 1,
        drop_shortcuts: bool = False,
        drop_squeeze_excite: bool = False,
        loss: Loss = F.cross_entropy,
        seed: int = 0,
        memory_format: torch.memory_format = torch.channels_last,
    ) -> None:
        _check("std", std, get_args(Std))
        _check("reduce", reduce, get_args(Reduce))
        _check("init", init, get_args(Init))
        if repeats < 1:
            raise UserError(f"zico: repeats={repeats!r} must be at least 1")
        self.name = "zico"
        self.model, self.seed, self.init, self.repeats = model, seed, init, repeats
        self.std, self.reduce, self.loss = std, reduce, loss
        self.drop_shortcuts, self.drop_squeeze_excite = drop_shortcuts, drop_squeeze_excite
        self.memory_format = memory_format
        self.batches = tuple((x.contiguous(memory_format=memory_format), y) for x, y in batches)
        if len(self.batches) < 2:
            raise UserError(f"zico compares gradients of at least 2 batches, got {len(self.batches)}")

    @property
    def passes(self) -> int:
        """Forward-backward passes per score, for the ledger."""
        return len(self.batches) * self.repeats

    def __call__(self, arch: Architecture) -> float:
        """arch -> score; raises EvaluationFailed where it is not finite."""
        return math.fsum(self._score(arch, repeat) for repeat in range(self.repeats)) / self.repeats

    def _score(self, arch: Architecture, repeat: int) -> float:
        seed = mix(self.seed, "zico", repeat, arch.key)
        network = fresh_network(self.model, arch, self.init, seed).to(
            device=self.batches[0][0].device, memory_format=self.memory_format
        )  # type: ignore[call-overload]
        if self.drop_squeeze_excite:
            network = without_squeeze_excite(network)
        if self.drop_shortcuts:
            network = without_shortcuts(network)
        return zico(network, self.batches, std=self.std, reduce=self.reduce, loss=self.loss, seed=seed)


def fresh_network(model: nn.Module, arch: Architecture, init: Init, seed: int) -> nn.Module:
    """The extracted network with newly drawn weights; for "kaiming" and "xavier" biases of Conv2d and Linear are 0."""
    generator = torch.Generator().manual_seed(seed)
    network = extract(model, arch, weights="fresh", generator=generator, device="cpu")
    if init == "default":
        return network
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if init == "kaiming":
                nn.init.kaiming_normal_(layer.weight, generator=generator)
            else:
                nn.init.xavier_normal_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
