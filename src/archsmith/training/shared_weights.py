"""Training weights that many architectures share: what one step computes, under a sampler and a
teacher."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith._internal.seeding import mix
from archsmith.elastic.supernet import switching
from archsmith.errors import UserError
from archsmith.space import Architecture
from archsmith.training.samplers import Sampler
from archsmith.training.state import TrainState
from archsmith.training.step import Step, forward, loss_of


@dataclass(frozen=True)
class Distillation:
    """Learn from a teacher's probabilities besides the labels: (1 - weight) * loss + weight *
    cross-entropy with them.

    `teacher`: a fixed network, or "largest": the first architecture of each step, which itself
    learns from the labels alone and whose outputs count as given (in-place distillation; Yu and
    Huang, ICCV 2019). `temperature` softens both sides; the term is scaled by its square (Hinton,
    Vinyals and Dean, 2015).
    """

    teacher: nn.Module | Literal["largest"]
    weight: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1 or not self.temperature > 0:
            raise UserError(
                f"distillation: weight={self.weight!r} must lie in [0, 1], "
                f"temperature={self.temperature!r} above 0"
            )


def shared_weights(
    sampler: Sampler,
    *,
    distillation: Distillation | None = None,
    macs: Callable[[Architecture], float] | None = None,
) -> Step:
    """For `advance(backward=...)`: each step trains the sampled architectures on its batch, one
    after the other.

    Gradients are the mean over them, so the learning rate means the same for one and for several.
    All cells of a network that declare one decision follow it: one architecture per batch. What no
    sampled architecture uses is left alone by the optimizer (`train_step`); a tensor used in part
    is updated as a whole, its unused part with gradient 0. `macs`: of one image in an architecture,
    for the ledger.
    """

    def draw(state: TrainState, share: float) -> Sequence[Architecture]:
        archs = sampler(Random(mix(state.seed, "architectures", state.step)), share)
        if not archs:
            raise UserError(f"the sampler gave no architecture for step {state.step}")
        return archs

    return Step(Paths(distillation), draw, macs)


def in_turn(step: Step, archs: Sequence[Architecture]) -> Step:
    """The same, but these architectures take turns, one a batch."""
    given = list(archs)
    return replace(step, draw=lambda state, share: [given[state.step % len(given)]])


@dataclass
class Paths:
    """What a step computes: the mean gradient over the architectures drawn."""

    distillation: Distillation | None = None
    _switch: tuple[nn.Module, Callable[..., AbstractContextManager[nn.Module]]] | None = field(
        default=None, repr=False
    )

    def __call__(
        self, state: TrainState, x: Tensor, y: Tensor, drawn: Sequence[Architecture]
    ) -> Tensor:
        """The mean loss, detached."""
        if self._switch is None or self._switch[0] is not state.module:
            self._switch = state.module, switching(state.module)
        distillation, given = self.distillation, _given(state, x, self.distillation)
        total: Tensor | None = None
        for position, arch in enumerate(drawn):
            with self._switch[1](arch):
                logits = forward(state, x)
                loss = loss_of(state, logits, y)
                if distillation is not None and given is not None:
                    loss = (1.0 - distillation.weight) * loss + distillation.weight * _taught(
                        state, logits, given, distillation
                    )
                (loss / len(drawn)).backward()
            if position == 0 and distillation is not None and distillation.teacher == "largest":
                given = logits.detach()
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return total / len(drawn)

    def __getstate__(self) -> dict[str, Any]:
        """For another process: without what was made for one module in this one, a teacher from the
        CPU."""
        distillation = self.distillation
        if distillation is not None and isinstance(distillation.teacher, nn.Module):
            distillation = replace(distillation, teacher=copy.deepcopy(distillation.teacher).cpu())
        return {"distillation": distillation, "_switch": None}


def _given(state: TrainState, x: Tensor, distillation: Distillation | None) -> Tensor | None:
    """What a fixed teacher makes of the batch, in evaluation mode."""
    if distillation is None or not isinstance(distillation.teacher, nn.Module):
        return None
    distillation.teacher.eval()
    with torch.no_grad():
        return forward(state, x, distillation.teacher.to(x.device))


def _taught(state: TrainState, logits: Tensor, given: Tensor, distillation: Distillation) -> Tensor:
    if state.recipe.loss == "squared error":
        return F.mse_loss(logits, given)
    heat = distillation.temperature
    return heat * heat * F.cross_entropy(logits / heat, (given / heat).softmax(1))
