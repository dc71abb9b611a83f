"""What proxies read of one network: forward and backward passes that are made when first asked for,
once, and shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.errors import EvaluationFailed, UserError

Keep = Literal["codes", "active", "outputs", "shapes", "input", "twice", "graph"]
Init = Literal["default", "kaiming", "xavier", "gaussian"]
Loss = Callable[[Tensor, Tensor], Tensor]
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU)


@dataclass(frozen=True)
class Needs:
    """What a score asks of the passes. `batches`: mini-batches of images it reads; `labels`:
    whether it reads their classes.

    `keep`: "codes" (which units are on), "active" (what activation functions give), "outputs" (what
    Conv2d and Linear layers give), "shapes" (of those), "input" (gradients with respect to the
    images), "twice" (gradients of gradients), "graph" (for gradients that it takes itself). `init`
    and `train`: in what state the network is scored. `own`: it makes its own passes. `set_score`:
    its parts are to be ranked over a set of networks.
    """

    batches: int = 1
    labels: bool = False
    keep: frozenset[Keep] = frozenset()
    init: Init = "default"
    train: bool = True
    own: bool = False
    set_score: bool = False

    @property
    def gradients(self) -> bool:
        """Whether it asks for gradients: of the loss, of the logits, or of its own passes."""
        return self.labels or self.own or bool(self.keep & {"input", "twice", "graph"})


@dataclass(frozen=True)
class Proxy:
    """A training-free score: `score(reading, **settings)` gives a float or named parts.

    `lower`: the smaller the better. `broken`: what a network is worth whose score is not finite,
    "failed" (it is left out of rankings) or "last". `parts`: their names, where it gives such.
    """

    name: str
    score: Callable[..., Any]
    needs: Needs = Needs()
    lower: bool = False
    broken: Literal["failed", "last"] = "failed"
    parts: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What its values are called."""
        return tuple(f"{self.name}.{part}" for part in self.parts) or (self.name,)


@dataclass
class Forward:
    """One forward pass. What was kept, in order: `codes`, (B, units in any order) of each
    activation function, `active`, `outputs`, `shapes`.
    """

    x: Tensor
    y: Tensor
    logits: Tensor
    codes: list[Tensor] = field(default_factory=list)
    active: list[Tensor] = field(default_factory=list)
    outputs: list[tuple[nn.Module, Tensor]] = field(default_factory=list)
    shapes: list[tuple[nn.Module, torch.Size]] = field(default_factory=list)
    gradients: tuple[Tensor | None, ...] | None = None
    active_gradients: tuple[Tensor | None, ...] = ()
    output_gradients: tuple[Tensor | None, ...] = ()


