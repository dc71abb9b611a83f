"""OneOf, Repeat, Parallel: which children exist, under which names, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsmith.elastic import Chain, Choice, Derived, Linear, OneOf, Parallel, Repeat
from archsmith.elastic.supernet import active, extract, search_space
from archsmith.errors import UserError


class Add(nn.Module):
    """Adds a number, and another one decided by itself."""

    def __init__(self, number: float, *extra: int) -> None:
        super().__init__()
        self.number = number
        self.extra = Choice(*extra) if extra else 0

    def forward(self, x: Tensor) -> Tensor:
        return (
            x
            + self.number
            + (max(self.extra.options) if isinstance(self.extra, Choice) else self.extra)
        )


X = torch.zeros(1)


def value(model: nn.Module, arch: dict) -> float:
    """Of the active model, which the extracted network must equal."""
    with active(model, arch):
        result = model(X).item()
    assert extract(model, arch)(X).item() == result
    return result


def test_one_of_by_name_and_by_position() -> None:
    named = OneOf(
        {"one": Add(1), "two": Add(2), "many": Add(3, 10, 20)},
        choice=Choice("one", "two", "many", name="op"),
    )
    space = search_space(named)
    assert dict(space) == {"op": ("one", "two", "many"), "many.extra": (10, 20)}
    assert space.size == 4
    assert [value(named, a) for a in space.architectures()] == [1, 2, 13, 23]
    assert isinstance(extract(named, {"op": "one"}), Add)
    plain = OneOf(Add(1), Add(2))
    assert [value(plain, {"choice": i}) for i in (0, 1)] == [1, 2]
    assert plain(X).item() == 2  # outside `active`: the last


def test_one_of_may_follow_a_formula_or_leave_modules_out() -> None:
    size = Choice(4, 8, name="size")
    model = OneOf(
        {"small": Add(1), "big": Add(2), "never": Add(3, 1, 2)},
        choice=Derived(lambda s: "big" if s > 4 else "small", size),
    )
    assert dict(search_space(model)) == {"size": (4, 8)}
    assert [value(model, {"size": s}) for s in (4, 8)] == [1, 2]
    with pytest.raises(UserError, match="name none of its modules"):
        OneOf(Add(1), choice=Choice(0, 1))


def test_repeat_keeps_the_first() -> None:
    model = Repeat(Add(1), Add(10, 0, 5), Add(100), depth=Choice(0, 1, 3, name="depth"))
    space = search_space(model)
    assert space.size == 1 + 1 + 2
    assert [value(model, a) for a in space.architectures()] == [0, 1, 111, 116]
    assert model(X).item() == 116
    assert len(extract(model, {"depth": 1})) == 1


def test_repeat_under_names_and_without_a_decision() -> None:
    model = Repeat({"first": Add(1), "second": Add(10)}, depth=Choice(1, 2, name="depth"))
    assert [n for n, _ in extract(model, {"depth": 2}).named_children()] == ["first", "second"]
    assert Repeat(Add(1), Add(2))(X).item() == 3 and Repeat(Add(1), Add(2), depth=1)(X).item() == 1
    assert len(extract(Repeat(Add(1), Add(2), depth=1), {})) == 1
    for depth in (4, Choice(1, 3), Choice("a", "b"), -1):
        with pytest.raises(UserError, match="whole numbers up to that"):
            Repeat(Add(1), Add(2), depth=depth)


def test_parallel_sums_the_branches_of_the_mask() -> None:
    model = Parallel(Add(1), Add(10), Add(100))
    space = search_space(model)
    assert space.size == 7
    assert sorted(value(model, a) for a in space.architectures()) == [1, 10, 11, 100, 101, 110, 111]
    assert model(X).item() == 111
    some = Parallel(Add(1), Add(10, 0, 5), mask=Choice((0,), (0, 1), name="mask"))
    assert [value(some, a) for a in search_space(some).architectures()] == [1, 11, 16]
    for mask in (Choice((), (0,)), Choice((2,), (0,)), Choice(0, 1)):
        with pytest.raises(UserError, match="not a non-empty tuple"):
            Parallel(Add(1), Add(10), mask=mask)


def test_nesting_multiplies_conditions() -> None:
    inner = Repeat(Linear(2, Choice(2, 3, name="a")), depth=Choice(0, 1, name="inner"))
    model = Repeat(
        OneOf({"x": inner, "y": nn.Identity()}, choice=Choice("x", "y", name="op")),
        depth=Choice(0, 1, name="outer"),
    )
    space = search_space(model)
    assert space.size == 1 + (1 + (1 + 2))
    assert {tuple(a) for a in space.architectures()} == {
        ("outer",),
        ("outer", "op"),
        ("outer", "op", "inner"),
        ("outer", "op", "inner", "a"),
    }


def test_a_chain_keeps_the_first_of_each_run() -> None:
    one, two = Choice(0, 1, name="one"), Choice(1, 2, name="two")
    parts = {str(i): nn.Linear(4, 4) for i in range(4)}
    model = Chain(parts, {("1",): one, ("2", "3"): two})
    x = torch.randn(2, 4)
    for arch in search_space(model).architectures():
        kept = ["0", *["1"][: arch["one"]], *["2", "3"][: arch["two"]]]
        expected = x
        for name in kept:
            expected = parts[name](expected)
        with active(model, arch):
            assert torch.equal(model(x), expected)
        assert list(extract(model, arch)._modules) == kept


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ({("9",): Choice(0, 1)}, "is a module's"),
        ({("0",): Choice(0, 1), ("0", "1"): Choice(0, 2)}, "one run"),
        ({("0",): Choice(0, 2)}, "whole numbers"),
    ],
)
def test_runs_of_a_chain_are_checked(runs: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Chain({"0": nn.Identity(), "1": nn.Identity()}, runs)
