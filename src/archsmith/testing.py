"""The contract of elastic layers as a test that anybody can run on a layer of their own:
`check_layer`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from archsmith._internal.seeding import seeded
from archsmith.elastic.layer import Index, is_elastic, shapes, width
from archsmith.elastic.reading import TORCH_INTERNAL, read
from archsmith.elastic.supernet import active, dimensions, extract, slices
from archsmith.elastic.widths import tensors_in
from archsmith.metrics.cost import NAMES, Costs
from archsmith.space import Architecture, Choice, SearchSpace, choices_of

Inputs = Callable[[Mapping[str, Any]], Tensor | tuple[Tensor, ...]]
_CLOSE = 1e-8  # of double precision

RULES = {
    "decisions": "it has `axes`, `weights` and `plain`, and keeps its sizes as attributes, where "
    "`search_space` finds them",
    "axes": "`axes` names each parameter, with the size along each axis (None: all of it), the "
    "largest being its length",
    "plain": "`plain` gives a new module on `meta` of the current sizes and the layer's dtype, "
    "with nothing elastic in it",
    "weights": "`weights` gives the tensors that the plain twin holds, in their shapes, open to "
    "gradients",
    "state_dict": "its state_dict has the keys and shapes of its largest twin's, beside what "
    "`axes` names as its own",
    "largest": "outside `active` it computes what its largest twin with its weights does, to the "
    "bit",
    "active": "within `active` it computes what the extracted network does",
    "slices": "what is extracted is what `axes` says: those parts of the tensors, and nothing else "
    "has a say",
    "gradients": "within `active` gradients are those of the extracted network, through `weights`",
    "counts": "parameters, MACs and memory that follow from `axes` and the sizes are those of the "
    "extracted network",
    "fresh": "it can be made on `meta`, and its twins draw their own weights by `reset_parameters`",
    "untouched": "computing and extracting leave its tensors, attributes, modes and torch's "
    "generator as they were",
    "copies": "it can be pickled and copied, and a copy computes the same with tensors of its own",
}


def check_layer(
    make: Callable[[], nn.Module],
    inputs: Inputs,
    *,
    twin: Callable[[], nn.Module] | None = None,
    architectures: int = 32,
) -> None:
    """Runs the whole contract of elastic layers (RULES) on one; AssertionError with the rule that
    it breaks, in words.

    make: the layer, anew at each call, at least one of its sizes a Choice. inputs: its sizes,
    decision name -> option, to what `forward` takes, a tensor or several. twin: what it is at its
    largest, if that is a layer of its own, such as one of torch.nn. architectures: how many of its
    sizes are tried; all where there are no more.

        check_layer(lambda: Scale(Choice(4, 8, name="width")), lambda sizes: torch.ones(2,
        sizes["width"]))
    """
    case = _Case(make, inputs, twin, architectures)
    for rule, check in _CHECKS.items():
        try:
            check(case)
        except Exception as error:
            seen = (
                str(error)
                if isinstance(error, _Broken)
                else (f"it raised {type(error).__name__}: {error}")
            )
            raise AssertionError(
                f"{type(case.layer).__name__} breaks the rule '{rule}': {RULES[rule]}; {seen}"
            ) from error


class _Broken(Exception):
    """What was seen of a rule that is broken."""


def _require(kept: bool, seen: str) -> None:
    if not kept:
        raise _Broken(seen)


class _Case:
    """A layer in double precision with numbers everywhere that tell, and its architectures."""

    def __init__(
        self,
        make: Callable[[], nn.Module],
        inputs: Inputs,
        twin: Callable[[], nn.Module] | None,
        count: int,
    ) -> None:
        self.make, self.given, self.twin, self.count = make, inputs, twin, count
        self.layer: Any = _told_apart(make()).double()

    @cached_property
    def space(self) -> SearchSpace:
        return read(self.layer).space

    @cached_property
    def largest(self) -> Architecture:
        return self.space.complete(
            {name: max(options) for name, options in self.space.items()}, Random(0)
        )

    @cached_property
    def architectures(self) -> list[Architecture]:
        if self.space.size <= self.count:
            return list(self.space.architectures())
        rng = Random(0)
        drawn = (self.space.sample(rng) for _ in range(self.count - 2))
        return list(dict.fromkeys((self.largest, self.space.extreme(0), *drawn)))

    def inputs(
        self, sizes: Mapping[str, Any], dtype: torch.dtype = torch.float64
    ) -> tuple[Tensor, ...]:
        with seeded(0):
            given = self.given(dict(sizes))
        given = (given,) if isinstance(given, Tensor) else given
        return tuple(t.detach().to(dtype) if t.is_floating_point() else t for t in given)

    def twins(self) -> Iterator[tuple[Architecture, Any]]:
        """Each architecture, the model switched to it, with its plain twin on `meta`."""
        for arch in self.architectures:
            with active(self.layer, arch):
                yield arch, self.layer.plain()


def _told_apart(layer: nn.Module) -> nn.Module:
    """Random numbers in every tensor; in buffers, which may be variances, none below zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(generator=generator)
        for buffer in layer.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5, generator=generator)
    return layer


