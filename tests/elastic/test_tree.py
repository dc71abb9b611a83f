"""The laws of a tree of supernets: inheritance to the bit, no aliasing, live parameters, routing,
cost."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

import pytest
import torch
from elastic_models import MODELS
from torch import nn

from archsmith.elastic import Choice, Conv2d
from archsmith.elastic.supernet import active, extract, reachable, search_space, slices
from archsmith.elastic.tree import Node, at_random, by_decision, by_predicate, grow, route
from archsmith.errors import OutOfSpace, UserError
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces.catalog.edges import edges_canonical
from archsmith.spaces.mobilenet import mobilenet
from archsmith.spaces.nasbench201 import nasbench201
from archsmith.training import Recipe, advance, start
from archsmith.training.samplers import uniform
from archsmith.training.shared_weights import shared_weights
from archsmith.training.space_splits import splittable

RECIPE = Recipe(lr=0.05, batch_size=8, ema=0.0, warmup=0.0)


def cells(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nasbench201(4, 1, 8, width=4, cells=1)


def family(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return mobilenet(4, 1, 8)


def root_of(model: nn.Module) -> Node:
    return Node(search_space(model), model)


def images(count: int = 8) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def stream() -> Any:
    return ((images(), torch.arange(8) % 4) for _ in itertools.count())


def trained(node: Node, steps: int) -> None:
    state = start(node.model, RECIPE)
    advance(state, stream(), total_steps=steps, backward=shared_weights(uniform(node.space)))
    node.trained += state.passes


def test_a_restart_leaves_nothing_of_what_was_trained() -> None:
    """Matrices between kernel sizes are identities again, torch's attention is drawn anew."""
    conv = Conv2d(2, 2, Choice(3, 5, 7, name="kernel"), padding="same", transform=True)
    model = nn.ModuleDict({"conv": conv, "attention": nn.MultiheadAttention(4, 2)})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.37)
    node = Node(SearchSpace({"kernel": (3, 5, 7)}), model)
    child = grow(node, {"all": node.space}, inherit=False, seed=1)[0]
    fresh = dict(child.model.named_parameters())
    for size in (3, 5):
        assert torch.equal(fresh[f"conv.to{size}"], torch.eye(size * size))
    assert (
        len(fresh["attention.in_proj_weight"].unique()) > 10
        and len(fresh["conv.weight"].unique()) > 10
    )


def test_what_the_user_froze_stays_frozen() -> None:
    model = cells()
    frozen = next(name for name, _ in model.named_parameters())
    model.get_parameter(frozen).requires_grad_(False)
    assert not dict(root_of(model).model.named_parameters())[frozen].requires_grad


def output(model: nn.Module, arch: Architecture, x: torch.Tensor | None = None) -> torch.Tensor:
    torch.manual_seed(0)  # for dropout
    with active(model, arch), torch.no_grad():
        return model.train()(images() if x is None else x)


@pytest.mark.parametrize(("make", "decision"), [(cells, "edge0to1"), (family, None)])
def test_a_child_computes_what_its_parent_does_bit_for_bit_right_after_inheritance(
    make: Any, decision: str | None
) -> None:
    root = root_of(make())
    trained(root, 2)
    for child in grow(root, by_decision(root.space, decision or whole_decision(root.space))):
        for seed in range(4):
            arch = child.space.sample(Random(seed))
            assert torch.equal(output(child.model, arch), output(root.model, arch))


