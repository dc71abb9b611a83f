"""ENAS: a controller that learns to emit architectures, beside the shared weights, by REINFORCE on
held-out images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from archsmith._internal.seeding import mix, seeded
from archsmith.elastic.supernet import switching
from archsmith.errors import UserError
from archsmith.space import Architecture, SearchSpace
from archsmith.training.relaxation import (
    Stream,
    adam,
    enter,
    learn_path,
    nearest,
    once_for_a_module,
)
from archsmith.training.state import TrainState
from archsmith.training.step import Backward, forward, loss_of


class Controller(nn.Module):
    """Emits one option after another, each given those before (ENAS: Pham and others, ICML 2018;
    Zoph and Le, ICLR 2017)."""

    def __init__(self, space: SearchSpace, hidden: int = 100) -> None:
        super().__init__()
        self.space = space
        self.names = [name for name, options in space.options.items() if len(options) > 1]
        if not self.names:
            raise UserError("nothing is left to choose: every decision has one option")
        self.cell = nn.LSTMCell(hidden, hidden)
        self.first = nn.Parameter(torch.zeros(hidden))
        self.embeddings = nn.ModuleDict(
            {str(i): nn.Embedding(len(space.options[n]), hidden) for i, n in enumerate(self.names)}
        )
        self.heads = nn.ModuleDict(
            {str(i): nn.Linear(hidden, len(space.options[n])) for i, n in enumerate(self.names)}
        )
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def forward(self, generator: torch.Generator) -> tuple[Architecture, Tensor, Tensor]:
        """An architecture, the logarithm of its probability, the entropy along the way. Decisions
        that it does not have count nothing."""
        hidden = cell = torch.zeros(1, self.cell.hidden_size)
        given, chosen, logs, entropies = self.first[None], {}, {}, {}
        for i, name in enumerate(self.names):
            hidden, cell = self.cell(given, (hidden, cell))
            logits = self.heads[str(i)](hidden)[0]
            place = torch.multinomial(logits.softmax(0), 1, generator=generator)
            chosen[name] = self.space.options[name][int(place)]
            logs[name] = logits.log_softmax(0)[place[0]]
            entropies[name] = -(logits.softmax(0) * logits.log_softmax(0)).sum()
            given = self.embeddings[str(i)](place)
        arch = nearest(self.space, chosen)
        present = [name for name in self.names if name in arch and arch[name] == chosen[name]]
        zero = torch.zeros(())
        return (
            arch,
            sum((logs[n] for n in present), zero),
            sum((entropies[n] for n in present), zero),
        )


@dataclass(frozen=True)
class Enas:
    """Settings of ENAS. A controller step, after every `every` weight steps: `samples`
    architectures, each rewarded with its accuracy on one held-out batch, REINFORCE with a moving
    baseline."""

    every: int = 8
    samples: int = 20
    entropy: float = 1e-4
    baseline: float = 0.99
    lr: float = 1e-3
    betas: tuple[float, float] = (0.0, 0.999)
    weight_decay: float = 0.0


def controlled(settings: Enas, space: SearchSpace, held_out: Stream) -> Backward:
    """For `advance(backward=...)`: weights learn from one architecture of the controller a step;
    now and then it learns too."""

    def prepared(state: TrainState) -> tuple[Controller, torch.optim.Adam, Any]:
        controller = controller_of(state, space)
        tensors = {f"controller.{name}": p for name, p in controller.named_parameters()}
        return controller, adam(state, tensors, settings), switching(state.module)

    controller_for = once_for_a_module(prepared)

    def backward(state: TrainState, x: Tensor, y: Tensor, share: float) -> Tensor:
        controller, optimizer, switch = controller_for(state)
        generator = torch.Generator().manual_seed(mix(state.seed, "controller", state.step))
        if state.step and state.step % settings.every == 0:
            batch = next(held_out(state.step // settings.every))
            total = _reward(
                settings, state, partial(controller, generator), switch=switch, batch=batch
            )
            total.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            arch = controller(generator)[0]
        with switch(arch):
            return learn_path(state, x, y)

    return backward


def controller_of(state: TrainState, space: SearchSpace) -> Controller:
    """The controller of a training, as far as it learned."""
    with seeded(mix(state.seed, "controller")):
        controller = Controller(space)
    for name, parameter in controller.named_parameters():
        if f"controller.{name}" in state.extra:
            parameter.data.copy_(state.extra[f"controller.{name}"])
        state.extra[f"controller.{name}"] = parameter.data
    return controller


def _reward(
    settings: Enas,
    state: TrainState,
    draw: Callable[[], tuple[Architecture, Tensor, Tensor]],
    *,
    switch: Callable[[Architecture], AbstractContextManager[Any]],
    batch: tuple[Tensor, Tensor],
) -> Tensor:
    """The loss of one controller step (Williams, 1992): the mean over samples of -(reward -
    baseline) * log p - entropy.

    The reward is the accuracy; where there are no classes, minus the loss.
    """
    x, y = batch
    total = torch.zeros(())
    baseline = state.extra.setdefault("controller baseline", torch.full((), float("nan")))
    for _ in range(settings.samples):
        arch, log, entropy = draw()
        with torch.no_grad(), switch(arch):
            enter(state, "path", len(x), run=partial(forward, state), x=x, passes=1.0)
            outputs = forward(state, x)
            if state.recipe.loss == "cross-entropy":
                reward = float(
                    (outputs.argmax(1) == (y if y.dim() == 1 else y.argmax(1))).float().mean()
                )
            else:
                reward = -float(loss_of(state, outputs, y))
        reward += settings.entropy * float(entropy.detach())
        baseline.copy_(
            torch.where(
                baseline.isnan(),
                reward,
                settings.baseline * baseline + (1 - settings.baseline) * reward,
            )
        )
        total = total - (reward - float(baseline)) * log
    return total / settings.samples
