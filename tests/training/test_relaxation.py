"""Gradient methods: mixtures by hand, gradients and optima in closed form on toys, cells of both
spaces, resumed trainings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsmith._internal.seeding import seeded
from archsmith.elastic import Choice, Mixture, OneOf
from archsmith.elastic.mixing import mixed, relax
from archsmith.elastic.supernet import active, search_space
from archsmith.elastic.tree import at_random
from archsmith.errors import UserError
from archsmith.metrics.cost import Costs
from archsmith.space import SearchSpace
from archsmith.spaces import build
from archsmith.spaces.catalog.edges import EDGE_NAMES
from archsmith.spaces.cell import Partial
from archsmith.training import Recipe, advance, relaxation, start
from archsmith.training.checkpoint import load
from archsmith.training.controller import Controller, Enas, controlled, controller_of
from archsmith.training.relaxation import METHODS, Relaxation, learning
from archsmith.training.state import TrainState

SCALES = {"down": -1.0, "nothing": 0.0, "up": 1.5, "slightly": 0.5}


def test_what_is_derived_is_of_its_part_and_as_it_was_trained() -> None:
    """In a part that no decision tells; and where decisions beside the mixtures have a size."""
    model = build("darts-small", 10, 3, 16)
    space = search_space(model)
    found = {
        name: {o: 1.0 / len(options) for o in options}
        for name, options in mixed(model, space).items()
    }
    for part in at_random(space, 4).values():
        assert part.contains(relaxation.derived(model, part, found))
    both = SearchSpace({"op": ("a", "b"), "width": (4, 8, 16)})
    assert dict(relaxation.nearest(both, {"op": "a"})) == {"op": "a", "width": 16}


def test_a_controller_is_rewarded_where_there_are_no_classes() -> None:
    """Squared error: the reward is minus the loss, so a controller learns which option comes
    nearest to -2."""

    class Number(Toy):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, :1]

    torch.manual_seed(0)
    model, goal = Number(), (torch.zeros(8, 1), torch.full((8, 1), -2.0))
    state = start(
        model, Recipe(lr=1e-6, batch_size=8, ema=0.0, warmup=0.0, loss="squared error"), seed=0
    )
    settings = Enas(every=1, samples=8, lr=0.1)
    backward = controlled(settings, search_space(model), lambda step: iter([goal] * 400))
    advance(state, iter([goal] * 400), total_steps=150, backward=backward)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        drawn = [controller_of(state, search_space(model))(generator)[0] for _ in range(40)]
    assert sum(dict(arch) == {"first": "down", "second": "down"} for arch in drawn) > 30


class Scale(nn.Module):
    """What it makes of the input: a multiple."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.calls = factor, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.factor * x


