"""Gradient-based search: the weights of a decision's options are learned beside the shared weights,
a step of each a batch.

A method says how the weights of a mixture come from the architecture parameters ("alpha", one a
decision and option), and what the two steps are. What it learned is in `TrainState.extra`, so a
training that was stopped goes on as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith._internal.seeding import mix, seeded
from archsmith.elastic import Mixture
from archsmith.elastic.mixing import mixed, relaxing
from archsmith.elastic.supernet import switching
from archsmith.errors import UserError
from archsmith.metrics.cost import macs_while
from archsmith.space import Architecture, SearchSpace
from archsmith.training.draws import concrete, dirichlet, hard, near_uniform, softmax
from archsmith.training.state import TrainState
from archsmith.training.step import Backward, forward, loss_of

Stream = Callable[[int], Iterator[tuple[Tensor, Tensor]]]  # the step to begin at -> endless batches
# alpha (n,), share of the budget spent, generator -> weights, the live ones (None: all)
Draw = Callable[[Tensor, float, torch.Generator], tuple[Tensor, tuple[int, ...] | None]]
_COUNTED = 50  # steps, after which the MACs of a pass are counted anew
_SMALL = 1e-3  # standard deviation of the alphas at the start


# -- methods -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Relaxation:
    """One gradient method. `order` 2: the architecture step looks one weight step ahead. `bilevel`:
    alphas learn from held-out images (else from the training images of the same step). `paths`:
    weights learn from one random architecture a step. `edges`: the mixtures into one node also
    compete, as wholes (PC-DARTS). `penalty` of the alphas is added to their loss. Adam with `lr`,
    `betas` and `weight_decay` trains the alphas.
    """

    draw: Draw
    order: int = 1
    bilevel: bool = True
    paths: bool = False
    edges: bool = False
    penalty: Callable[[Tensor], Tensor] | None = None
    penalty_scale: float = 1e-3
    lr: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 1e-3


METHODS = {
    "darts": Relaxation(softmax),
    "darts-2": Relaxation(softmax, order=2),
    "pc-darts": Relaxation(softmax),  # on a model built with `partial`; `edges` in the DARTS space
    "gdas": Relaxation(hard),
    "snas": Relaxation(concrete, bilevel=False),
    "setn": Relaxation(softmax, paths=True),  # Dong and Yang, ICCV 2019
    "drnas": Relaxation(dirichlet, penalty=near_uniform),
}


def learning(
    method: Relaxation,
    space: SearchSpace,
    held_out: Stream,
    options: Mapping[str, Sequence[Any]] | None = None,
) -> Backward:
    """For `advance(backward=...)`: an architecture step on a batch of `held_out`, then the
    gradients of the weights.

    `space`: what the alphas are of, a restricted one for a leaf of a tree: a decision with one
    option has no alpha. `options`: those of the mixtures, default `mixed(model, space)`.
    """

    def prepared(state: TrainState) -> _Relaxed:
        choices = mixed(state.module, space) if options is None else options
        return _Relaxed(
            relaxing(state.module), Alphas(state, choices, method), switching(state.module)
        )

    relaxed_for = once_for_a_module(prepared)

    def backward(state: TrainState, x: Tensor, y: Tensor, share: float) -> Tensor:
        step = _RelaxedStep(relaxed_for(state), state, share)
        if method.bilevel:
            step.learn_alphas((x, y), next(held_out(state.step)))
        if method.paths:
            return step.learn_path(
                x, y, space.sample(Random(mix(state.seed, "architectures", state.step)))
            )
        return step.learn_weights(x, y)

    return backward


T = TypeVar("T")


def once_for_a_module(make: Callable[[TrainState], T]) -> Callable[[TrainState], T]:
    """What `make` gives, made anew only where the training's module is another one."""
    kept: list[tuple[nn.Module, T]] = []

    def get(state: TrainState) -> T:
        if not kept or kept[0][0] is not state.module:
            kept[:] = [(state.module, make(state))]
        return kept[0][1]

    return get


