"""Training weights that many architectures share: what one step computes, under a sampler and a
teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from torch import Tensor, nn

from archsmith._internal.seeding import mix
from archsmith.elastic.supernet import switching
from archsmith.errors import UserError
from archsmith.space import Architecture
from archsmith.training.distillation import Distillation
from archsmith.training.samplers import Sampler
from archsmith.training.state import TrainState
from archsmith.training.step import Step, forward, loss_of


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
        distillation = self.distillation
        given = None if distillation is None else distillation.given(state, x)
        total: Tensor | None = None
        for position, arch in enumerate(drawn):
            with self._switch[1](arch):
                logits = forward(state, x)
                loss = loss_of(state, logits, y)
                if distillation is not None:
                    loss = distillation.mixed(state, logits, loss, given)
                (loss / len(drawn)).backward()
            if position == 0 and distillation is not None and distillation.teacher == "largest":
                given = logits.detach()
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return total / len(drawn)

    def __getstate__(self) -> dict[str, Any]:
        """For another process or thread: without what was made for one module in this one."""
        return {"distillation": self.distillation, "_switch": None}