class Reading:
    """A plain network and mini-batches x (B, C, H, W), y (B,); inside `untouched`. Passes are kept
    until it is gone."""

    def __init__(
        self,
        network: nn.Module,
        batches: Sequence[tuple[Tensor, Tensor]],
        keep: frozenset[Keep] = frozenset(),
        loss: Loss = F.cross_entropy,
        generator: torch.Generator | None = None,
    ) -> None:
        self.network, self.batches, self.keep, self.loss = network, batches, keep, loss
        self.generator = torch.Generator().manual_seed(0) if generator is None else generator
        self._passes: dict[int, Forward] = {}
        self._made: dict[Any, Any] = {}

    @cached_property
    def layers(self) -> tuple[tuple[str, nn.Conv2d | nn.Linear], ...]:
        """Path and module of each Conv2d and Linear; those that share a weight once."""
        by_weight: dict[int, tuple[str, nn.Conv2d | nn.Linear]] = {}
        for path, module in self.network.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                by_weight.setdefault(id(module.weight), (path, module))
        if not by_weight:
            raise UserError(
                f"the score reads Conv2d and Linear layers; {type(self.network).__name__} has none"
            )
        return tuple(by_weight.values())

    @property
    def weights(self) -> list[Tensor]:
        """The weights of `layers`."""
        return [layer.weight for _, layer in self.layers]

    def forward(self, position: int = 0) -> Forward:
        """The pass of mini-batch `position`, with what `keep` says."""
        if position not in self._passes:
            if position >= len(self.batches):
                raise UserError(
                    f"the score reads {position + 1} mini-batches, got {len(self.batches)}"
                )
            x, y = self.batches[position]
            if "input" in self.keep and position == 0:
                x = x.detach().clone().requires_grad_(True)
            self._passes[position] = self._run(x, y, everything=position == 0)
        return self._passes[position]

    def gradients(self, position: int = 0) -> tuple[Tensor | None, ...]:
        """Of the mini-batch's mean loss, for each of `weights`; None where the loss does not reach
        it."""
        done = self.forward(position)
        if done.gradients is None:
            weights, outputs = self.weights, [output for _, output in done.outputs]
            again = position == 0 and bool(self.keep & {"input", "twice"})
            wanted = [*weights, *done.active, *outputs]
            # all but activations of what no weight moves
            reached = [tensor for tensor in wanted if tensor.requires_grad]
            of_reached = torch.autograd.grad(
                self.loss(done.logits, done.y),
                reached,
                retain_graph=again,
                create_graph=position == 0 and "twice" in self.keep,
                allow_unused=True,
            )
            by_tensor = dict(zip(map(id, reached), of_reached, strict=True))
            gradients = tuple(by_tensor.get(id(tensor)) for tensor in wanted)
            cut = len(weights) + len(done.active)
            done.gradients, done.active_gradients = (
                gradients[: len(weights)],
                gradients[len(weights) : cut],
            )
            done.output_gradients = gradients[cut:]
        return done.gradients

    @cached_property
    def input_gradient(self) -> Tensor:
        """d (sum of all logits) / d images of the first mini-batch, (B, C * H * W); zeros where no
        image reaches the logits."""
        done = self.forward()
        (gradient,) = torch.autograd.grad(
            done.logits.sum(), done.x, retain_graph=True, allow_unused=True
        )
        return (torch.zeros_like(done.x) if gradient is None else gradient).flatten(1)

    def once(self, make: Callable[[Reading], Any]) -> Any:
        """`make(self)`, made when first asked for: what several scores read beyond the passes
        here."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    def noise(self, count: int) -> Tensor:
        """(count, C, H, W) standard normal numbers like the images, from the reading's own
        generator."""
        like = self.batches[0][0]
        drawn = torch.randn(count, *like.shape[1:], generator=self.generator)
        return drawn.to(like.device).contiguous(
            memory_format=torch.channels_last if like.dim() == 4 else torch.contiguous_format
        )

    def _run(self, x: Tensor, y: Tensor, everything: bool) -> Forward:
        done = Forward(x, y, x)
        handles = []
        for module in self.network.modules() if everything else ():
            if isinstance(module, ACTIVATIONS) and self.keep & {"codes", "active"}:
                handles.append(module.register_forward_hook(_note_activation(done, self.keep)))
            if isinstance(module, nn.Conv2d | nn.Linear) and self.keep & {"outputs", "shapes"}:
                handles.append(module.register_forward_hook(_note_output(done, self.keep)))
        try:
            done.logits = self.network(x)
        finally:
            for handle in handles:
                handle.remove()
        if not isinstance(done.logits, Tensor):
            kind = type(done.logits).__name__
            raise EvaluationFailed(
                f"a score needs a network that returns its logits; this one returns {kind}"
            )
        return done


def _note_activation(done: Forward, keep: frozenset[Keep]) -> Callable[..., None]:
    def hook(_: nn.Module, __: Any, output: Tensor) -> None:
        if "codes" in keep:
            on = output.detach() > 0
            if on.dim() == 4 and on.is_contiguous(memory_format=torch.channels_last):
                # as it lies: no copy, and no score reads which unit is which
                on = on.permute(0, 2, 3, 1)
            done.codes.append(on.flatten(1))
        if "active" in keep:
            done.active.append(output)

    return hook


def _note_output(done: Forward, keep: frozenset[Keep]) -> Callable[..., None]:
    def hook(module: nn.Module, _: Any, output: Tensor) -> None:
        done.shapes.append((module, output.shape))
        if "outputs" in keep:
            done.outputs.append((module, output))

    return hook