class Toy(nn.Module):
    """Logits (z, 0), z the sum of two chosen multiples of 1: for class 0 the best is "up" twice,
    for class 1 "down" twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (self._one(name) for name in ("first", "second"))
        self.weight = nn.Parameter(torch.ones(1))

    def _one(self, name: str) -> OneOf:
        return OneOf(
            {key: Scale(factor) for key, factor in SCALES.items()},
            choice=Choice(*SCALES, name=name),
        )

    def forward(self, x: Tensor) -> Tensor:
        ones = self.weight * torch.ones(len(x))
        z = self.first(ones) + self.second(ones)
        return torch.stack([z, torch.zeros_like(z)], dim=1)


def stream(step: int = 0, label: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield torch.zeros(4, 1), torch.full((4,), label)


RECIPE = Recipe(lr=1e-9, batch_size=4, ema=0.0, weight_decay=0.0, warmup=0.0)


def toy_state(seed: int = 0) -> TrainState:
    return start(Toy(), RECIPE, seed=seed)


# -- mixtures --------------------------------------------------------------------------------------


def test_a_mixture_is_the_weighted_sum_and_gradients_reach_its_weights() -> None:
    model = Toy()
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], requires_grad=True)
    with relax(
        model,
        {"first": Mixture(tuple(SCALES), weights), "second": Mixture(("nothing",), torch.ones(1))},
    ):
        z = model(torch.zeros(1, 1))[0, 0]
        z.backward()
    assert float(z.detach()) == pytest.approx(-0.1 + 0.45 + 0.2)
    assert weights.grad is not None and weights.grad.tolist() == list(SCALES.values())
    assert isinstance(model.first.choice, Choice)


def test_one_hot_weights_are_the_architecture() -> None:
    with seeded(3):
        model = build("nasbench201", 4, 1, 8, device="cpu", width=4, cells=1)
    space, x = search_space(model), torch.randn(4, 1, 8, 8)
    for i in range(8):
        arch = space.sample(Random(i))
        with active(model, arch):
            expected = model(x)
        options = mixed(model)
        mixtures = {
            n: Mixture(o, torch.tensor([float(q == arch[n]) for q in o]))
            for n, o in options.items()
        }
        with relax(model, mixtures):
            assert torch.allclose(model(x), expected, atol=1e-5)


def test_only_live_options_are_computed_and_nothing_is_mixed_twice_at_once() -> None:
    model = Toy()
    one = Mixture(tuple(SCALES), torch.tensor([0.0, 0.0, 1.0, 0.0]), (2,))
    with relax(model, {"first": one, "second": one}):
        model(torch.zeros(1, 1))
        with (
            pytest.raises(UserError, match="inside `active`"),
            active(model, search_space_of(Toy())),
        ):
            pass
    assert [child.calls for child in model.first.children()] == [0, 0, 1, 0]  # type: ignore[union-attr]
    with pytest.raises(UserError, match="no mixture 'third'"), relax(model, {"third": one}):
        pass


def search_space_of(model: nn.Module) -> Any:
    return search_space(model).sample(Random(0))


def test_restricted_spaces_leave_fewer_options() -> None:
    model = build("darts-small", 4, 1, 8, width=4)
    space = search_space(model)
    assert len(mixed(model)) == 28 and len(mixed(model)["cells.0.graph.edge0to2"]) == 7
    assert "none" in mixed(model)["cells.0.graph.edge0to3"]
    restricted = space.restrict({"normal.node2.op1": ("skip_connect", "sep_conv_3x3")})
    assert set(mixed(model, restricted)["cells.0.graph.edge0to2"]) == {
        "skip_connect",
        "sep_conv_3x3",
    }


# -- closed forms ----------------------------------------------------------------------------------


def captured(
    method: Relaxation, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Tensor], list[Tensor]]:
    """The alphas of the toy and the gradients of its first architecture step."""
    found: list[list[Tensor]] = []
    before: list[list[Tensor]] = []

    def keep(self: relaxation.Alphas, gradients: Any) -> None:
        before.append([t.detach().clone() for t in self.tensors])
        found.append(
            [
                torch.zeros_like(t) if g is None else g
                for g, t in zip(gradients, self.tensors, strict=True)
            ]
        )

    monkeypatch.setattr(relaxation.Alphas, "learn", keep)
    state = toy_state()
    advance(
        state,
        stream(),
        total_steps=1,
        backward=learning(method, search_space(state.module), stream),
    )
    return before[0], found[0]


def test_darts_has_the_gradient_of_the_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    """L = ln(1 + exp(-z)), z = sum of p_i c_i: dL / d alpha_k = -p_k (c_k - mean c) / (1 +
    exp(z))."""
    alphas, gradients = captured(METHODS["darts"], monkeypatch)
    factors = torch.tensor(list(SCALES.values()))
    means = [float(a.softmax(0) @ factors) for a in alphas]
    for alpha, gradient, mean in zip(alphas, gradients, means, strict=True):
        expected = -alpha.softmax(0) * (factors - mean) / (1 + math.exp(sum(means)))
        assert torch.allclose(gradient, expected, atol=1e-6)


def test_second_order_by_the_paper_s_toy() -> None:
    """L_train = w^2 - 2 a w + a^2, L_val = a w - 2 a + 1: with a rate of 1/4 d = w' + a / 2 - 2, w'
    = (w + a) / 2."""
    a, w = torch.tensor(2.0, requires_grad=True), torch.tensor(-2.0, requires_grad=True)
    train, held_out = (lambda: w * w - 2 * a * w + a * a), (lambda: a * w - 2 * a + 1)
    found = relaxation.hypergradient(train, held_out, [w], [a], 0.25)[0]
    assert (
        float(found) == pytest.approx((2.0 - 2.0) / 2 + 2.0 / 2 - 2.0, abs=1e-4)
        and float(w.detach()) == -2.0
    )
    for first_order, end in ((False, 1.0), (True, 2.0)):
        a, w = torch.tensor(2.0, requires_grad=True), torch.tensor(-2.0, requires_grad=True)
        train, held_out = (
            (lambda a=a, w=w: w * w - 2 * a * w + a * a),
            (lambda a=a, w=w: a * w - 2 * a + 1),
        )  # type: ignore[misc]
        for _ in range(400):
            gradient = relaxation.hypergradient(
                train, held_out, [w], [a], 0.0 if first_order else 0.5
            )[0]
            with torch.no_grad():
                a -= 0.05 * gradient
                w -= 0.25 * (2 * w - 2 * a)
        assert float(a.detach()) == pytest.approx(end, abs=0.02) and float(
            w.detach()
        ) == pytest.approx(end, abs=0.02)


def test_the_penalty_is_the_divergence_of_two_dirichlets() -> None:
    alpha = torch.tensor([0.4, -0.3, 1.2])
    beta = torch.where(alpha > 0, alpha + 1, alpha.exp())
    total = beta.sum()
    expected = torch.lgamma(total) - torch.lgamma(beta).sum() - math.lgamma(3)
    expected = expected + ((beta - 1) * (torch.digamma(beta) - torch.digamma(total))).sum()
    assert torch.allclose(relaxation.near_uniform(alpha), expected, atol=1e-5)
    assert float(relaxation.near_uniform(torch.zeros(4))) == pytest.approx(0.0, abs=1e-6)


def test_hard_samples_are_one_hot_and_follow_the_softmax() -> None:
    alpha = torch.tensor([0.0, 1.0, -1.0], requires_grad=True)
    counts = torch.zeros(3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4000):
        weights, live = relaxation.hard(alpha, 0.5, generator)
        assert weights.tolist() == pytest.approx([float(i in live) for i in range(3)], abs=1e-6)
        counts[live[0]] += 1
    assert torch.allclose(counts / 4000, alpha.detach().softmax(0), atol=0.03)
    weights.sum().backward()
    # weights always sum to 1
    assert alpha.grad is not None and torch.allclose(alpha.grad, torch.zeros(3), atol=1e-6)


@pytest.mark.parametrize("draw", [relaxation.softmax, relaxation.concrete, relaxation.dirichlet])
def test_soft_weights_are_a_distribution(draw: relaxation.Draw) -> None:
    weights, live = draw(torch.tensor([0.5, -1.0, 2.0]), 0.3, torch.Generator().manual_seed(1))
    assert (
        live is None
        and float(weights.sum()) == pytest.approx(1.0, abs=1e-5)
        and float(weights.min()) >= 0
    )


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize(("label", "best"), [(0, "up"), (1, "down")])
def test_every_method_finds_the_optimum_of_the_toy(name: str, label: int, best: str) -> None:
    method = METHODS[name]
    state = toy_state()
    space = search_space(state.module)
    quick = Relaxation(**{**vars(method), "lr": 0.05, "weight_decay": 0.0})
    held_out = lambda step: stream(step, label)  # noqa: E731
    advance(state, stream(0, label), total_steps=200, backward=learning(quick, space, held_out))
    found = relaxation.probabilities(state, quick, mixed(state.module))
    assert dict(relaxation.derived(state.module, space, found)) == {"first": best, "second": best}
    assert best in {dict(arch)["first"] for arch in relaxation.sampled(found, space, 3)}


def test_the_controller_finds_the_optimum_of_the_toy() -> None:
    """Reward 1 where z is above 0, else 0: all but one in sixteen combinations of the best are
    learned to be left out."""
    state = toy_state()
    space = search_space(state.module)
    settings = Enas(every=1, samples=8, lr=0.02, entropy=0.0, baseline=0.9)
    advance(state, stream(), total_steps=80, backward=controlled(settings, space, stream))
    controller = controller_of(state, space)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        archs = [controller(generator)[0] for _ in range(50)]
    good = sum(SCALES[a["first"]] + SCALES[a["second"]] > 0 for a in archs)
    assert good >= 48


def test_a_policy_step_follows_reinforce() -> None:
    """The gradient of log p of what was emitted: for one decision, one-hot minus softmax, at the
    head's bias."""
    space = SearchSpace({"a": ("x", "y", "z")})
    with seeded(2):
        controller = Controller(space)
    arch, log, entropy = controller(torch.Generator().manual_seed(2))
    log.backward()
    head = controller.heads["0"]
    taken = space.options["a"].index(arch["a"])
    with torch.no_grad():
        hidden, _ = controller.cell(
            controller.first[None], (torch.zeros(1, 100), torch.zeros(1, 100))
        )
        probabilities = head(hidden)[0].softmax(0)
    expected = torch.nn.functional.one_hot(torch.tensor(taken), 3) - probabilities
    assert torch.allclose(head.bias.grad, expected, atol=1e-5)  # type: ignore[arg-type]
    assert float(entropy.detach()) == pytest.approx(
        float(-(probabilities * probabilities.log()).sum()), abs=1e-5
    )