@dataclass(frozen=True)
class _Relaxed:
    """A module under training: how it is run as a mixture and as one architecture, and its
    alphas."""

    mixed: Callable[[Mapping[str, Mixture]], AbstractContextManager[Any]]
    alphas: Alphas
    switch: Callable[[Architecture], AbstractContextManager[Any]]


class _RelaxedStep:
    """The parts of one step; all mixtures of a step are drawn by one generator, in the order in
    which they are asked for."""

    def __init__(self, relaxed: _Relaxed, state: TrainState, share: float) -> None:
        self._relaxed, self._alphas, self._state, self._share = (
            relaxed,
            relaxed.alphas,
            state,
            share,
        )
        self._generator = torch.Generator().manual_seed(mix(state.seed, "mixtures", state.step))

    def learn_alphas(self, train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]) -> None:
        """The architecture step, on a held-out batch; of second order it looks one weight step
        ahead."""
        second, state, alphas = self._alphas.method.order == 2, self._state, self._alphas
        self._enter(len(held_out[0]) + (3 * len(train[0]) if second else 0), train[0])
        if not second:
            alphas.learn(
                torch.autograd.grad(
                    alphas.penalized(self._loss(*held_out)), alphas.tensors, allow_unused=True
                )
            )
            return
        weights = [p for p in state.module.parameters() if p.requires_grad]
        rate = float(state.optimizer.param_groups[0]["lr"])
        losses = (lambda: self._loss(*train)), (lambda: self._loss(*held_out))
        alphas.learn(hypergradient(*losses, weights=weights, alphas=alphas.tensors, rate=rate))

    def learn_weights(self, x: Tensor, y: Tensor) -> Tensor:
        """Gradients of the weights under a mixture; where there is no bilevel step the alphas learn
        from the same ones."""
        self._enter(len(x), x)
        value = self._loss(x, y)
        value.backward()
        if not self._alphas.method.bilevel:
            self._alphas.learn([a.grad for a in self._alphas.tensors])
        for tensor in self._alphas.tensors:
            tensor.grad = None
        return value.detach()

    def learn_path(self, x: Tensor, y: Tensor, arch: Architecture) -> Tensor:
        """Gradients of the weights of one architecture."""
        with self._relaxed.switch(arch):
            return learn_path(self._state, x, y)

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        with self._relaxed.mixed(self._alphas.mixtures(self._share, self._generator)):
            return loss_of(self._state, forward(self._state, x), y)

    def _enter(self, images: int, x: Tensor) -> None:
        def mixture(some: Tensor) -> Tensor:
            # counting must not move the step's draws
            own = torch.Generator().manual_seed(self._state.step)
            with self._relaxed.mixed(self._alphas.mixtures(self._share, own)):
                return forward(self._state, some)

        enter(self._state, "mixture", images, run=mixture, x=x)


def enter(
    state: TrainState,
    kind: str,
    images: int,
    *,
    run: Callable[[Tensor], Any],
    x: Tensor,
    passes: float = 3.0,
) -> None:
    """Enters images in the ledger, each `passes` forward passes dear. What one costs is counted now
    and then, on two images."""
    name = f"macs.{kind}"
    if name not in state.extra or state.step % _COUNTED == 0:
        with seeded(0, state.device):
            macs = macs_while(lambda: run(x[:2]))
        state.extra[name] = torch.tensor(macs / len(x[:2]), dtype=torch.float64)
    state.passes += images
    state.macs += passes * images * float(state.extra[name])


def learn_path(state: TrainState, x: Tensor, y: Tensor) -> Tensor:
    """Gradients of the weights of the architecture that the module is switched to."""
    enter(state, "path", len(x), run=partial(forward, state), x=x)
    value = loss_of(state, forward(state, x), y)
    value.backward()
    return value.detach()


