"""Functions over models that hold Choices: names, conditions, `active`, `extract`, `calibrate`, and
what they refuse."""

from __future__ import annotations

import collections
import copy
import gc
import weakref
from random import Random

import pytest
import torch
from torch import Tensor, nn

from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Derived, Linear, OneOf, Repeat
from archsmith.elastic.supernet import active, calibrate, dimensions, extract, search_space, slices
from archsmith.errors import OutOfSpace, UserError
from archsmith.spaces.mobilenet import mobilenet


class Net(nn.Module):
    """The example of the design page."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        width = Choice(4, 6, 8, name="width")
        self.stem = Conv2d(3, width, Choice(3, 5, name="kernel"), padding="same")
        self.norm = BatchNorm2d(width)
        self.body = Repeat(*(Linear(width, width) for _ in range(4)), depth=Choice(1, 2, 3, 4))
        self.head = Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.norm(self.stem(x)).mean((2, 3))))


# -- names and conditions --------------------------------------------------------------------------


def test_names_are_given_or_the_first_path() -> None:
    assert dict(search_space(Net())) == {
        "width": (4, 6, 8),
        "kernel": (3, 5),
        "body.depth": (1, 2, 3, 4),
    }


def test_choices_inside_formulas_lists_and_mappings_are_found() -> None:
    class Sizes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = {"a": [Choice(1, 2), 7], "b": (Choice(3, 4), "text")}
            self.formula = Derived(lambda a, b: a * b, Choice(1, 2), Choice(5, 6))
            self.pair = collections.namedtuple("Pair", "x y")(Choice(8, 9), 1)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.table["a"][0] * self.table["b"][0] * self.formula * self.pair.x

    model = Sizes()
    space = search_space(model)
    assert list(space) == ["table.a.0", "table.b.0", "formula.0", "formula.1", "pair.0"]
    arch = dict(zip(space, (2, 3, 1, 6, 9), strict=True))
    with active(model, arch):
        assert model(torch.ones(1)).item() == 2 * 3 * 6 * 9
    assert extract(model, arch)(torch.ones(1)).item() == 2 * 3 * 6 * 9
    assert dict(search_space(model)) == dict(space)


def test_two_decisions_with_one_name_are_an_error() -> None:
    model = nn.Sequential(Linear(2, Choice(2, 3, name="w")), Linear(Choice(2, 3, name="w"), 2))
    with pytest.raises(UserError, match="two decisions are called 'w'.*same Choice object"):
        search_space(model)


def test_the_same_module_in_two_places_exists_where_either_does() -> None:
    shared = Linear(2, 2)
    inner = Repeat(
        shared,
        Linear(2, Derived(lambda a: a, Choice(2, name="x"))),
        depth=Choice(1, 2, name="depth"),
    )
    on = Choice(0, 1, name="on")
    model = nn.Sequential(Repeat(inner, depth=on), shared)
    x = torch.randn(1, 2)
    for arch in search_space(model).architectures():
        plain = extract(model, arch)
        with active(model, arch):
            torch.testing.assert_close(plain(x), model(x))
        if arch["on"]:
            assert plain[0][0][0] is plain[1]


def test_gates_of_ones_own_container() -> None:
    class Optional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.use = Choice(False, True, name="use")
            self.layer = Linear(2, 2)
            self.inner = Repeat(Linear(2, 2), nn.Identity(), depth=Choice(1, 2, name="depth"))

        @property
        def gates(self):
            return {
                "inner": (self.use, (True,)),
                "layer": (Derived(lambda d: d, self.use), (False,)),
            }

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) if self.use else self.layer(x)

    model = Optional()
    space = search_space(model)
    assert [dict(a) for a in space.architectures()] == [
        {"use": False},
        {"use": True, "depth": 1},
        {"use": True, "depth": 2},
    ]
    plain = extract(model, {"use": False})
    assert [n for n, _ in plain.named_children()] == ["layer"]
    assert plain(torch.zeros(1, 2)).shape == (1, 2)


def widened(model: nn.Module) -> None:
    """Another Choice where one was."""
    model.stem.out_channels = Choice(2, 4, name="wider")


def lengthened(model: nn.Module) -> None:
    """A list of sizes that got one more, in place."""
    model.sizes.append(Choice(1, 2, 3, name="more"))


def gated(model: nn.Module) -> None:
    """Its second child exists where the first decision says so."""
    model.gates = {"body": (model.sizes[0], (3,))}


def joined(model: nn.Module) -> None:
    """One more module."""
    model.tail = Linear(Choice(5, 6, name="in"), 3)


def left(model: nn.Module) -> None:
    """One module fewer."""
    del model.body


@pytest.mark.parametrize("change", [widened, lengthened, gated, joined, left])
def test_a_model_that_is_changed_is_read_anew(change) -> None:
    def make() -> nn.Module:
        model = nn.Module()
        model.stem = Conv2d(3, Choice(2, 3, name="width"), 3)
        model.body = Conv2d(3, Choice(2, 3, name="body width"), 3)
        model.sizes = [Choice(3, 4, name="size")]
        return model

    model, other = make(), make()
    before = search_space(model)
    assert search_space(model) is before  # as long as nothing changes
    change(model), change(other)
    after, fresh = search_space(model), search_space(other)
    assert after.options == fresh.options and after.conditions == fresh.conditions
    assert (after.options, after.conditions) != (before.options, before.conditions)


def test_a_model_that_was_read_is_not_kept() -> None:
    model = Net()
    search_space(model)
    seen = weakref.ref(model)
    del model
    gc.collect()
    assert seen() is None


def test_a_model_without_choices_has_one_architecture() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    assert len(search_space(model)) == 0 and search_space(model).size == 1
    plain = extract(model.eval(), {})
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(plain(x), model(x)) and not plain.training


# -- active ----------------------------------------------------------------------------------------


def test_active_restores_after_an_exception_and_refuses_nesting() -> None:
    model = Net()
    arch = search_space(model).extreme(0)
    with pytest.raises(RuntimeError, match="inside"), active(model, arch):
        assert model.stem.width_out == 4
        raise RuntimeError("inside")
    assert isinstance(model.stem.width_out, Choice)
    with (
        active(model, arch),
        pytest.raises(UserError, match="one architecture at a time"),
        active(model, arch),
    ):
        pass
    with active(model, arch), pytest.raises(UserError, match="leave that first"):
        extract(model, arch)
    assert isinstance(model.stem.width_out, Choice)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 5}, r"width=5 is not one of \(4, 6, 8\)"),
        ({"widht": 4}, "no decision named 'widht'.*did you mean 'width'"),
        ({"kernel": None}, "kernel=None is not one of"),
    ],
)
def test_foreign_architectures_are_refused(change, message: str) -> None:
    model = Net()
    arch = {**search_space(model).extreme(0), **change}
    for use in (
        lambda: active(model, arch).__enter__(),
        lambda: extract(model, arch),
        lambda: slices(model, arch),
    ):
        with pytest.raises(OutOfSpace, match=message):
            use()
    with pytest.raises(OutOfSpace, match="does not decide 'width'"):
        extract(model, {"kernel": 3, "body.depth": 1})


def test_training_steps_move_only_what_is_active() -> None:
    model = Net()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    arch = search_space(model).extreme(0)
    with active(model, arch):
        model(torch.randn(4, 3, 6, 6)).square().sum().backward()
    optimizer.step()
    assert torch.equal(model.stem.weight[4:], before["stem.weight"][4:])
    assert not torch.equal(model.stem.weight[:4], before["stem.weight"][:4])
    assert torch.equal(model.get_submodule("body.1").weight, before["body.1.weight"])
    # a mixture's statistics fit none
    assert torch.equal(model.norm.running_mean, before["norm.running_mean"])


# -- extract ---------------------------------------------------------------------------------------


def test_extracted_networks_hold_only_what_they_use() -> None:
    model = mobilenet(10, 3, 32)
    space = search_space(model)
    small = extract(model, space.extreme(0))
    storages = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
        for t in small.state_dict().values()
    }
    assert sum(storages.values()) == sum(
        t.numel() * t.element_size() for t in small.state_dict().values()
    )
    assert not any(
        "gates" in vars(m) or any(isinstance(v, Choice | Derived) for v in vars(m).values())
        for m in small.modules()
    )


def test_extract_keeps_frozen_parameters_tied_weights_and_modes() -> None:
    model = nn.Sequential(
        Linear(3, Choice(3, 4, name="w")), nn.Linear(3, 3), nn.Linear(3, 3), nn.Dropout()
    )
    model[0].weight.requires_grad_(False)
    model[2].weight = model[1].weight
    model[3].eval()
    plain = extract(model, {"w": 3})
    assert not plain[0].weight.requires_grad and plain[0].bias.requires_grad
    assert plain[1].weight is plain[2].weight and plain[1].weight is not model[1].weight
    assert plain.training and not plain[3].training
    fresh = extract(model, {"w": 3}, "fresh")
    assert fresh[1].weight is fresh[2].weight and not fresh[0].weight.requires_grad


def test_tied_elastic_layers_stay_tied() -> None:
    width = Choice(2, 4, name="w")
    model = nn.Sequential(Linear(width, 3), nn.ReLU(), Linear(3, width))
    model[2].weight = nn.Parameter(torch.randn(4, 3))
    third = Linear(3, width)
    third.weight = model[2].weight
    model.append(nn.Linear(2, 3)).append(third)
    for weights in ("shared", "fresh"):
        plain = extract(model, {"w": 2}, weights)
        assert plain[4].weight is plain[2].weight and plain[0].weight is not plain[2].weight


def test_torchs_attention_gets_fresh_weights() -> None:
    model = nn.Sequential(
        Linear(4, Choice(4, name="w")), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    )
    plain = extract(model, {"w": 4}, "fresh")
    assert (
        plain[1].self_attn.in_proj_weight.abs().sum() > 0
        and not plain[1].self_attn.out_proj.bias.any()
    )


def test_statistics_counters_and_optional_tensors_come_along() -> None:
    model = nn.Sequential(BatchNorm2d(Choice(2, 4, name="w")), nn.BatchNorm2d(2, affine=False))
    model[0].num_batches_tracked += 7
    model[0].running_mean.copy_(torch.arange(4.0))
    plain = extract(model, {"w": 2})
    assert plain[0].num_batches_tracked == 7 and plain[0].running_mean.tolist() == [0, 1]
    fresh = extract(model, {"w": 2}, "fresh")
    assert fresh[0].num_batches_tracked == 0 and fresh[0].running_mean.tolist() == [0, 0]


def test_fresh_parameters_of_ones_own_need_a_reset() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(2))

    class Resettable(Scale):
        def reset_parameters(self) -> None:
            nn.init.constant_(self.scale, 3)

    with pytest.raises(
        UserError,
        match=r"Scale at '0' holds \['scale'\] but has no "
        r"reset_parameters",
    ):
        extract(nn.Sequential(Scale()), {}, "fresh")
    assert extract(nn.Sequential(Resettable()), {}, "fresh")[0].scale.tolist() == [3, 3]


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(UserError, match="'new' is not one of 'shared', 'fresh'"):
        extract(Net(), search_space(Net()).extreme(0), weights="new")  # type: ignore[arg-type]


def test_an_extracted_network_is_a_model_of_its_own() -> None:
    model = Net()
    plain = extract(model, search_space(model).sample(Random(0)))
    assert len(search_space(plain)) == 0
    again = extract(plain.eval(), {})
    x = torch.randn(2, 3, 6, 6)
    assert torch.equal(again(x), plain(x))
    before = [t.clone() for t in model.state_dict().values()]
    plain.train()(x)
    plain(x).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    assert all(p.grad is None for p in model.parameters())


# -- dimensions, calibrate -------------------------------------------------------------------------


def test_dimensions_by_hand() -> None:
    found = {
        name: {(d.tensor, d.axis) for d in entries} for name, entries in dimensions(Net()).items()
    }
    assert found["kernel"] == {("stem.weight", 2), ("stem.weight", 3)}
    assert found["body.depth"] == set()
    assert {
        ("stem.weight", 0),
        ("stem.bias", 0),
        ("norm.running_var", 0),
        ("head.weight", 1),
        ("body.3.weight", 0),
    } <= found["width"]
    assert ("head.weight", 0) not in found["width"]


def test_calibrate_takes_the_mean_of_batch_statistics() -> None:
    plain = extract(Net(), search_space(Net()).extreme(-1)).train()
    plain.norm.momentum = 0.3
    batches = [
        torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(s)) for s in range(3)
    ]
    with torch.no_grad():
        inputs = [plain.stem(b) for b in batches]
    assert calibrate(plain, iter(batches)) is plain
    mean = torch.stack([i.mean((0, 2, 3)) for i in inputs]).mean(0)
    variance = torch.stack([i.var((0, 2, 3)) for i in inputs]).mean(0)
    torch.testing.assert_close(plain.norm.running_mean, mean)
    torch.testing.assert_close(plain.norm.running_var, variance)
    assert plain.norm.momentum == 0.3 and plain.training


def test_calibrate_refuses_a_supernet_and_restores_after_failure() -> None:
    with pytest.raises(UserError, match="use extract first"):
        calibrate(Net(), [torch.zeros(2, 3, 5, 5)])
    plain = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout()).train()
    with pytest.raises(ValueError, match="4D"):
        calibrate(plain, [torch.zeros(3)])
    assert plain[0].momentum == 0.1 and plain[1].training


def test_one_of_inside_sequential_keeps_positions() -> None:
    model = nn.Sequential(
        OneOf({"a": Linear(2, 2), "b": nn.Identity()}, choice=Choice("a", "b", name="op")),
        nn.ReLU(),
    )
    assert isinstance(extract(model, {"op": "a"})[0], nn.Linear) and isinstance(
        extract(model, {"op": "b"})[0], nn.Identity
    )