def _run(layer: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with seeded(1):  # for layers that draw
        return list(tensors_in(layer(*inputs)))


def _require_close(actual: Tensor | None, expected: Tensor, what: str, arch: Architecture) -> None:
    actual = torch.zeros_like(expected) if actual is None else actual
    where = f"in the network {dict(arch)}"
    _require(
        actual.shape == expected.shape,
        f"{what} is {tuple(actual.shape)}, of the twin {tuple(expected.shape)} {where}",
    )
    if not torch.allclose(actual, expected, _CLOSE, _CLOSE, equal_nan=True):
        raise _Broken(f"{what} is off by {float((actual - expected).abs().max()):.3g} {where}")


def _held(module: nn.Module) -> dict[str, Tensor]:
    """A module's own parameters and buffers."""
    return {
        name: t
        for name, t in (*module._parameters.items(), *module._buffers.items())
        if t is not None
    }


# -- the rules -----------------------------------------------------------------------------------


def _check_decisions(case: _Case) -> None:
    missing = [name for name in ("axes", "weights", "plain") if not hasattr(type(case.layer), name)]
    _require(not missing, f"it has no `{', '.join(missing)}`")
    _require(
        bool(case.space),
        "no Choice was found among its attributes; keep sizes there: self.width = width",
    )


def _check_axes(case: _Case) -> None:
    layer, axes, known = case.layer, case.layer.axes(), read(case.layer).names
    for name in layer._parameters.keys() - axes.keys():
        _require(layer._parameters[name] is None, f"it does not name '{name}'")
    for name, sizes in axes.items():
        _require(
            name in {**layer._parameters, **layer._buffers},
            f"it names '{name}', and the layer has no such tensor",
        )
        tensor = _held(layer).get(name)
        if tensor is None:
            continue
        _require(
            len(sizes) == tensor.dim(),
            f"it gives {len(sizes)} sizes for '{name}', which has {tensor.dim()} axes",
        )
        for axis, (size, length) in enumerate(zip(sizes, tensor.shape, strict=True)):
            if size is not None:
                end = width(size)
                _require(
                    end == length,
                    f"'{name}' is {length} long along axis {axis}, its size "
                    f"there becomes {end} at most",
                )
            for choice in choices_of(size):
                _require(
                    choice in known,
                    f"axis {axis} of '{name}' hangs on {choice!r}, which is "
                    f"no attribute of the layer",
                )


def _check_plain(case: _Case) -> None:
    for arch, twin in case.twins():
        where = f"in the network {dict(arch)}"
        _require(isinstance(twin, nn.Module), f"it gives a {type(twin).__name__} {where}")
        _require(
            not any(map(is_elastic, twin.modules())),
            f"it gives {type(twin).__name__}, which is elastic itself, {where}",
        )
        _require(
            not read(twin).space, f"it gives {type(twin).__name__}, which holds a Choice, {where}"
        )
        _require(twin is not case.layer.plain(), f"it gives the same module twice {where}")
        for name, tensor in twin.state_dict().items():
            _require(tensor.is_meta, f"'{name}' of it lies on {tensor.device} {where}")
            _require(
                "." not in name,
                f"it holds '{name}', a tensor of a child; it must hold all itself {where}",
            )
            held = _held(case.layer).get(name)
            _require(held is not None, f"it holds '{name}', and the layer does not {where}")
            _require(
                held is not None and held.dtype == tensor.dtype,
                f"'{name}' of it is {tensor.dtype} {where}",
            )


def _check_weights(case: _Case) -> None:
    for arch, twin in case.twins():
        tensors, where = case.layer.weights(), f"in the network {dict(arch)}"
        for name, tensor in tensors.items():
            wanted = _held(twin).get(name)
            _require(wanted is not None, f"it gives '{name}', which the twin does not hold {where}")
            if wanted is not None:
                told = (
                    f"'{name}' is {tuple(tensor.shape)}, of the twin {tuple(wanted.shape)} {where}"
                )
                _require(tensor.shape == wanted.shape, told)
        for name, parameter in twin._parameters.items():
            if parameter is not None:
                _require(name in tensors, f"it gives no '{name}', which the twin holds {where}")
                learns = (
                    tensors[name].requires_grad or not case.layer._parameters[name].requires_grad
                )
                _require(learns, f"no gradient reaches '{name}' through it {where}")
        for name, buffer in _held(twin).items():
            there = name in tensors or case.layer._buffers[name].shape == buffer.shape
            _require(
                there, f"it gives no '{name}', which is {tuple(buffer.shape)} in the twin {where}"
            )


def _check_state_dict(case: _Case) -> None:
    twins = [case.layer.plain()] + ([] if case.twin is None else [case.twin()])
    own = {name: tuple(t.shape) for name, t in case.layer.state_dict().items()}
    for twin in twins:
        wanted = {name: tuple(t.shape) for name, t in twin.state_dict().items()}
        shared = {name: shape for name, shape in own.items() if name in wanted}
        _require(
            list(shared.items()) == list(wanted.items()), f"it holds {shared}, the twin {wanted}"
        )
        for name in own.keys() - wanted.keys():
            _require(
                name in case.layer.axes(),
                f"it holds '{name}', which neither the twin nor `axes` knows",
            )
    if case.twin is not None:
        made, given = repr(twins[0]), repr(twins[1])
        _require(
            type(twins[0]) is type(twins[1]) and made == given,
            f"`plain` gives {made} and not {given}",
        )


def _check_largest(case: _Case) -> None:
    layer: Any = _told_apart(case.make())
    twin = layer.plain() if case.twin is None else case.twin()
    for name, parameter in twin._parameters.items():
        if parameter is not None:
            twin._parameters[name] = nn.Parameter(layer._parameters[name].detach().clone())
    for name, buffer in twin._buffers.items():
        if buffer is not None:
            twin._buffers[name] = layer._buffers[name].detach().clone()
    inputs = case.inputs(case.largest, torch.float32)
    for training in (False, True):
        for made, wanted in zip(
            _run(layer.train(training), inputs), _run(twin.train(training), inputs), strict=True
        ):
            same = made.shape == wanted.shape and torch.equal(
                made.nan_to_num(), wanted.nan_to_num()
            )
            _require(same, f"they differ in {'train' if training else 'eval'} mode")


def _check_active(case: _Case) -> None:
    for arch in case.architectures:
        inputs = case.inputs(arch)
        for training in (False, True):
            plain = extract(case.layer.train(training), arch)
            _require(
                plain.training is training,
                f"the extracted network is in another mode than the layer in {dict(arch)}",
            )
            with torch.no_grad(), active(case.layer, arch):
                made = _run(case.layer, inputs)
            with torch.no_grad():
                for one, other in zip(made, _run(plain, inputs), strict=True):
                    _require_close(
                        one, other, f"the output in {'train' if training else 'eval'} mode", arch
                    )


def _check_gradients(case: _Case) -> None:
    layer = case.layer.train()
    for arch in case.architectures:
        plain = extract(layer, arch)
        with active(layer, arch):
            mine = _gradients(layer, case.inputs(arch))
        wanted = _gradients(plain, case.inputs(arch))
        for one, other in zip(mine.pop(""), wanted.pop(""), strict=True):
            _require_close(one, other, "the gradient of the input", arch)
        for name, expected in _pulled_back(layer, arch, wanted).items():
            _require_close(mine[name], expected, f"the gradient of '{name}'", arch)


def _gradients(module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
    """Of a weighted sum of the outputs: by the parameters, and under "" by the inputs that can have
    one."""
    module.zero_grad(set_to_none=True)
    inputs = tuple(t.clone().requires_grad_() if t.is_floating_point() else t for t in inputs)
    generator, total = torch.Generator().manual_seed(2), torch.zeros((), dtype=torch.float64)
    for output in _run(module, inputs):
        if output.requires_grad:
            total = (
                total
                + (
                    output * torch.randn(output.shape, generator=generator, dtype=output.dtype)
                ).sum()
            )
    _require(total.requires_grad, "the output hangs on nothing that learns")
    total.backward()
    found: dict[str, Any] = {
        name: p.grad for name, p in module.named_parameters() if p.requires_grad
    }
    found[""] = [
        torch.zeros_like(t) if t.grad is None else t.grad for t in inputs if t.is_floating_point()
    ]
    return found


def _pulled_back(
    layer: Any, arch: Architecture, wanted: Mapping[str, Tensor | None]
) -> dict[str, Tensor]:
    """What the gradients of the twin are to the layer's own parameters, by the chain rule through
    `weights`."""
    parameters = {name: p for name, p in layer.named_parameters() if p.requires_grad}
    with active(layer, arch):
        made = {name: tensor for name, tensor in layer.weights().items() if tensor.requires_grad}
    if not made:
        return {}
    ends = [torch.zeros_like(made[n]) if wanted.get(n) is None else wanted[n] for n in made]
    found = torch.autograd.grad(
        list(made.values()), list(parameters.values()), ends, allow_unused=True
    )
    back = zip(parameters.items(), found, strict=True)
    return {
        name: torch.zeros_like(parameter) if grad is None else grad
        for (name, parameter), grad in back
    }


def _check_slices(case: _Case) -> None:
    governed = {(d.tensor, d.axis) for found in dimensions(case.layer).values() for d in found}
    for arch in case.architectures:
        where, plain = slices(case.layer, arch), _held(extract(case.layer, arch))
        spoilt = copy.deepcopy(case.layer)
        for name, tensor in _held(case.layer).items():
            part = tensor.detach()[_grid(where[name])]
            for axis, (kept, length) in enumerate(zip(part.shape, tensor.shape, strict=True)):
                told = (
                    f"a part of '{name}' along axis {axis} is taken, which no decision governs, "
                    f"in {dict(arch)}"
                )
                _require(kept == length or (name, axis) in governed, told)
            # kernels go through matrices
            if name in plain and not (name == "weight" and hasattr(case.layer, "region")):
                wanted = plain[name].detach()
                told = (
                    f"'{name}' is {tuple(part.shape)} by `axes`, {tuple(wanted.shape)} in the "
                    f"network {dict(arch)}"
                )
                _require(part.shape == wanted.shape, told)
                _require(
                    torch.equal(part, wanted),
                    f"'{name}' holds other numbers in the network {dict(arch)}",
                )
            if tensor.is_floating_point():
                with torch.no_grad():
                    _held(spoilt)[name].add_(1)[_grid(where[name])] = part
        for name, tensor in _held(extract(spoilt, arch)).items():
            kept = torch.equal(tensor, plain[name])
            _require(
                kept, f"'{name}' takes numbers from outside its slices in the network {dict(arch)}"
            )


def _grid(where: tuple[Index, ...]) -> tuple[Index, ...]:
    """Index of the product of one slice or index tensor per axis."""
    if all(isinstance(w, slice) for w in where):
        return where
    ranges = [torch.arange(w.start, w.stop) if isinstance(w, slice) else w for w in where]
    return tuple(torch.meshgrid(*ranges, indexing="ij"))


class _Fed(nn.Module):
    """A network of the layer alone, which is given inputs of the sizes that it has, whatever the
    network is given."""

    def __init__(self, layer: nn.Module, decisions: Mapping[str, Choice], inputs: Inputs) -> None:
        super().__init__()
        self.layer, self.decisions, self.inputs = layer, dict(decisions), inputs

    def extra_repr(self) -> str:
        return str(self.decisions)

    def forward(self, x: Tensor) -> Any:
        with seeded(0):
            given = self.inputs(self.decisions)
        return self.layer(
            *(t.to(x.device) for t in ((given,) if isinstance(given, Tensor) else given))
        )


def _check_counts(case: _Case) -> None:
    layer = case.make()
    names = read(layer).names
    for arch in case.architectures:
        twin = extract(layer, arch, "fresh", device="meta")
        wanted = {name: tuple(p.shape) for name, p in twin.named_parameters()}
        found = shapes(
            layer, {choice: arch[name] for choice, name in names.items() if name in arch}
        )
        _require(
            found == wanted,
            f"parameters are {found} by `axes`, {wanted} in the network {dict(arch)}",
        )
    fed = _Fed(layer, {name: choice for choice, name in names.items()}, case.given)
    costs, space, rng = Costs(fed, (1, 1, 1), NAMES), read(fed).space, Random(0)
    _require(
        costs.additive, "MACs are not so many for each element of the weight, nor told by the sizes"
    )
    for arch in (space.extreme(0), space.extreme(-1), *(space.sample(rng) for _ in range(8))):
        counted, exact = costs(arch), costs.exact(arch)
        _require(
            counted == exact, f"{counted} is counted, {exact} is right in the network {dict(arch)}"
        )


def _check_untouched(case: _Case) -> None:
    layer = case.layer
    for training in (True, False):
        layer.train(training)
        before, state = copy.deepcopy(layer.state_dict()), torch.get_rng_state()
        attributes = _attributes(layer)
        for arch in case.architectures:
            with torch.no_grad(), active(layer, arch):
                _run(layer, case.inputs(arch))
            extract(layer, arch), extract(layer, arch, "fresh")
        for name, tensor in layer.state_dict().items():
            _require(
                torch.equal(tensor, before[name]),
                f"'{name}' changed in {'train' if training else 'eval'} mode",
            )
        _require(torch.equal(torch.get_rng_state(), state), "torch's generator moved")
        _require(layer.training is training, "it is in another mode")
        _require(
            _attributes(layer) == attributes,
            f"its attributes were {attributes} and are {_attributes(layer)}",
        )


def _attributes(layer: nn.Module) -> dict[str, str]:
    return {name: repr(value) for name, value in vars(layer).items() if name not in TORCH_INTERNAL}


def _check_fresh(case: _Case) -> None:
    with torch.device("meta"):
        meta = case.make()
    for name, tensor in meta.state_dict().items():
        _require(tensor.is_meta, f"'{name}' of it lies on {tensor.device}")
    for arch in case.architectures[:8]:
        networks = [
            extract(meta, arch, "fresh", torch.Generator().manual_seed(3)) for _ in range(2)
        ]
        first, second = (network.state_dict() for network in networks)
        _require(
            all(torch.equal(first[name], second[name]) for name in first),
            "the same generator draws other weights",
        )
        inputs = case.inputs(arch, torch.float32)
        made, wanted = (
            _run(n.eval(), inputs) for n in (networks[0], extract(case.make(), arch).eval())
        )
        same = [t.shape for t in made] == [t.shape for t in wanted]
        _require(
            same,
            f"the output has another shape than with shared weights in the network {dict(arch)}",
        )


def _check_copies(case: _Case) -> None:
    arch = case.space.extreme(0)
    inputs = case.inputs(arch)
    with torch.no_grad(), active(case.layer.eval(), arch):
        wanted = _run(case.layer, inputs)
    for what, twin in (
        ("pickled", pickle.loads(pickle.dumps(case.layer))),
        ("copied", copy.deepcopy(case.layer)),
    ):
        _require(dict(read(twin).space) == dict(case.space), f"once {what} it has other decisions")
        with torch.no_grad(), active(twin, arch):
            same = all(map(torch.equal, _run(twin, inputs), wanted))
        _require(same, f"once {what} it computes something else")
        own = {t.data_ptr() for t in _held(case.layer).values()}
        _require(
            not own & {t.data_ptr() for t in _held(twin).values()},
            f"once {what} it shares tensors with the first",
        )


_CHECKS: dict[str, Callable[[_Case], None]] = {
    "decisions": _check_decisions,
    "axes": _check_axes,
    "plain": _check_plain,
    "weights": _check_weights,
    "state_dict": _check_state_dict,
    "largest": _check_largest,
    "active": _check_active,
    "slices": _check_slices,
    "gradients": _check_gradients,
    "counts": _check_counts,
    "fresh": _check_fresh,
    "untouched": _check_untouched,
    "copies": _check_copies,
}