class Alphas:
    """The architecture parameters of a training, in its `extra`, with Adam's moments."""

    def __init__(
        self, state: TrainState, options: Mapping[str, Sequence[Any]], method: Relaxation
    ) -> None:
        self.options, self.method = {name: tuple(row) for name, row in options.items()}, method
        shapes = {name: len(row) for name, row in self.options.items() if len(row) > 1}
        if not shapes:
            raise UserError("nothing is left to choose: every decision has one option")
        if method.edges:
            shapes |= {f"into {node}": len(names) for node, names in entered(self.options).items()}
        self._alphas = {
            name: _kept(state, f"alpha.{name}", count) for name, count in shapes.items()
        }
        self.tensors = list(self._alphas.values())
        self._optimizer = adam(state, {f"alpha.{n}": t for n, t in self._alphas.items()}, method)

    def mixtures(self, share: float, generator: torch.Generator) -> dict[str, Mixture]:
        """A mixture for each decision: a draw, or its only option."""
        device = self.tensors[0].device
        drawn = {}
        edges = self._edges()
        for name, options in self.options.items():
            weights, live = (
                self.method.draw(self._alphas[name], share, generator)
                if len(options) > 1
                else (torch.ones(1, device=device), None)
            )
            drawn[name] = Mixture(
                options, weights * edges[name] if name in edges else weights, live
            )
        return drawn

    def _edges(self) -> dict[str, Tensor]:
        if not self.method.edges:
            return {}
        return {
            name: self._alphas[f"into {node}"].softmax(0)[position]
            for node, names in entered(self.options).items()
            for position, name in enumerate(names)
        }

    def penalized(self, loss: Tensor) -> Tensor:
        """The loss of the architecture step."""
        if self.method.penalty is None:
            return loss
        return (
            loss
            + self.method.penalty_scale
            * torch.stack([self.method.penalty(alpha) for alpha in self.tensors]).sum()
        )

    def learn(self, gradients: Sequence[Tensor | None]) -> None:
        """One step of Adam."""
        for tensor, gradient in zip(self.tensors, gradients, strict=True):
            tensor.grad = gradient
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


def entered(names: Mapping[str, Any]) -> dict[str, list[str]]:
    """Mixtures by the node that their edges enter: of "...edge0to2", "...edge1to2" those of
    "...2"."""
    edges: dict[str, list[str]] = {}
    for name in names:
        head, edge, ends = name.rpartition("edge")
        if edge and "to" in ends:
            edges.setdefault(f"{head}{ends.split('to')[1].partition('.')[0]}", []).append(name)
    return {node: members for node, members in edges.items() if len(members) > 1}


class _Rates(Protocol):
    """What Adam is told."""

    @property
    def lr(self) -> float: ...
    @property
    def betas(self) -> tuple[float, float]: ...
    @property
    def weight_decay(self) -> float: ...


def adam(state: TrainState, tensors: Mapping[str, Tensor], method: _Rates) -> torch.optim.Adam:
    """Adam over tensors of `state.extra`; its moments are kept there too."""
    optimizer = torch.optim.Adam(
        [*tensors.values()],
        lr=method.lr,
        betas=method.betas,
        weight_decay=method.weight_decay,
        foreach=True,
    )
    for name, tensor in tensors.items():
        moments = {
            key: state.extra.setdefault(f"{name}.{key}", torch.zeros_like(tensor))
            for key in ("exp_avg", "exp_avg_sq")
        }
        steps = state.extra.setdefault(f"{name}.step", torch.zeros(()))
        optimizer.state[tensor].update(step=steps, **moments)
    return optimizer


def _kept(state: TrainState, name: str, count: int) -> Tensor:
    """The tensor of that name, drawn where it is not there."""
    if name not in state.extra:
        generator = torch.Generator().manual_seed(mix(state.seed, name))
        state.extra[name] = (_SMALL * torch.randn(count, generator=generator)).to(state.device)
    return state.extra[name].requires_grad_()


