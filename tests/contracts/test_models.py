"""The laws that every elastic network keeps: extraction, gradients, untouched state, restriction,
copies, costs."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
import torch
from elastic_models import MODELS, Tangle, randomized
from torch import Tensor, nn

from archsmith.elastic import Choice, Derived
from archsmith.elastic.layer import is_elastic
from archsmith.elastic.supernet import active, dimensions, extract, search_space, slices
from archsmith.metrics.cost import NAMES, Costs
from archsmith.space import Architecture, Concat, SearchSpace
from archsmith.spaces.mobilenet import mobilenet


class Case:
    """One model with its space, an input, and random architectures."""

    def __init__(self, name: str) -> None:
        make, shape, self.count = MODELS[name]
        self.name, self.make, self.shape = name, make, shape
        self.model = randomized(make())
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # or no two runs in train mode agree
        self.space = search_space(self.model)
        self.x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))

    def architectures(self, count: int | None = None) -> Iterator[Architecture]:
        rng = Random(2)
        yield from (self.space.extreme(-1), self.space.extreme(0))
        yield from (self.space.sample(rng) for _ in range(self.count if count is None else count))


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def run(model: nn.Module, arch: Architecture, x: Tensor) -> Tensor:
    with active(model, arch):
        return model(x)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_an_extracted_network_computes_what_the_active_model_does(case: Case) -> None:
    for arch in case.architectures():
        plain = extract(case.model, arch)
        assert not any(is_elastic(m) for m in plain.modules())
        for training in (False, True):
            case.model.train(training), plain.train(training)
            with torch.no_grad():
                close(plain(case.x), run(case.model, arch, case.x))


def test_gradients_reach_exactly_the_slices(case: Case) -> None:
    model = case.model.train()
    for arch in case.architectures(min(case.count, 8)):
        model.zero_grad(set_to_none=True)
        with active(model, arch):
            model(case.x).square().sum().backward()
        where = slices(model, arch)
        for name, parameter in model.named_parameters():
            if parameter.grad is None:
                continue
            assert name in where, name
            outside = parameter.grad.clone()
            outside[_grid(where[name])] = 0
            assert not outside.any(), name
        _assert_no_influence(
            [p for n, p in model.named_parameters() if p.grad is None and n in where], case, arch
        )


def _assert_no_influence(parameters: list[nn.Parameter], case: Case, arch: Architecture) -> None:
    """Slices without a gradient: matrices of kernels that are not cropped, operations on a cell's
    dead edges."""
    before = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        output = run(case.model, arch, case.x)
        for parameter in parameters:
            parameter.add_(1)
        assert torch.equal(run(case.model, arch, case.x), output)
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)


def _grid(where: tuple[Any, ...]) -> Any:
    """Index of the product of one slice or index tensor per axis."""
    if all(isinstance(w, slice) for w in where):
        return where
    ranges = [torch.arange(w.start, w.stop) if isinstance(w, slice) else w for w in where]
    return tuple(torch.meshgrid(*ranges, indexing="ij"))


def test_slices_are_what_the_extracted_network_holds(case: Case) -> None:
    for arch in case.architectures(min(case.count, 5)):
        with active(case.model, arch):
            expected = {
                f"{path}.{name}" if path else name: tuple(t.shape)
                for path, m in case.model.named_modules()
                if is_elastic(m)
                for name, t in m.weights().items()
            }
        state = case.model.state_dict()
        for name, where in slices(case.model, arch).items():
            if name in expected:
                shape, kernel = expected[name], len(expected[name]) == 4
                assert (
                    tuple(state[name][_grid(where)].shape)[: 2 if kernel else None]
                    == shape[: 2 if kernel else None]
                ), name


def test_evaluation_leaves_weights_buffers_modes_and_generators_alone(case: Case) -> None:
    model = case.model
    for training in (True, False):
        model.train(training)
        before, rng, attributes = (
            copy.deepcopy(model.state_dict()),
            torch.get_rng_state(),
            _attributes(model),
        )
        for arch in case.architectures(1):
            with torch.no_grad():
                run(model, arch, case.x)
                extract(model, arch)(case.x)
                extract(model, arch, "fresh")(case.x)
            slices(model, arch)
        assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
        assert torch.equal(torch.get_rng_state(), rng)
        assert all(m.training == training for m in model.modules())
        assert _attributes(model) == attributes


def _attributes(model: nn.Module) -> list[tuple[str, dict[str, Any]]]:
    torchs = vars(nn.Module())
    as_it_is = lambda value: value if isinstance(value, Choice | Derived | Concat) else str(value)  # noqa: E731
    return [
        (path, {k: as_it_is(v) for k, v in vars(m).items() if k not in torchs})
        for path, m in model.named_modules()
    ]


def test_restricted_spaces_keep_key_vector_and_network(case: Case) -> None:
    rng = Random(5)
    for _ in range(5):
        names = rng.sample(list(case.space), min(4, len(case.space)))
        small = case.space.restrict(
            {n: rng.sample(case.space[n], max(1, len(case.space[n]) - 1)) for n in names}
        )
        arch = small.sample(rng)
        same = Architecture.from_json(arch.to_json())
        assert (
            case.space.contains(arch)
            and same.key == arch.key
            and small.encode(arch) == case.space.encode(arch)
        )
        assert small.size <= case.space.size
        extract(case.model, arch, "fresh", device="meta")


def test_copies_and_neighbors_share_nothing(case: Case) -> None:
    arch, other = case.space.extreme(-1), case.space.extreme(0)
    case.model.eval()
    twin, third = copy.deepcopy(case.model), pickle.loads(pickle.dumps(case.model))
    assert dict(search_space(twin)) == dict(search_space(third)) == dict(case.space)
    with torch.no_grad():
        expected = run(case.model, other, case.x)
        close(run(third, other, case.x), expected)
        # side by side, each its own architecture
        with active(twin, arch), active(case.model, other):
            close(case.model(case.x), expected)
            for parameter in twin.parameters():
                parameter.zero_()
        close(run(case.model, other, case.x), expected)
        plain = extract(case.model, other)
        for parameter in plain.parameters():
            parameter.zero_()
        close(run(case.model, other, case.x), expected)
    assert not {id(p) for p in plain.parameters()} & {id(p) for p in case.model.parameters()}


def test_fresh_weights_come_from_the_generator_alone_also_on_meta(case: Case) -> None:
    with torch.device("meta"):
        meta = case.make()
    arch = case.space.sample(Random(3))
    networks = [
        extract(m, arch, "fresh", torch.Generator().manual_seed(s))
        for m, s in ((meta, 7), (case.model, 7), (meta, 8))
    ]
    first, second, third = (n.state_dict() for n in networks)
    assert list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)
    assert any(not torch.equal(first[k], third[k]) for k in first)
    assert [t.shape for t in extract(case.model, arch).state_dict().values()] == [
        t.shape for t in first.values()
    ]
    assert all(t.is_meta for t in extract(meta, arch, "fresh", device="meta").state_dict().values())


def test_the_extracted_network_can_be_saved_loaded_and_traced(case: Case) -> None:
    plain = extract(case.model.eval(), case.space.sample(Random(4)))
    stream = io.BytesIO()
    torch.save(plain.state_dict(), stream)
    stream.seek(0)
    plain.load_state_dict(torch.load(stream, weights_only=True))
    close(torch.fx.symbolic_trace(plain)(case.x), plain(case.x))


def test_dimensions_name_every_axis_that_varies(case: Case) -> None:
    """Two architectures that differ in one decision differ in the slices of just the tensors that
    this decision governs."""
    governed = dimensions(case.model)
    assert set(governed) == set(case.space)
    arch = case.space.extreme(-1)
    whole = slices(case.model, arch)
    for name in arch:
        changed = case.space.complete({**arch, name: case.space[name][0]}, Random(0))
        where = slices(case.model, changed)
        differs = {n for n in whole.keys() & where.keys() if str(whole[n]) != str(where[n])}
        assert differs <= {d.tensor for d in governed[name]} | {
            d.tensor.replace("weight", "running_mean") for d in governed[name]
        }


def test_costs_equal_the_exact_count(case: Case) -> None:
    costs = Costs(case.model, case.shape, NAMES)
    assert costs.additive is (case.name not in ("zen", "zen-se"))  # these count themselves
    for arch in case.architectures(min(case.count, 4)):
        assert costs(arch) == costs.exact(arch)


def test_size_equals_enumeration() -> None:
    space = search_space(Tangle())
    assert space.size == sum(1 for _ in space.architectures()) == len(set(space.architectures()))


def test_the_space_of_the_tangle_has_the_conditions_of_its_parents() -> None:
    space = search_space(Tangle())
    arch = space.extreme(0)  # exit 1, skip
    assert set(arch) == {"width", "ratio", "exit", "mixer.choice"}
    assert "kernel" in space.complete({"exit": 1, "mixer.choice": "conv"}, Random(0))
    assert "kernel" in space.complete({"exit": 2, "mixer.choice": "skip"}, Random(0))


@pytest.mark.parametrize("make", [lambda: mobilenet(10, 1, 8), lambda: mobilenet(10)])
def test_extracted_parameters_keep_their_names(make: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        model = make()
    space: SearchSpace = search_space(model)
    names = set(model.state_dict())
    for seed in range(5):
        plain = extract(model, space.sample(Random(seed)), "fresh", device="meta")
        assert isinstance(plain, nn.Sequential) and set(plain.state_dict()) <= names
