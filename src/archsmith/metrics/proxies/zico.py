"""ZiCo (Li et al., ICLR 2023, arXiv 2301.11300): how consistent an untrained network's gradients
are over mini-batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.errors import EvaluationFailed, UserError, did_you_mean
from archsmith.metrics.proxies.reading import Init, Loss, Needs, Proxy, Reading
from archsmith.metrics.proxies.scores import Scores
from archsmith.metrics.proxies.untouched import untouched
from archsmith.space import Architecture

Std = Literal["signed", "abs"]
Reduce = Literal["sum", "mean"]


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

    with g_i the gradient of batch i's mean loss (equation 15). Layers: the `weight` of each Conv2d
    and Linear. Batches: x (B, C, H, W) with labels y, at least two (the paper's number is 2, each
    of 128 images). Standard deviation: population (ddof 0). As in the released code: a weight whose
    deviation is exactly 0 counts nothing, no epsilon anywhere, and a layer in which nothing counts
    adds nothing. `std`: of the signed gradient (the code, the default) or of its absolute value
    (the paper). `reduce="mean"`: the inner sum divided by the number of weights that count. A
    weight that the loss does not reach counts nothing.

    Train mode (batch statistics); weights, modes, buffers, `.grad` and the global RNG are left as
    they were; `seed` is for Dropout. Raises EvaluationFailed where the score is not finite.
    """
    with untouched(module, seed), torch.enable_grad():
        return zico_of(Reading(module, batches, loss=loss), std, reduce)


def zico_of(reading: Reading, std: Std = "signed", reduce: Reduce = "sum") -> float:
    """`zico` of passes that others may read, too."""
    _check("std", std, get_args(Std))
    _check("reduce", reduce, get_args(Reduce))
    if len(reading.batches) < 2:
        raise UserError(
            f"zico compares gradients of at least 2 batches, got {len(reading.batches)}"
        )
    gradients = [
        [None if g is None else g.detach() for g in reading.gradients(i)]
        for i in range(len(reading.batches))
    ]
    sums = [
        _layer_sum(layer, std, reduce)
        for layer in zip(*gradients, strict=True)
        if any(g is not None for g in layer)
    ]
    totals = torch.stack(sums).tolist() if sums else []  # one read for all layers
    score = math.fsum(
        math.log(total) if math.isfinite(total) else math.nan for total in totals if total != 0.0
    )
    if not math.isfinite(score):
        raise EvaluationFailed(
            f"ZiCo is {score}: the gradients of the fresh network are not finite"
        )
    return score


def _check(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(
            f"zico: {name}={value!r} is not one of "
            f"{', '.join(allowed)}{did_you_mean(str(value), allowed)}"
        )


def _layer_sum(gradients: tuple[Tensor | None, ...], std: Std, reduce: Reduce) -> Tensor:
    """The inner sum of one layer, float64 scalar: ratios are heavy-tailed, one weight may outweigh
    its layer."""
    like = next(g for g in gradients if g is not None)
    present = [torch.zeros_like(like) if g is None else g.float() for g in gradients]
    absolute = [g.abs() for g in present]
    if len(present) == 2:  # mean |g| / std = (|a| + |b|) / |a - b|: both halves cancel
        first, second = present if std == "signed" else absolute
        numerator, denominator = absolute[0] + absolute[1], (first - second).abs_()
    else:  # float64, so that equal gradients have a deviation of exactly 0
        numerator = torch.stack(absolute).double().mean(0)
        denominator = (
            torch.stack(present if std == "signed" else absolute).double().std(0, correction=0)
        )
    counts = denominator != 0
    ratio = torch.where(counts, numerator / denominator, 0.0)  # 0 / 0 is replaced
    total = ratio.sum(dtype=torch.float64)
    return total / counts.sum().clamp(min=1) if reduce == "mean" else total


def _zico_bc(reading: Reading, beta: float = 1.0) -> float:
    """Lee and others (ICCV workshops 2023), equation 5: ZiCo - beta * sum over layers of ln(H * W /
    sqrt(C)).

    (H, W) and C: positions and channels of a layer's output; a Linear layer's output has one
    position.
    """
    score = zico_of(reading)
    for _, shape in reading.forward().shapes:
        height, width = (shape[2], shape[3]) if len(shape) == 4 else (1, 1)
        channels = shape[1] if len(shape) == 4 else shape[-1]
        score -= beta * math.log(height * width / math.sqrt(channels))
    return score


ZICO = Proxy("zico", zico_of, Needs(batches=2, labels=True))
ZICO_BC = Proxy("zico_bc", _zico_bc, Needs(batches=2, labels=True, keep=frozenset({"shapes"})))


class ZiCo:
    """ZiCo as a metric: arch -> score of `extract(model, arch, weights="fresh")`, the mean over
    `repeats` initialisations.

    `batches`: drawn once and used for every architecture (common random numbers: less noise in the
    ranking); augmented or not, as drawn. The weights of an architecture depend on (`seed`, repeat,
    arch.key) only, so a score does not depend on the order of asking. `init`: "default" is torch's
    (what the released code does), "kaiming" (normal, fan-in; what the paper says) or "xavier"
    (normal). `drop_shortcuts`, `drop_squeeze_excite`: score without them, as the released code does
    in the Zen space. `memory_format`: channels last takes two thirds of the time of contiguous on a
    CPU; scores differ by 0.5 % (median), ranks agree (Spearman 0.997). `std`, `reduce`, `loss`: see
    `zico`.
    """

    name = "zico"
    proxy = ZICO

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
        self._scores = Scores(
            model,
            batches,
            [ZICO],
            init=init,
            repeats=repeats,
            drop_shortcuts=drop_shortcuts,
            drop_squeeze_excite=drop_squeeze_excite,
            settings={"zico": {"std": std, "reduce": reduce}},
            loss=loss,
            seed=seed,
            memory_format=memory_format,
            single=True,
        )

    @property
    def passes(self) -> int:
        """Forward-backward passes per score, for the ledger."""
        return len(self._scores.batches) * self._scores.repeats

    def __call__(self, arch: Architecture) -> float:
        """arch -> score; raises EvaluationFailed where it is not finite."""
        return self._scores(arch)  # type: ignore[return-value]