def hypergradient(
    train_loss: Callable[[], Tensor],
    held_out_loss: Callable[[], Tensor],
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    rate: float,
) -> list[Tensor]:
    """Gradient in the alphas of the held-out loss after one plain gradient step of the weights
    (DARTS, equations 7 and 8).

    d val(w') / d alpha - rate * (d train(w+) / d alpha - d train(w-) / d alpha) / (2 eps), w' = w -
    rate * d train / d w, w+- = w +- eps * d val(w') / d w', eps = 0.01 / |d val(w') / d w'|. The
    weights are as before afterwards. (The released code puts momentum and weight decay into the
    step as well.)
    """

    def gradients(loss: Tensor, wanted: Sequence[Tensor]) -> list[Tensor]:
        grads = torch.autograd.grad(loss, wanted, allow_unused=True)
        return [torch.zeros_like(w) if g is None else g for g, w in zip(grads, wanted, strict=True)]

    before = [w.detach().clone() for w in weights]

    @torch.no_grad()
    def place(direction: Sequence[Tensor], length: float) -> None:
        for w, origin, d in zip(weights, before, direction, strict=True):
            w.copy_(origin).add_(d, alpha=length)

    try:
        place(gradients(train_loss(), weights), -rate)
        both = gradients(held_out_loss(), [*alphas, *weights])
        direct, ahead = both[: len(alphas)], both[len(alphas) :]
        size = float(torch.stack([(d * d).sum() for d in ahead]).sum().sqrt())
        if size == 0.0:
            return direct
        eps = 0.01 / size
        place(ahead, eps)
        above = gradients(train_loss(), alphas)
        place(ahead, -eps)
        below = gradients(train_loss(), alphas)
    finally:
        place(before, 0.0)
    return [d - rate * (a - b) / (2 * eps) for d, a, b in zip(direct, above, below, strict=True)]


# -- what was found ------------------------------------------------------------------------------


def probabilities(
    state: TrainState, method: Relaxation, options: Mapping[str, Sequence[Any]]
) -> dict[str, dict[Any, float]]:
    """Mixture -> option -> how much of it: the softmax of the alphas, for a Dirichlet its mean;
    edges included."""
    shares = {}
    of_edges: dict[str, float] = {}
    if method.edges:
        for node, names in entered(options).items():
            weights = state.extra[f"alpha.into {node}"].detach().softmax(0).tolist()
            of_edges |= dict(zip(names, weights, strict=True))
    for name, here in options.items():
        alpha = state.extra[f"alpha.{name}"].detach() if len(here) > 1 else torch.zeros(1)
        if method.draw is dirichlet:
            beta = F.elu(alpha) + 1.0
            values = beta / beta.sum()
        else:
            values = alpha.softmax(0)
        shares[name] = dict(zip(here, (values * of_edges.get(name, 1.0)).tolist(), strict=True))
    return shares


def derived(
    model: nn.Module, space: SearchSpace, shares: Mapping[str, Mapping[Any, float]]
) -> Architecture:
    """The architecture of the strongest options; a model whose mixtures are not its decisions has a
    `discretize` for it."""
    discretize = getattr(model, "discretize", None)
    if discretize is not None:
        return nearest(space, discretize(space, shares))
    chosen = {name: max(options, key=lambda o, p=options: p[o]) for name, options in shares.items()}  # type: ignore[misc]
    return nearest(space, chosen)


def nearest(space: SearchSpace, options: Mapping[str, Any]) -> Architecture:
    """The architecture of these options, or where `where` forbids it or an option is not there, one
    that differs little.

    A decision that is not among them has its last option, with which it was trained.
    """
    everything = space.universe
    return space.decode(
        [
            all_.index(options[n]) if n in options else len(all_) - 1
            for n, all_ in everything.items()
        ]
    )


def sampled(
    shares: Mapping[str, Mapping[Any, float]], space: SearchSpace, count: int, seed: int = 0
) -> list[Architecture]:
    """Distinct architectures drawn by the probabilities, at most `count`; for models whose mixtures
    are their decisions."""
    rng, archs = Random(seed), dict[Architecture, None]()
    for _ in range(4 * count):
        options = {
            name: rng.choices(list(row), list(row.values()))[0] for name, row in shares.items()
        }
        archs[nearest(space, options)] = None
        if len(archs) == count:
            break
    return list(archs)
