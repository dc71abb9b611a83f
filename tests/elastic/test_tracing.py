"""Graphs of plain networks, and the line that stands in the way of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from archsmith.elastic.provenance import Read
from archsmith.elastic.tracing import line_of, traced
from archsmith.errors import UserError


class Block(nn.Module):
    """One of several ways to write what cannot be followed."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.conv = how, nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Any:
        return getattr(self, self.how)(x)

    def branch(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x

    def check(self, x: Tensor) -> Tensor:
        assert x.max() < 100
        return x

    def until(self, x: Tensor) -> Tensor:
        while x.max() > 1:
            x = x / 2
        return x

    def loop(self, x: Tensor) -> Tensor:
        return torch.stack([image * 2 for image in x])

    def length(self, x: Tensor) -> Tensor:
        return x / len(x)

    def counted(self, x: Tensor) -> Tensor:
        for _ in range(x.shape[0]):
            x = x + 1
        return x

    def number(self, x: Tensor) -> Tensor:
        return x * float(x.mean())

    def written(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, 0] = 0
        return x

    def named(self, x: Tensor) -> Tensor:
        return self.options(x, **{"images": x})

    def options(self, x: Tensor, **kwargs: Tensor) -> Tensor:
        return self.conv(x, **kwargs["images"])  # type: ignore[arg-type]

    def kind(self, x: Tensor) -> Tensor:
        return -x if isinstance(x, Tensor) else x

    def learning(self, x: Tensor) -> Tensor:
        return self.conv(x) if self.training else x

    def pair(self, x: Tensor) -> Any:
        return x, x

    def table(self, x: Tensor) -> Any:
        return {"out": x}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("branch", ("a branch", "in 1 (Block)", "return x if x.sum() > 0", "torch.where")),
        ("check", ("a check", "in 1 (Block)", "assert x.max()", "torch._assert")),
        ("until", ("a branch", "while x.max() > 1", "torch.where")),
        ("loop", ("goes over a tensor", "in 1 (Block)", "for image in x", "x.unbind(dim)")),
        ("length", ("len of a tensor", "x / len(x)", "x.shape[0]")),
        ("counted", ("a number is made", "for _ in range(x.shape[0])", "range(n)")),
        ("number", ("a number is made", "float(x.mean())", "keep it a tensor")),
        ("written", ("writes into a part", "x[:, 0] = 0", "torch.cat")),
        ("named", ("**kwargs", "in 1 (Block)", '**kwargs["images"]', "name the arguments")),
        ("kind", ("something else than the network", "isinstance")),
        ("learning", ("'1.conv' only in training", "auxiliary")),
        ("pair", ("gives a tuple", "Block.forward", "return one tensor")),
        ("table", ("gives a dict", "Block.forward", "return one tensor")),
    ],
)
def test_what_cannot_be_followed_is_named_with_its_line(how: str, said: tuple[str, ...]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), Block(how))
    with pytest.raises(UserError) as caught:
        traced(model, torch.rand(1, 3, 8, 8))
    for part in said:
        assert part in str(caught.value)
    if "in 1 (Block)" in said:
        assert "test_tracing.py:" in str(caught.value)


def test_networks_of_several_inputs_are_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    class Named(nn.Module):
        def forward(self, *, images: Tensor) -> Tensor:
            return images

    with pytest.raises(UserError, match="needs x, y; only networks of one input"):
        traced(Two(), torch.rand(1, 3))
    with pytest.raises(UserError, match="takes no input by position"):
        traced(Named(), torch.rand(1, 3))


def test_an_example_that_it_does_not_take_is_told_with_its_form() -> None:
    with pytest.raises(UserError, match=r"does not take the example of form \(1, 3, 8, 8\)"):
        traced(nn.Sequential(nn.Conv2d(4, 8, 1)), torch.rand(1, 3, 8, 8))


class Sized(nn.Module):
    """Branches and checks by the form of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        assert x.shape[1] == 3 and x.dim() == 4
        if x.size(2) % 2 == 1:
            x = nn.functional.pad(x, (0, 1, 0, 1))
        return self.conv(x) if max(x.shape[2], x.shape[3]) > 4 else x


@pytest.mark.parametrize(("side", "path"), [(3, ["pad"]), (5, ["pad", "conv"]), (6, ["conv"])])
def test_branches_by_sizes_go_where_they_go_for_the_example(side: int, path: list[str]) -> None:
    model = Sized()
    before = model.norm.num_batches_tracked.clone()  # type: ignore[operator]
    graph = traced(model, torch.rand(2, 3, side, side))
    names = [str(getattr(node.target, "__name__", node.target)) for node in graph.nodes]
    assert [name for name in names if name in ("pad", "conv")] == path
    assert torch.equal(model.norm.num_batches_tracked, before)  # type: ignore[arg-type]


class Usual(nn.Module):
    """What people write that can be followed."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.form = 2, (2, 4)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, *rest: Tensor, **options: bool
    ) -> Tensor:
        if mask is not None or rest or options.get("deep"):
            x = x * mask  # type: ignore[operator]
        one, two = (part * 2 for part in x.chunk(2, dim=1))
        x = torch.cat((one, two), 1).view(x.shape[0], self.heads, 8 // self.heads)
        return x.reshape(-1, *self.form)


def test_other_arguments_are_what_they_are_by_default() -> None:
    graph = traced(Usual(), torch.rand(3, 8))
    assert sum(node.op == "placeholder" for node in graph.nodes) == 1


def nodes(graph: fx.Graph, target: str) -> list[fx.Node]:
    return [node for node in graph.nodes if node.target == target]


def test_numbers_say_where_they_are_from() -> None:
    model = nn.Sequential(Usual())
    graph = traced(model, torch.rand(3, 8))
    (view,), (reshape,) = nodes(graph, "view"), nodes(graph, "reshape")
    heads, size = view.args[2], view.args[3]
    assert isinstance(heads, Read) and heads == 2 and heads.direct
    assert heads.sources == {("0", "heads", None)}
    assert isinstance(size, Read) and size == 4 and not size.direct
    assert [getattr(n, "sources", None) for n in reshape.args[2:]] == [
        {("0", "form", 0)},
        {("0", "form", 1)},
    ]
    assert type(model[0].heads) is int and type(model[0].form[0]) is int  # type: ignore[index]
    assert line_of(view).startswith("test_tracing.py:")


@pytest.mark.parametrize("training", [True, False])
def test_modes_and_tensors_are_left_as_they_were(training: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout()).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    traced(model, torch.rand(2, 3, 8, 8))
    assert all(module.training is training for module in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_one_image_is_followed_as_a_batch() -> None:
    make: Callable[[], nn.Module] = lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 2))  # noqa: E731
    (flat,) = (
        node.meta["form"]
        for node in traced(make(), torch.rand(1, 3, 2, 2)).nodes
        if node.target == "0"
    )
    assert flat == (2, 12)
