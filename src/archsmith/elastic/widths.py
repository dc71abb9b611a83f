"""Whether the widths of a plain network meet: it is run on `meta`, and what does not fit is told by
the layers' names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from archsmith.errors import UserError

_BATCH = 3  # images: few widths are a multiple, so that what mixes images with channels shows
_INPUT = "the input"
_PIXELS = (32, 64, 28, 224, 16, 8)  # tried in turn where nobody says how large the images are
_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm)
_FORMS = ("view", "reshape", "unflatten", "expand")
_ELASTIC = {  # what to write
    **dict.fromkeys(
        ("Linear", "Conv2d", "ConvTranspose2d", "BatchNorm1d", "BatchNorm2d", "LayerNorm"),
        "width, ...",
    ),
    "GroupNorm": "groups, width",
}


class Unmet(UserError):
    """Widths that do not meet. `certain`: at every size of the input; `outer`: the input itself is
    one of the two ends."""

    def __init__(self, message: str, certain: bool, outer: bool = False) -> None:
        super().__init__(message)
        self.certain, self.outer = certain, outer


def guesses(network: nn.Module) -> Iterator[Tensor]:
    """Inputs on `meta` that a network may take, judged by its first layer; none where `forward`
    needs more than one."""
    needed = [
        p
        for p in inspect.signature(network.forward).parameters.values()
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    first = next(
        (m for m in network.modules() if _taken(m) is not None or isinstance(m, nn.Embedding)), None
    )
    if len(needed) > 1 or first is None:
        return
    if isinstance(first, nn.Embedding):
        yield torch.zeros(_BATCH, 7, dtype=torch.long, device="meta")
        return
    axis, channels = _taken(first) or (0, 0)
    if isinstance(first, _CONVOLUTIONS):
        shapes: list[tuple[int, ...]] = [
            (_BATCH, channels, *(pixels,) * (-axis - 1)) for pixels in _PIXELS
        ]
    elif axis == -1:
        # of images that are flattened first
        sides = [(c, round((channels / c) ** 0.5)) for c in (1, 3)]
        flat = [(c, side, side) for c, side in sides if c * side * side == channels]
        shapes = [
            (_BATCH, channels),
            (_BATCH, 7, channels),
            *((_BATCH, *form) for form in flat),
        ]
    else:
        shapes = [(_BATCH, channels, 32, 32), (_BATCH, channels), (_BATCH, channels, 32)]
    for shape in shapes:
        yield torch.empty(shape, device="meta")


def follow(
    network: nn.Module,
    origins: Mapping[str, str],
    image: Tensor,
    sizes: Mapping[str, Mapping[str, Any]],
) -> Any:
    """What a plain network on `meta` makes of an input; Unmet where two widths do not meet, else
    what torch raises.

    `origins`: path in the network -> in the model that it is the twin of. `sizes`: path in the
    model -> its open attributes.
    """
    tracks = _Tracks(network, origins, sizes)
    tracks.note(image, _INPUT)
    hooks = []
    for path, module in network.named_modules():
        if _taken(module) is not None or _given(module) is not None:
            hooks.append(module.register_forward_pre_hook(tracks.before(path)))
            hooks.append(module.register_forward_hook(tracks.after(path)))
    state = torch.default_generator.get_state()
    try:
        with torch.no_grad(), torch.device("meta"), tracks:
            return network(image)
    finally:
        torch.default_generator.set_state(state)
        for hook in hooks:
            hook.remove()


def _taken(module: nn.Module) -> tuple[int, int] | None:
    """(axis, width) of the input that a layer of torch takes; None for others, also those with a
    forward of their own."""
    if not type(module).forward.__module__.startswith("torch."):
        return None
    if isinstance(module, _CONVOLUTIONS):
        return -len(module.kernel_size) - 1, module.in_channels
    if isinstance(module, nn.Linear):
        return -1, module.in_features
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        return -1, int(module.normalized_shape[0])
    if isinstance(module, nn.GroupNorm):
        return 1, module.num_channels
    if (
        isinstance(module, _NORMS)
        and next(module.parameters(recurse=False), module._buffers.get("running_mean")) is not None
    ):
        return 1, module.num_features  # type: ignore[return-value]
    if isinstance(module, nn.PReLU) and module.num_parameters > 1:
        return 1, module.num_parameters
    if isinstance(module, nn.MultiheadAttention):
        return -1, module.embed_dim
    if isinstance(module, nn.RNNBase):
        return -1, module.input_size
    return None


def _given(module: nn.Module) -> int | None:
    """The width of what it gives; None where that is what it takes."""
    if isinstance(module, _CONVOLUTIONS):
        return module.out_channels
    if isinstance(module, nn.Linear):
        return module.out_features
    return module.embedding_dim if isinstance(module, nn.Embedding) else None


class _Tracks(TorchFunctionMode):
    """Which layer, or parameter, each tensor comes from."""

    def __init__(
        self, network: nn.Module, origins: Mapping[str, str], sizes: Mapping[str, Mapping[str, Any]]
    ) -> None:
        super().__init__()
        self._network, self._origins, self._sizes = network, origins, sizes
        # the tensor too: ids of what is gone are given to others
        self._sources: dict[int, tuple[Tensor, str]] = {}
        self._widths: dict[str, int] = {}  # source -> the width it gives
        self._parameters: set[str] = set()
        for path, tensor in network.named_parameters():
            owner, _, name = path.rpartition(".")
            known = origins.get(owner, owner)
            self._parameters.add(source := f"{known}.{name}" if known else name)
            self.note(tensor, source)

    def note(self, tensor: Tensor, source: str) -> None:
        """A tensor is from there."""
        self._sources[id(tensor)] = (tensor, source)

    def _source(self, tensor: Tensor) -> str:
        return self._sources.get(id(tensor), (tensor, ""))[1]

    def _path(self, path: str) -> str:
        return self._origins.get(path, path)

    def before(self, path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        """What is asked before a layer of torch is called."""

        def ask(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            taken = _taken(module)
            if taken is None or not inputs or not isinstance(inputs[0], Tensor):
                return
            x, (axis, width) = inputs[0], taken
            axis = axis if axis < 0 else axis - x.dim()
            if x.dim() >= -axis and x.shape[axis] != width:
                raise self._unmet(module, self._path(path), x, axis, width=width)

        return ask

    def after(self, path: str) -> Callable[..., None]:
        """Notes what a layer gave."""

        def hear(module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
            for tensor in tensors_in(output):
                if _given(module) is not None:
                    self._widths[self._path(path)] = _given(module) or 0
                    self.note(tensor, self._path(path))

        return hear

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = [t for t in tensors_in((args, kwargs or {}))]
        try:
            result = func(*args, **(kwargs or {}))
        except UserError:
            raise
        except Exception as error:
            unmet = self._clash(func, inputs)
            if unmet is not None:
                raise unmet from error
            raise
        source = next((s for s in map(self._source, inputs) if s and s not in self._parameters), "")
        source = source or next((s for s in map(self._source, inputs) if s), "")
        for tensor in tensors_in(result):
            if source and id(tensor) not in self._sources:
                self.note(tensor, source)
        return result

    def _size(self, path: str, *attributes: str) -> str:
        """The decision behind a width, as it was written: " (Choice(16, 24))"."""
        held = self._sizes.get(path, {})
        return next((f", {held[a]!r}" for a in attributes if a in held), "")

    def _unmet(self, module: nn.Module, path: str, x: Tensor, axis: int, width: int) -> Unmet:
        source, has, kind = self._source(x), x.shape[axis], type(module).__name__
        gives = self._widths.get(source)
        given = f"'{source}' gives {has}{self._size(source, 'width_out')}"
        if gives is not None and gives != has:
            given = (
                f"what comes of '{source}' ({gives}{self._size(source, 'width_out')}) is {has} wide"
            )
        taken = self._size(path, "width_in" if _given(module) is not None else "width")
        if source == _INPUT:
            advice = (
                "let the first layer take what the images have: a class or function gets "
                "`channels` where it has it"
            )
        elif kind in _ELASTIC:
            written = f"elastic.{kind}({_ELASTIC[kind]})"
            advice = (
                f"write the same Choice in both (or a Derived of it, or what is joined as "
                f"Concat): {written}"
            )
        else:
            advice = (
                f"{kind} has no elastic form: give it a fixed width, or take "
                f"elastic.BatchNorm2d, GroupNorm or LayerNorm"
            )
        # Features that stem from a layer's maps are a multiple of its channels, whatever the size
        # of the maps.
        fixed = gives is not None and (
            width % gives != 0 if isinstance(module, nn.Linear) else has == gives
        )
        return Unmet(
            f"widths do not meet: {given}, '{path}' ({kind}) takes {width}{taken}; {advice}",
            fixed,
            source == _INPUT,
        )

    def _clash(self, func: Any, inputs: list[Tensor]) -> Unmet | None:
        """Of a function that refused its tensors: which of them do not go together."""
        name = getattr(func, "__name__", str(func)).strip("_")
        if name in _FORMS and inputs and (source := self._source(inputs[0])) in self._widths:
            gives = f"'{source}' gives {self._widths[source]}{self._size(source, 'width_out')}"
            advice = "do not write widths as numbers there: x.flatten(1), or x.shape"
            return Unmet(
                f"{gives}, and {name} cannot bring {tuple(inputs[0].shape)} to what is "
                f"written; {advice}",
                False,
            )
        for second in inputs:
            for first in inputs:
                shapes = tuple(first.shape), tuple(second.shape)
                one, other = self._source(first), self._source(second)
                if (
                    first is second
                    or not one
                    or not other
                    or one in self._parameters
                    or shapes[0] == shapes[1]
                ):
                    continue
                gives = (
                    f"widths do not meet: '{one}' gives {shapes[0]}{self._size(one, 'width_out')}"
                )
                if other in self._parameters:
                    if not self._loose(second):
                        continue
                    part = ":, " * max(range(second.dim()), key=lambda axis, s=shapes[1]: s[axis])  # type: ignore[misc]
                    return Unmet(
                        f"{gives}, the parameter '{other}' is {shapes[1]} ({name}): a plain "
                        f"nn.Parameter is as large in every "
                        f"network; use as much of it as there is, e.g. "
                        f"self.{other.rpartition('.')[2]}[{part}:width] with the "
                        "width of x, or give its module `axes`, `weights` and `plain` as elastic "
                        "layers have",
                        _channels_differ(*shapes),
                        _INPUT in (one, other),
                    )
                if one != other:
                    return Unmet(
                        f"{gives}, '{other}' gives {shapes[1]}{self._size(other, 'width_out')}, "
                        f"and {name} cannot join them; "
                        "write the same Choice in both, or bring one to the other's width by a 1 x "
                        "1 elastic.Conv2d",
                        _channels_differ(*shapes),
                        _INPUT in (one, other),
                    )
        return None

    def _loose(self, tensor: Tensor) -> bool:
        """Whether a tensor is, or was made of, a parameter that no layer of torch holds."""
        source = self._source(tensor)
        owner = source.rpartition(".")[0]
        paths = [own for own, origin in self._origins.items() if origin == owner] or [owner]
        return not any(
            _taken(m)
            for m in (self._network.get_submodule(path) for path in paths if self._has(path))
        )

    def _has(self, path: str) -> bool:
        return path == "" or path in dict(self._network.named_modules())


def _channels_differ(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether two do not go together on the channels of maps (B, C, H, W), or on the last axis of
    vectors and tokens."""
    if len(first) != len(second):
        return False
    wrong = [
        i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b and 1 not in (a, b)
    ]
    return wrong == [1 if len(first) > 3 else len(first) - 1]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Those of nested lists, tuples and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