@pytest.mark.parametrize(
    "name",
    ["ofa", "vit", "autoformer", "nasbench1shot1", "darts", "transnas", "mobilenet-32", "zen"],
)
def test_every_space_can_be_split(name: str) -> None:
    """Cells, kernels, widths, depths, heads: children compute what the parent does, share nothing,
    learn what they use."""
    make, shape, _ = MODELS[name]
    torch.manual_seed(0)
    root = root_of(make())
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    decision = min(splittable(root.space), key=lambda name: len(root.space[name]))
    children = grow(root, by_decision(root.space, decision))
    assert len(children) == len(root.space[decision])
    for option, child in zip(root.space[decision], children, strict=True):
        used = set()
        for seed in range(2):
            arch = child.space.sample(Random(seed))
            assert arch[decision] == option
            assert torch.equal(output(child.model, arch, x), output(root.model, arch, x))
            used |= set(slices(child.model, arch))
        learning = {
            path for path, parameter in child.model.named_parameters() if parameter.requires_grad
        }
        assert learning == set(reachable(child.model, child.space)) >= used & learning
    places = [{p.data_ptr() for p in node.model.parameters()} for node in (root, *children)]
    assert sum(map(len, places)) == len(set.union(*places))
    first, arch = children[0], children[0].space.sample(Random(9))
    state = start(first.model, RECIPE)
    stream = ((x, torch.arange(4) % 4) for _ in itertools.count())
    kept = [parameter.detach().clone() for parameter in children[1].model.parameters()]
    advance(state, stream, total_steps=1, backward=shared_weights(uniform(first.space)))
    first.trained = state.passes
    assert route(root, arch) is first and route(root, children[1].space.sample(Random(9))) is root
    assert all(torch.equal(a, b) for a, b in zip(kept, children[1].model.parameters(), strict=True))


def whole_decision(space: SearchSpace) -> str:
    """A decision that every architecture has."""
    return next(name for name in space if len(space[name]) > 1 and not space.conditions.get(name))


def test_every_live_parameter_is_in_the_optimizer_once_and_no_other() -> None:
    root = root_of(cells())
    for child in grow(root, by_decision(root.space, "edge0to1")):
        used = {
            name
            for arch in itertools.islice(child.space.architectures(), 0, None, 97)
            for name in slices(child.model, arch)
        }
        names = dict(child.model.named_parameters())
        assert set(reachable(child.model, child.space)) == used & set(names)
        state = start(child.model, RECIPE)
        held = [id(p) for group in state.optimizer.param_groups for p in group["params"]]
        assert sorted(held) == sorted(id(names[name]) for name in used & set(names))
    conv = next(child for child in root.children if "nor_conv_3x3" in child.name)
    before = {name: p.detach().clone() for name, p in conv.model.named_parameters()}
    trained(conv, 12)
    split = [
        name for name in before if "edge0to1" in name and name in reachable(conv.model, conv.space)
    ]
    assert split and all(
        not torch.equal(before[name], conv.model.get_parameter(name)) for name in split
    )  # the split edge's, too


def test_training_a_child_leaves_parent_and_siblings_alone() -> None:
    root = root_of(cells())
    first, *others = grow(root, by_decision(root.space, "edge0to1"))
    kept = [(p, p.detach().clone()) for node in (root, *others) for p in node.model.parameters()]
    trained(first, 3)
    assert all(torch.equal(now, before) for now, before in kept)
    mine = {p.data_ptr() for p in first.model.parameters()}
    assert not mine & {p.data_ptr() for node in (root, *others) for p in node.model.parameters()}


def test_parts_are_a_partition() -> None:
    space = search_space(cells())
    for parts in (
        by_decision(space, "edge0to3"),
        by_decision(space, "edge0to3", [("none", "avg_pool_3x3"), *_rest(space)]),
    ):
        assert sum(part.size for part in parts.values()) == space.size
        for seed in range(30):
            arch = space.sample(Random(seed))
            assert sum(part.contains(arch) for part in parts.values()) == 1
    for wrong in (
        [("none",)],
        [("none",), ("none", *_rest(space)[0])],
        [tuple(space["edge0to3"]), ()],
    ):
        with pytest.raises(UserError, match="exactly one"):
            space.split("edge0to3", wrong)


def _rest(space: SearchSpace) -> list[tuple[str, ...]]:
    return [tuple(option for option in space["edge0to3"] if option not in ("none", "avg_pool_3x3"))]


