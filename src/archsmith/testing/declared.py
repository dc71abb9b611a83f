"""Rules of what a layer says of itself: its axes, its twin, its weights."""

from __future__ import annotations

from torch import nn

from archsmith.elastic.layer import is_elastic, width
from archsmith.elastic.structure import read
from archsmith.space import choices_of
from archsmith.testing.case import Case, require, tensors_of


def check_decisions(case: Case) -> None:
    missing = [name for name in ("axes", "weights", "plain") if not hasattr(type(case.layer), name)]
    require(not missing, f"it has no `{', '.join(missing)}`")
    require(
        bool(case.space),
        "no Choice was found among its attributes; keep sizes there: self.width = width",
    )


def check_axes(case: Case) -> None:
    layer, axes, known = case.layer, case.layer.axes(), read(case.layer).names
    for name in layer._parameters.keys() - axes.keys():
        require(layer._parameters[name] is None, f"it does not name '{name}'")
    for name, sizes in axes.items():
        require(
            name in {**layer._parameters, **layer._buffers},
            f"it names '{name}', and the layer has no such tensor",
        )
        tensor = tensors_of(layer).get(name)
        if tensor is None:
            continue
        require(
            len(sizes) == tensor.dim(),
            f"it gives {len(sizes)} sizes for '{name}', which has {tensor.dim()} axes",
        )
        for axis, (size, length) in enumerate(zip(sizes, tensor.shape, strict=True)):
            if size is not None:
                end = width(size)
                require(
                    end == length,
                    f"'{name}' is {length} long along axis {axis}, its size "
                    f"there becomes {end} at most",
                )
            for choice in choices_of(size):
                require(
                    choice in known,
                    f"axis {axis} of '{name}' hangs on {choice!r}, which is "
                    f"no attribute of the layer",
                )


def check_plain(case: Case) -> None:
    for arch, twin in case.twins():
        where = f"in the network {dict(arch)}"
        require(isinstance(twin, nn.Module), f"it gives a {type(twin).__name__} {where}")
        require(
            not any(map(is_elastic, twin.modules())),
            f"it gives {type(twin).__name__}, which is elastic itself, {where}",
        )
        require(
            not read(twin).space, f"it gives {type(twin).__name__}, which holds a Choice, {where}"
        )
        require(twin is not case.layer.plain(), f"it gives the same module twice {where}")
        for name, tensor in twin.state_dict().items():
            require(tensor.is_meta, f"'{name}' of it lies on {tensor.device} {where}")
            require(
                "." not in name,
                f"it holds '{name}', a tensor of a child; it must hold all itself {where}",
            )
            held = tensors_of(case.layer).get(name)
            require(held is not None, f"it holds '{name}', and the layer does not {where}")
            require(
                held is not None and held.dtype == tensor.dtype,
                f"'{name}' of it is {tensor.dtype} {where}",
            )


def check_weights(case: Case) -> None:
    for arch, twin in case.twins():
        tensors, where = case.layer.weights(), f"in the network {dict(arch)}"
        for name, tensor in tensors.items():
            wanted = tensors_of(twin).get(name)
            require(wanted is not None, f"it gives '{name}', which the twin does not hold {where}")
            if wanted is not None:
                message = (
                    f"'{name}' is {tuple(tensor.shape)}, of the twin {tuple(wanted.shape)} {where}"
                )
                require(tensor.shape == wanted.shape, message)
        for name, parameter in twin._parameters.items():
            if parameter is not None:
                require(name in tensors, f"it gives no '{name}', which the twin holds {where}")
                learns = (
                    tensors[name].requires_grad or not case.layer._parameters[name].requires_grad
                )
                require(learns, f"no gradient reaches '{name}' through it {where}")
        for name, buffer in tensors_of(twin).items():
            there = name in tensors or case.layer._buffers[name].shape == buffer.shape
            require(
                there, f"it gives no '{name}', which is {tuple(buffer.shape)} in the twin {where}"
            )


def check_state_dict(case: Case) -> None:
    twins = [case.layer.plain()] + ([] if case.twin is None else [case.twin()])
    own = {name: tuple(t.shape) for name, t in case.layer.state_dict().items()}
    for twin in twins:
        wanted = {name: tuple(t.shape) for name, t in twin.state_dict().items()}
        shared = {name: shape for name, shape in own.items() if name in wanted}
        require(
            list(shared.items()) == list(wanted.items()), f"it holds {shared}, the twin {wanted}"
        )
        for name in own.keys() - wanted.keys():
            require(
                name in case.layer.axes(),
                f"it holds '{name}', which neither the twin nor `axes` knows",
            )
    if case.twin is not None:
        made, given = repr(twins[0]), repr(twins[1])
        require(
            type(twins[0]) is type(twins[1]) and made == given,
            f"`plain` gives {made} and not {given}",
        )
