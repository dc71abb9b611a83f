"""Where to split: the heaviest cut of known distances; gradients that agree or not; scores that
differ or not."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archsmith.elastic import Choice, Conv2d, Linear, OneOf
from archsmith.elastic.supernet import active, search_space
from archsmith.elastic.tree import Node
from archsmith.errors import UserError
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces import build
from archsmith.spaces.catalog.edges import has_path
from archsmith.spaces.nasbench201 import nasbench201
from archsmith.training.space_splits import (
    best_split,
    comparing,
    gradient_distances,
    lightest,
    parts_of,
    planned,
    score_distances,
    splittable,
)


@pytest.mark.parametrize("how", ["gradients", "scores"])
def test_cells_that_must_stay_alive_can_be_split(how: str) -> None:
    """Switching an operation to "none" may kill a cell; then another cell is drawn."""
    torch.manual_seed(0)
    model = nasbench201(4, 1, 8, width=4, cells=1)
    batches = [(torch.randn(4, 1, 8, 8), torch.arange(4))]
    for seed in range(8):
        node = Node(search_space(model).where(has_path), model)
        seen: list[Architecture] = []

        def score(arch: Architecture, seen: list[Architecture] = seen) -> float:
            seen.append(arch)
            return 0.0

        distances = {
            "gradients": gradient_distances(batches, 1),
            "scores": score_distances(score, 2),
        }
        plan = planned(
            node, how, 8, distances=distances, decisions=["edge0to3", "edge2to3"], seed=seed
        )
        assert plan["decision"] in ("edge0to3", "edge2to3")
        assert all(map(has_path, seen))
    thin = (
        search_space(model)
        .restrict({"edge0to2": ["none"], "edge0to3": ["none"], "edge1to3": ["none"]})
        .where(has_path)
    )
    node = Node(thin, model)
    assert planned(
        node,
        "gradients",
        8,
        distances={"gradients": gradient_distances(batches, 2)},
        decisions=["edge0to1"],
    )


def test_the_lightest_partition_is_found_and_balanced() -> None:
    near = np.array(
        [[0, 1, 9, 9, 9], [1, 0, 9, 9, 9], [9, 9, 0, 1, 1], [9, 9, 1, 0, 1], [9, 9, 1, 1, 0]],
        dtype=float,
    )
    assert lightest(near, 2) == ((0, 1), (2, 3, 4))
    assert lightest(near, 5) == ((0,), (1,), (2,), (3,), (4,))
    assert lightest(near[:4, :4], 2) == ((0, 1), (2, 3))
    rng = np.random.default_rng(0)
    for _ in range(5):
        matrix = rng.random((6, 6))
        matrix = matrix + matrix.T
        groups = lightest(matrix, 3)
        assert sorted(i for group in groups for i in group) == list(range(6)) and all(
            len(group) == 2 for group in groups
        )


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


def two_sided() -> Node:
    """ "sign" turns the features around, so its options ask opposite things of the stem; "size"
    scales them a little."""
    torch.manual_seed(0)
    sign = OneOf(
        {"plus": Scaled(1.0), "minus": Scaled(-1.0)}, choice=Choice("plus", "minus", name="sign")
    )
    size = OneOf(
        {"one": Scaled(1.0), "more": Scaled(1.1), "most": Scaled(1.2)},
        choice=Choice("one", "more", "most", name="size"),
    )
    model = nn.Sequential(
        Conv2d(1, 4, 3), sign, size, nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(4, 2)
    )
    return Node(search_space(model), model)


def pair() -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(16, 1, 8, 8, generator=generator),
            torch.randint(0, 2, (16,), generator=generator),
        )
        for _ in range(2)
    ]


def test_gradients_say_which_decision_parts_the_weights() -> None:
    node = two_sided()
    matrix = gradient_distances(pair(), 4)(node, "sign", Random(0))
    assert matrix.shape == (2, 2) and np.allclose(matrix, matrix.T) and matrix[0, 0] == 0.0
    assert matrix[0, 1] > 0.5 > 0.1 > gradient_distances(pair(), 4)(node, "size", Random(0)).max()
    found = best_split(node, gradient_distances(pair(), 4))
    assert found.decision == "sign" and found.groups == (("plus",), ("minus",))
    found = best_split(node, gradient_distances(pair(), 4), decisions=["size"])
    assert found.groups == (("one",), ("more", "most")) or found.groups == (
        ("one", "more"),
        ("most",),
    )
    assert all(p.grad is None for p in node.model.parameters())


def test_the_weights_of_the_split_decision_take_no_part() -> None:
    torch.manual_seed(0)
    model = nasbench201(3, 1, 8, width=4, cells=1)
    node = Node(search_space(model), model)
    generator = torch.Generator().manual_seed(1)
    x, y = (
        torch.randn(12, 1, 8, 8, generator=generator),
        torch.randint(0, 3, (12,), generator=generator),
    )
    matrix = gradient_distances([(x, y)], 1)(node, "edge0to1", Random(3))
    arch = node.space.sample(Random(3))
    rows = []
    for option in node.space["edge0to1"]:
        with active(model, {**arch, "edge0to1": option}):
            loss = F.cross_entropy(model(x), y)
            shared = [p for path, p in model.named_parameters() if "edge0to1" not in path]
            found = torch.autograd.grad(loss, shared, allow_unused=True)
        rows.append(
            torch.cat(
                [
                    (torch.zeros_like(p) if g is None else g).flatten()
                    for g, p in zip(found, shared, strict=True)
                ]
            )
        )
    expected = (
        1
        - torch.stack(
            [torch.stack([F.cosine_similarity(a, b, dim=0) for b in rows]) for a in rows]
        ).numpy()
    )
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(matrix, expected, atol=1e-4)


def test_scores_say_it_too() -> None:
    node = two_sided()
    found = best_split(
        node,
        score_distances(lambda arch: {"one": 0.0, "more": 0.1, "most": 5.0}[arch["size"]]),
        groups=None,
    )
    assert found.decision == "size" and len(found.groups) == 3
    matrix = score_distances(lambda arch: float(arch["sign"] == "plus"), 9)(node, "sign", Random(0))
    assert matrix[0, 1] == pytest.approx(2.0)  # in standard deviations


def test_what_can_be_split() -> None:
    node = two_sided()
    assert splittable(node.space) == ["sign", "size"]
    assert splittable(node.space.restrict({"sign": ("plus",)})) == ["size"]
    small = Node(node.space.restrict({"sign": ("plus",), "size": ("one",)}), node.model)
    with pytest.raises(UserError, match="no decision to split on"):
        best_split(small, gradient_distances(pair()))
    with pytest.raises(UserError, match="at least one batch"):
        gradient_distances([])


def test_plans_make_partitions() -> None:
    node = root()
    options = node.space.options["edge0to1"]
    plan = planned(node, "edge0to1", 8)
    assert plan == {"decision": "edge0to1", "groups": [[0], [1], [2], [3], [4]]}
    plan = planned(node, "edge0to1", 2)
    assert [len(group) for group in plan["groups"]] == [2, 3] and sum(plan["groups"], []) == [
        0,
        1,
        2,
        3,
        4,
    ]
    parts = parts_of(node.space, plan)
    assert [part.options["edge0to1"] for part in parts.values()] == [options[:2], options[2:]]
    assert json.loads(json.dumps(plan)) == plan
    plan = planned(node, "arbitrary", 3, seed=4)
    parts = parts_of(node.space, plan)
    assert len(parts) == 3 and all(
        sum(p.contains(a) for p in parts.values()) == 1 for a in drawn(node, 40)
    )
    assert planned(node, "random", 5, seed=1) == planned(node, "random", 5, seed=1)
    assert len({planned(node, "random", 5, seed=s)["decision"] for s in range(12)}) > 2


def test_plans_by_distance_take_the_decision_that_parts_most() -> None:
    node = root()

    def distances(node: Node, name: str, rng: Random) -> np.ndarray:
        count = len(node.space.options[name])
        apart = np.ones((count, count)) - np.eye(count)
        return apart * (3.0 if name == "edge1to3" else 1.0)

    for branches, groups in ((5, 5), (2, 2)):
        plan = planned(node, "gradients", branches, distances={"gradients": distances})
        assert plan["decision"] == "edge1to3" and len(plan["groups"]) == groups
        assert sum(part.size for part in parts_of(node.space, plan).values()) == node.space.size


def test_what_cannot_be_planned_is_told() -> None:
    node = root()
    with pytest.raises(UserError, match="did you mean 'gradients'"):
        planned(node, "gradient", 4)
    with pytest.raises(UserError, match="at least 2"):
        planned(node, "edge0to1", 1)


def root() -> Node:
    model = build("nasbench201", 4, 1, 8, device="cpu", width=4, cells=1)
    return Node(search_space(model), model)


def drawn(node: Node, count: int) -> list[Architecture]:
    return [node.space.sample(Random(i)) for i in range(count)]


def test_what_looking_for_a_split_takes_is_counted() -> None:
    space = SearchSpace({"a": (1, 2, 3), "b": (1, 2), "c": (1,)})
    assert (
        comparing(space, "gradients", rounds=4) == 4 * (3 + 2)
        and comparing(space, "gradients", 4, ["b"]) == 8
    )
    assert comparing(space, "scores", rounds=4) == 2 * comparing(space, "gradients", rounds=4)
    assert comparing(space, "a", rounds=4) == comparing(space, "random", rounds=4) == 0
