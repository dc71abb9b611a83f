"""Estimates with shared weights: by hand, after calibration, from the right node, looked at anew
when weights move."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from archsmith.elastic.supernet import active, search_space
from archsmith.elastic.tree import Node, by_decision, grow
from archsmith.errors import UserError
from archsmith.metrics import estimates
from archsmith.metrics.estimates import SharedAccuracy
from archsmith.problem import Problem, maximize, minimize
from archsmith.searchers import NEED_FIDELITIES, SEARCHERS, make
from archsmith.searchers.evolution import regularized_evolution
from archsmith.searchers.loop import run_searcher
from archsmith.space import Architecture
from archsmith.spaces.catalog.edges import edges_canonical
from archsmith.spaces.nasbench201 import nasbench201
from archsmith.training import Recipe, advance, start
from archsmith.training.samplers import uniform
from archsmith.training.shared_weights import shared_weights


def images(seed: int, count: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (count,), generator=generator)
    return torch.randn(count, 1, 8, 8, generator=generator) + y.view(-1, 1, 1, 1), y


def supernet() -> Node:
    torch.manual_seed(0)
    model = nasbench201(3, 1, 8, width=4, cells=1)
    return Node(search_space(model), model)


def train(node: Node, steps: int) -> None:
    state = start(node.model, Recipe(lr=0.05, batch_size=24, ema=0.0))
    stream = (images(step) for step in itertools.count())
    advance(state, stream, total_steps=steps, backward=shared_weights(uniform(node.space)))
    node.trained += state.passes


def metric(root: Node, **settings: Any) -> SharedAccuracy:
    return SharedAccuracy(
        root, [images(1000 + i)[0] for i in range(2)], [images(2000), images(2001)], **settings
    )


def test_it_is_the_accuracy_of_the_active_model_where_one_batch_calibrates_and_judges() -> None:
    root = supernet()
    train(root, 6)
    x, y = images(7, 200)
    arch = root.space.sample(Random(3))
    found = SharedAccuracy(root, [x], [(x, y)])(arch)
    with active(root.model, arch), torch.no_grad():
        logits = root.model.train()(x)
    assert found["shared_accuracy"] == pytest.approx(
        float((logits.argmax(1) == y).float().mean()), abs=0.011
    )
    # unbiased variance
    assert found["shared_loss"] == pytest.approx(float(F.cross_entropy(logits, y)), abs=0.02)


def test_judging_changes_nothing_and_is_the_same_in_any_order() -> None:
    root = supernet()
    train(root, 3)
    before = {name: tensor.clone() for name, tensor in root.model.state_dict().items()}
    archs = [root.space.sample(Random(seed)) for seed in range(5)]
    first, second = metric(root), metric(root)
    forwards = [first(arch) for arch in archs]
    assert forwards == [second(arch) for arch in reversed(archs)][::-1]
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in root.model.state_dict().items()
    )


def test_a_leaf_judges_once_it_is_trained_and_values_go_stale_with_the_weights() -> None:
    root = supernet()
    train(root, 3)
    leaves = grow(root, by_decision(root.space, "edge0to1"))
    found, arch = (
        metric(root),
        Architecture(
            {**root.space.sample(Random(0)), "edge0to1": "nor_conv_3x3", "edge1to3": "skip_connect"}
        ),
    )
    leaf = next(leaf for leaf in leaves if leaf.holds(arch))
    assert found.node(arch) is root
    before = found(arch)
    train(leaf, 20)
    assert found.node(arch) is leaf and found(arch) != before
    once = found(arch)
    train(leaf, 20)
    assert found(arch) != once


def test_what_computes_the_same_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    root = supernet()
    train(root, 2)
    calls: list[int] = []
    real = estimates.calibrate
    monkeypatch.setattr(estimates, "calibrate", lambda *args: calls.append(1) or real(*args))
    found = metric(root, canonical=edges_canonical)
    dead = {
        "edge0to2": "skip_connect",
        "edge1to2": "none",
        "edge0to3": "none",
        "edge1to3": "none",
        "edge2to3": "skip_connect",
    }
    values = [
        found(Architecture({"edge0to1": option, **dead})) for option in root.space["edge0to1"]
    ]
    assert all(value == values[0] for value in values) and len(calls) == 1


def test_a_searcher_searches_on_it_unchanged_and_pays_for_it() -> None:
    root = supernet()
    train(root, 3)
    problem = Problem(root.space, maximize(metric(root)))
    archive = run_searcher(problem, regularized_evolution(problem, 0, population=4), trials=8)
    trials = list(archive)
    assert len(trials) == 8 and all("shared_loss" in t.metrics for t in trials)
    assert all(t.cost["forward_images"] == 4 * 24 for t in trials)


def test_images_are_needed() -> None:
    with pytest.raises(UserError, match="at least one batch"):
        SharedAccuracy(supernet(), [], [images(0)])


def test_fidelities_are_shares_of_the_held_out_images() -> None:
    root = supernet()
    found = metric(root)
    arch = root.space.sample(Random(0))
    half = SharedAccuracy(root, found.calibration, found.held_out[:1])(arch)
    assert found.fidelities == (0.25, 0.5, 1.0) and found.at(arch, 0.5) == half != found(arch)
    assert found.cost(arch, 0.5)["forward_images"] == found.cost(arch, None)["forward_images"] - 24
    with pytest.raises(UserError, match="not at 0.3"):
        found.at(arch, 0.3)
    with pytest.raises(UserError, match="ascending"):
        metric(root, fidelities=(1.0, 0.5))


def test_a_form_outside_of_the_space_is_not_taken() -> None:
    root = supernet()
    part = Node(root.space.restrict({"edge0to1": ("nor_conv_3x3",)}), root.model)
    arch = part.space.check(
        {
            **dict.fromkeys(part.space, "skip_connect"),
            "edge0to1": "nor_conv_3x3",
            "edge1to2": "none",
            "edge1to3": "none",
        }
    )
    assert edges_canonical(arch)["edge0to1"] == "none"
    assert metric(part, canonical=edges_canonical)(arch)["shared_loss"] > 0


@pytest.fixture(scope="module")
def two_leaves() -> SharedAccuracy:
    root = supernet()
    train(root, 2)
    groups = [("none", "skip_connect", "avg_pool_3x3"), ("nor_conv_1x1", "nor_conv_3x3")]
    for child in grow(root, by_decision(root.space, "edge0to1", groups)):
        train(child, 2)
    held_out = [images(2000 + i) for i in range(4)]
    return SharedAccuracy(
        root, [images(1000)[0]], held_out, canonical=edges_canonical, fidelities=(0.25, 0.5, 1.0)
    )


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_searches_on_a_tree(name: str, two_leaves: SharedAccuracy) -> None:
    """Unchanged: what it is told is what the leaf that holds a network gives, at the fidelity that
    it asked for."""
    problem = Problem(two_leaves.root.space, (minimize(two_leaves, name="shared_loss"),))
    asked = f"{name}:population=12" if name == "successive-halving" else name
    archive = run_searcher(problem, make(asked)(problem, 3), trials=24)
    leaves, fidelities = set(), set()
    for trial in archive:
        at = trial.candidate.fidelity or 1.0
        leaf = two_leaves.node(trial.arch)
        alone = SharedAccuracy(
            leaf, two_leaves.calibration, two_leaves.held_out, fidelities=(0.25, 0.5, 1.0)
        )
        form = edges_canonical(trial.arch)
        if leaf.holds(form):
            assert trial.losses == (alone.at(form, at)["shared_loss"],)
        leaves.add(leaf.name)
        fidelities.add(at)
    assert len(archive) == 24 and len(leaves) >= 2
    assert fidelities == ({0.25, 1.0} if name in NEED_FIDELITIES else {1.0})
