"""Plain networks made elastic: the same keys, the same numbers at the largest, what is extracted is
what is active, and what stays fixed is said."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from plain_zoo import ZOO, Basic, conv
from torch import Tensor, nn

from archsmith.elastic.conversion import converted, elastic
from archsmith.elastic.supernet import active, extract, search_space
from archsmith.errors import UserError
from archsmith.metrics.cost import Costs


@pytest.fixture(scope="module", params=ZOO)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module, Tensor]:
    """A plain network whose tensors all tell, the same made elastic, and images."""
    make, shape = ZOO[request.param]
    generator = torch.Generator().manual_seed(0)
    plain = make().eval()
    with torch.no_grad():
        for name, tensor in plain.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(0.5 + noise if "var" in name else tensor + 0.2 * (noise - 0.5))
    x = torch.randn(2, *shape, generator=generator)
    return plain, elastic(plain, x), x


def test_the_largest_is_the_original_to_the_bit(case: tuple[nn.Module, nn.Module, Tensor]) -> None:
    plain, model, x = case
    assert list(model.state_dict()) == list(plain.state_dict())
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), plain.state_dict().values(), strict=True)
    )
    assert not {id(p) for p in model.parameters()} & {id(p) for p in plain.parameters()}
    largest = search_space(model).extreme(-1)
    with torch.no_grad():
        expected = plain(x)
        assert torch.equal(model.eval()(x), expected)
        assert torch.equal(extract(model, largest).eval()(x), expected)
        with active(model, largest):
            assert torch.equal(model(x), expected)


def test_what_is_extracted_is_what_is_active(case: tuple[nn.Module, nn.Module, Tensor]) -> None:
    _, model, x = case
    space, rng = search_space(model), Random(0)
    for arch in (space.extreme(0), *(space.sample(rng) for _ in range(4))):
        with torch.no_grad(), active(model, arch):
            expected = model(x)
        with torch.no_grad():
            found = extract(model, arch).eval()(x)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_counts_are_those_of_the_networks(case: tuple[nn.Module, nn.Module, Tensor]) -> None:
    _, model, x = case
    costs, space = Costs(model, tuple(x.shape[1:])), search_space(model)  # type: ignore[arg-type]
    assert costs.additive
    for arch in (space.extreme(0), space.sample(Random(1))):
        assert costs(arch) == costs.exact(arch)
    assert costs(space.extreme(0))["macs"] < 0.6 * costs(space.extreme(-1))["macs"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet", {"conv1": (16,), "layer2.0.conv1": (32,), "layer1.0.depth": (0, 2)}),
        ("mobilenet", {"features.1.depth": (0, 1), "features.3.depth": (0, 2)}),
    ],
)
def test_channels_that_must_agree_are_one_decision(name: str, expected: dict[str, Any]) -> None:
    make, shape = ZOO[name]
    space = search_space(elastic(make(), torch.zeros(1, *shape)))
    for decision, ends in expected.items():
        assert space[decision][-1] == ends[-1]
    assert not any("bn" in decision or "shortcut" in decision for decision in space)


def test_what_stays_fixed_is_said() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.body, self.last = conv(3, 16), conv(16, 32), conv(32, 16)
            self.scale = nn.Parameter(torch.ones(16, 1, 1))
            self.head = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            x = x + self.scale * self.last(self.body(x))
            return self.head(x.mean((2, 3)))

    found = converted(Own(), torch.zeros(1, 3, 8, 8))
    assert "whose width is its own" in found.fixed["stem.0"] and "output" in found.fixed["head"]
    assert set(search_space(found.model)) == {"body.0"}


def test_kernels_and_depths_are_decided_where_asked_for() -> None:
    model = nn.Sequential(conv(3, 16, 5), nn.Sequential(Basic(16, 16), Basic(16, 16)), conv(16, 4))
    x = torch.randn(1, 3, 8, 8)
    space = search_space(elastic(model, x, kernels=True))
    assert space["0.0.kernel"] == (3, 5) and space["1.0.depth"] == (0, 1, 2)
    small = search_space(elastic(model, x, depth=False))
    assert not any("depth" in name or "kernel" in name for name in small)


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Numbers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16 * 36, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).view(-1, 576))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: nn.Sequential(nn.Conv2d(3, 16, 3), Branches(), nn.Conv2d(16, 4, 1)),
            "1 (Branches)",
        ),
        (Numbers, "x.flatten(1)"),
        (
            lambda: nn.Sequential(nn.Conv2d(4, 16, 3), nn.Conv2d(16, 4, 1)),
            "does not take the example",
        ),
        (lambda: nn.Linear(8, 4), "no inner width"),
    ],
)
def test_what_cannot_be_made_elastic_is_refused(make: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(UserError) as caught:
        elastic(
            make(),
            torch.zeros(1, 3, 8, 8) if make().__class__ is not nn.Linear else torch.zeros(1, 8),
        )
    assert said in str(caught.value)


@pytest.mark.parametrize("widths", [(), (0.5,), (0, 1), (1, 2), (-1, 1)])
def test_shares_of_widths_are_checked(widths: Any) -> None:
    with pytest.raises(UserError, match="shares above 0"):
        elastic(
            nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 4, 1)), torch.zeros(1, 3, 8, 8), widths
        )