# -- networks --------------------------------------------------------------------------------------


def images(step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        generator = torch.Generator().manual_seed(step)
        y = torch.randint(0, 3, (6,), generator=generator)
        yield torch.randn(6, 1, 8, 8, generator=generator) + y.view(-1, 1, 1, 1), y
        step += 1


def cells(partial: int = 1) -> nn.Module:
    with seeded(0):
        return build("nasbench201", 3, 1, 8, device="cpu", width=4, cells=1, partial=partial)


def straight_and_resumed(
    backward: Callable[[TrainState], Any], folder: Path
) -> tuple[TrainState, TrainState]:
    """A training of six steps, and the same stopped after three."""
    recipe = Recipe(lr=0.05, batch_size=6, ema=0.0)
    straight = start(cells(), recipe)
    advance(straight, images(), total_steps=6, backward=backward(straight))
    half = start(cells(), recipe)
    advance(
        half,
        images(),
        total_steps=6,
        until=0.5,
        backward=backward(half),
        checkpoint=folder / "half",
    )
    again = load(folder / "half", cells())
    advance(again, images(again.step), total_steps=6, backward=backward(again))
    return straight, again


@pytest.mark.parametrize("name", ["darts", "darts-2", "gdas", "drnas"])
def test_a_resumed_search_equals_one_that_went_straight(name: str, tmp_path: Path) -> None:
    straight, again = straight_and_resumed(
        lambda state: learning(
            METHODS[name], search_space(state.module), lambda step: images(1000 + step)
        ),
        tmp_path,
    )
    assert again.extra.keys() == straight.extra.keys() and again.passes == straight.passes
    assert all(torch.equal(again.extra[key], straight.extra[key]) for key in straight.extra)
    pairs = zip(again.module.parameters(), straight.module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_ledger_has_every_pass_with_its_macs(tmp_path: Path) -> None:
    """A mixture computes all options; weights and architecture step have a batch each."""
    straight, again = straight_and_resumed(
        lambda state: learning(
            METHODS["darts"], search_space(state.module), lambda step: images(1000 + step)
        ),
        tmp_path,
    )
    costs = Costs(cells(), (1, 8, 8), ("macs",))
    empty, small, large = (
        costs(search_space(cells()).check(dict.fromkeys(EDGE_NAMES, option)))["macs"]
        for option in ("none", "nor_conv_1x1", "nor_conv_3x3")
    )
    assert straight.passes == 2 * 6 * 6
    assert straight.macs == again.macs == 3 * straight.passes * (small + large - empty)


def test_a_resumed_controller_equals_one_that_went_straight(tmp_path: Path) -> None:
    settings = Enas(every=2, samples=2)
    straight, again = straight_and_resumed(
        lambda state: controlled(
            settings, search_space(state.module), lambda step: images(1000 + step)
        ),
        tmp_path,
    )
    assert all(torch.equal(again.extra[key], straight.extra[key]) for key in straight.extra)


def test_a_leaf_learns_only_what_is_left_open() -> None:
    model = cells()
    space = search_space(model).restrict(
        {"edge0to1": ("nor_conv_3x3",), "edge0to2": ("none", "skip_connect")}
    )
    state = start(model, Recipe(lr=0.05, batch_size=6, ema=0.0))
    advance(state, images(), total_steps=2, backward=learning(METHODS["darts"], space, images))
    assert "alpha.edge0to1" not in state.extra and len(state.extra["alpha.edge0to2"]) == 2
    found = relaxation.probabilities(state, METHODS["darts"], mixed(model, space))
    arch = relaxation.derived(model, space, found)
    assert space.contains(arch) and arch["edge0to1"] == "nor_conv_3x3"


def test_an_edge_on_part_of_the_channels_shuffles() -> None:
    edge = Partial(nn.Identity(), parts=4)
    x = torch.arange(8.0).view(1, 8, 1, 1)
    assert edge(x).flatten().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert Partial(nn.AvgPool2d(2), parts=2, stride=2)(
        torch.zeros(1, 4, 5, 5)[..., :4, :4]
    ).shape == (1, 4, 2, 2)
    with pytest.raises(UserError, match="does not divide"):
        build("nasbench201", 3, 1, 8, width=6, partial=4)


@pytest.mark.parametrize("partial", [1, 4])
def test_the_darts_space_by_edges(partial: int) -> None:
    with seeded(0):
        model = build("darts-small", 3, 1, 8, device="cpu", width=4, partial=partial)
    space = search_space(model)
    method = Relaxation(relaxation.softmax, edges=partial > 1)
    state = start(model, Recipe(lr=0.05, batch_size=6, ema=0.0))
    advance(state, images(), total_steps=1, backward=learning(method, space, images))
    found = relaxation.probabilities(state, method, mixed(model))
    arch = relaxation.derived(model, space, found)
    assert space.contains(arch)
    rows = {
        int(n.split("edge")[1][0]): row
        for n, row in found.items()
        if n.startswith("cells.0.") and "to4" in n
    }
    strongest = {a: max(p for op, p in row.items() if op != "none") for a, row in rows.items()}
    assert set(arch["normal.node4.inputs"]) == set(
        sorted(strongest, key=lambda a: -strongest[a])[:2]
    )
    assert all(arch[f"reduce.node{node}.op1"] != "none" for node in (2, 3, 4, 5))


def test_nothing_left_to_choose_is_told() -> None:
    model = cells()
    space = search_space(model).restrict({name: ("skip_connect",) for name in search_space(model)})
    state = start(model, Recipe(lr=0.05, batch_size=6, ema=0.0))
    with pytest.raises(UserError, match="nothing is left to choose"):
        advance(state, images(), total_steps=1, backward=learning(METHODS["darts"], space, images))
    with pytest.raises(UserError, match="nothing is left to choose"):
        Controller(space)