def test_parts_by_predicate_and_at_random_hold_each_architecture_once() -> None:
    space = search_space(cells())

    def convs(arch: Architecture) -> int:
        return sum("conv" in option for option in arch.values())

    few = by_predicate(
        space, {"few": lambda arch: convs(arch) <= 2, "many": lambda arch: convs(arch) > 2}
    )
    for parts in (few, at_random(space, 5), at_random(space, 5, seed=1)):
        held = [
            [name for name, part in parts.items() if part.contains(space.sample(Random(seed)))]
            for seed in range(100)
        ]
        assert all(len(names) == 1 for names in held) and len({names[0] for names in held}) == len(
            parts
        )
    root = root_of(cells())
    assert len(grow(root, at_random(root.space, 3))) == 3
    assert root.children[1].holds(root.children[1].space.sample(Random(0)))


def test_restrictions_commute_and_meet() -> None:
    space = search_space(cells())
    one, two = {"edge0to1": ("none", "skip_connect")}, {"edge2to3": ("nor_conv_1x1",)}
    assert space.restrict(one).restrict(two) == space.restrict(two).restrict(one)
    again = {"edge0to1": ("skip_connect", "avg_pool_3x3")}
    assert space.restrict(one).restrict(again) == space.restrict({"edge0to1": ("skip_connect",)})
    with pytest.raises(UserError, match="no option left"):
        space.restrict(one).restrict({"edge0to1": ("avg_pool_3x3",)})
    assert space.restrict(one).restrict({"edge0to1": ("none",)}).size == 5**5


def test_an_architecture_goes_to_the_deepest_node_that_was_trained() -> None:
    root = root_of(cells())
    grow(root, by_decision(root.space, "edge0to1"))
    conv = next(child for child in root.children if "3x3" in child.name and "conv" in child.name)
    deep = grow(conv, by_decision(conv.space, "edge0to3"))
    arch = Architecture({**conv.space.sample(Random(0)), "edge0to3": "none"})
    leaf = next(node for node in deep if node.holds(arch))
    assert route(root, arch) is root  # nothing is trained
    conv.trained = 8
    assert route(root, arch) is conv
    leaf.trained = 8
    assert route(root, arch) is leaf and leaf.name == f"{conv.name}/edge0to3=none"
    root.compared = 4
    assert root.cost == 20 and len(root.leaves) == 4 + 5
    with pytest.raises(OutOfSpace, match="not in"):
        route(conv, Architecture({**arch, "edge0to1": "none"}))


def test_what_computes_the_same_goes_to_the_same_node() -> None:
    root = root_of(cells())
    for child in grow(root, by_decision(root.space, "edge0to1")):
        child.trained = 1
    dead = {
        "edge0to2": "nor_conv_3x3",
        "edge1to2": "none",
        "edge0to3": "none",
        "edge1to3": "none",
        "edge2to3": "skip_connect",
    }
    twins = [Architecture({"edge0to1": option, **dead}) for option in root.space["edge0to1"]]
    assert len({route(root, arch).name for arch in twins}) == 5
    assert len({route(root, arch, edges_canonical).name for arch in twins}) == 1


def test_from_scratch_starts_elsewhere_and_the_same_again() -> None:
    def children() -> list[Node]:
        root = root_of(cells())
        return grow(root, by_decision(root.space, "edge0to1"), inherit=False, seed=4)

    first, again, parent = children(), children(), cells()
    arch = first[0].space.sample(Random(0))
    assert torch.equal(output(first[0].model, arch), output(again[0].model, arch))
    assert not torch.equal(output(first[0].model, arch), output(parent, arch))
    weights = [child.model.get_parameter("stem.conv.weight") for child in first]
    assert not torch.equal(weights[0], weights[1])


def test_extracts_of_a_child_are_plain_and_trainable() -> None:
    root = root_of(cells())
    child = grow(root, by_decision(root.space, "edge0to1"))[-1]
    plain = extract(child.model, child.space.sample(Random(1)))
    assert all(p.requires_grad for p in plain.parameters())


def test_mistakes_are_told() -> None:
    root = root_of(cells())
    parts = by_decision(root.space, "edge0to1")
    with pytest.raises(UserError, match="no partition"):
        grow(root, dict(itertools.islice(parts.items(), 1)))
    with pytest.raises(UserError, match="no partition"):
        grow(root, dict(itertools.islice(parts.items(), 3)))
    grow(root, parts)
    with pytest.raises(UserError, match="children already"):
        grow(root, parts)
