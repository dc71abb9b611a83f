"""A publisher's state dict as one of ours: whose layout it has, which tensors fit, why others do
not."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from archsmith.errors import UserError, shown
from archsmith.spaces.layouts import efficientnet, once_for_all
from archsmith.spaces.layouts.layout import Layout, Source, Width
from archsmith.spaces.layouts.prefixes import Prefix, best_prefix, prefixes

LAYOUTS = (
    once_for_all.MOBILENET_V3,
    once_for_all.PROXYLESS,
    efficientnet.PACKAGE,
    efficientnet.TIMM,
)
_MOST = 0.5  # the share of a file's names that tells whose they are
_SIZES = ("classes", "channels")  # what the first and second axis follow where they vary


@dataclass(frozen=True)
class Arranged:
    """What a network begins with.

    `tensors`: by our keys, in our shapes; `layout`: the publisher whose names they bore, None where
    they bore ours, or those of the user's own network; `remarks`: what was done to them; `left`:
    our key -> why nothing was taken for it; `unused`: names in the file that nothing was made of.
    """

    tensors: Mapping[str, Tensor]
    layout: str | None
    remarks: tuple[str, ...]
    left: Mapping[str, str]
    unused: tuple[str, ...]

    @property
    def remark(self) -> str:
        """Whose layout it was, what was done, what was not taken and why; to stand after how many
        tensors were."""
        done = (*((f"{self.layout}'s layout",) if self.layout else ()), *self.remarks)
        reasons: dict[str, list[str]] = {}
        for key, why in self.left.items():
            reasons.setdefault(why, []).append(key)
        left = "; ".join(f"{_listed(keys)} ({why})" for why, keys in reasons.items())
        return (
            (f" ({', '.join(done)})" if done else "")
            + (f"; not taken: {left}" if left else "")
            + (f"; in the file, but not used: {_listed(self.unused)}" if self.unused else "")
        )


def arranged(given: Mapping[str, Tensor], own: Mapping[str, Tensor], space: str = "") -> Arranged:
    """The tensors of a file for a network.

    `given`: name -> tensor, as the publisher names and shapes them; `own`: the network's state
    dict, which may be on `meta`; `space`: its name, for messages. Names that are ours come first,
    whatever stands before all of them. Then those of a publisher that has a table here: of that
    network all shapes must agree but those that follow images and classes, since parts of another
    one would mean nothing. Raises UserError that says what to do where nothing fits.
    """
    prefix, agreeing = best_prefix(given, own)
    read = _read(given)
    if read is None or agreeing >= _MOST * len(given):
        return _by_name(given, own, prefix)
    if not read.layout.sources.keys() <= own.keys():  # families share many names
        return _by_name(given, own, prefix, better=_better(read, space))
    _check_network(read)
    _check_width(read, own)
    return _by_table(read, own)


def dense(tensor: Tensor) -> bool:
    """Whether its numbers can be copied into a dense tensor."""
    odd = tensor.is_quantized or tensor.is_complex() or tensor.is_meta or tensor.is_nested
    return tensor.layout == torch.strided and not odd


# -- whose names they are ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Read:
    """A file by a publisher's table: `names`: name in the table -> name in the file, before all of
    which stood `prefix`; `there`: the tensors by the former."""

    layout: Layout
    prefix: str
    names: Mapping[str, str]
    there: Mapping[str, Tensor]

    @property
    def width(self) -> Width | None:
        """Which of the published widths it has; None where that cannot be told."""
        tensor = self.there.get(self.layout.mark)
        return None if tensor is None else self.layout.width(tensor)


def _read(given: Mapping[str, Tensor]) -> _Read | None:
    """By the table that knows most of the names, if it knows most of them."""
    best, most = None, 0
    for layout, prefix in itertools.product(LAYOUTS, prefixes(given)):
        names = {layout.spelled(name.removeprefix(prefix)): name for name in given}
        known = len(layout.names & names.keys())
        if known > most:
            there = {name: given[original] for name, original in names.items()}
            best, most = _Read(layout, prefix, names, there), known
    return best if most >= _MOST * len(given) else None


def _check_network(read: _Read) -> None:
    """UserError for names that this network has not: it is another one."""
    known = read.layout.names
    if unknown := [original for name, original in read.names.items() if name not in known]:
        raise UserError(
            f"its tensors are named as those of {read.layout.what}, which has no "
            f"{_listed(unknown)}: they are of another network"
        )


def _check_width(read: _Read, own: Mapping[str, Tensor]) -> None:
    """UserError where the network was published in the width of another space."""
    ours = own.get(read.layout.marked)
    given, here = read.width, None if ours is None else read.layout.width(ours)
    if given is not None and here is not None and given != here:
        raise UserError(
            f"it is {read.layout.what}, but its widths are {given.times / here.times:.2g} times as "
            f"wide: use --space {given.space}"
        )


def _better(read: _Read, space: str) -> str:
    """Which space would hold it."""
    width = read.width
    if width is None or not read.names.keys() <= read.layout.names:
        return ""
    what = f"{read.layout.what}{f', not {shown(space)}' if space else ''}"
    return f"; it is {what}: use --space {width.space}"


# -- what fits -----------------------------------------------------------------------------------


def _by_name(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], prefix: Prefix, *, better: str = ""
) -> Arranged:
    names = {prefix.read(name, own): name for name in given}
    sources = {key: Source(names[key]) for key in own if key in names}
    tensors, left, _ = _taken(sources, given, own, _varying(own))
    if not any(tensor.is_floating_point() for tensor in tensors.values()):
        raise UserError(_misfit(given, own, {key: s.name for key, s in sources.items()}) + better)
    remarks = (() if prefix == Prefix() else (prefix.remark,)) + _converted(sources, given, tensors)
    unused = tuple(name for key, name in names.items() if key not in own)
    return Arranged(tensors, None, remarks, left=left, unused=unused)


def _by_table(read: _Read, own: Mapping[str, Tensor]) -> Arranged:
    layout, there = read.layout, read.there
    tensors, left, other = _taken(layout.sources, there, own, layout.varying)
    if other:
        name = layout.sources[other[0]].name
        raise UserError(
            f"'{shown(read.names[name])}' is {tuple(there[name].shape)}, and '{other[0]}', made "
            f"of it, is {tuple(own[other[0]].shape)}; {layout.otherwise}"
        )
    if not any(tensor.is_floating_point() for tensor in tensors.values()):
        names = {key: s.name for key, s in layout.sources.items() if s.name in there}
        raise UserError(_misfit(there, own, names))
    remarks = (
        *((Prefix(read.prefix).remark,) if read.prefix else ()),
        *(text for ending, text in layout.done if any(name.endswith(ending) for name in there)),
        *_converted(layout.sources, there, tensors),
    )
    return Arranged(tensors, layout.name, remarks, left=left, unused=())


def _taken(
    sources: Mapping[str, Source],
    there: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    varying: Mapping[str, int],
) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """What was made for our keys; why nothing was for others; which of these have other shapes than
    images and classes explain."""
    tensors: dict[str, Tensor] = {}
    left: dict[str, str] = {}
    other = []
    for key, here in own.items():
        source = sources.get(key)
        tensor = None if source is None else there.get(source.name)
        if source is None or tensor is None:
            left[key] = f"not in it: {Source.absent if source is None else source.absent}"
        elif why := _unusable(tensor, here):
            left[key] = why
        else:
            made = _made(source, there, here.dtype)
            if made.shape == here.shape:
                tensors[key] = made
                continue
            axis = _axis(made, here, varying.get(key))
            left[key] = _sizes(made, here, axis)
            if axis is None:
                other.append(key)
    return tensors, left, other


def _made(source: Source, there: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
    """One of our tensors; the one in the file itself where its shape is not what is made ours
    of."""
    tensor = there[source.name].to(dtype)
    beside = [there.get(name) for name in source.beside]
    try:
        return source.change(tensor, *(None if one is None else one.to(dtype) for one in beside))
    except (RuntimeError, IndexError):
        return tensor


def _unusable(tensor: Tensor, here: Tensor) -> str | None:
    """Why its numbers cannot stand here, whatever their shape."""
    if not dense(tensor):
        return "sparse, quantized, complex or empty there"
    if tensor.is_floating_point() == here.is_floating_point():
        return None
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"{kind} there, which cannot be {'weights' if here.is_floating_point() else 'a count'}"


def _converted(
    sources: Mapping[str, Source], there: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> tuple[str, ...]:
    """What to say of numbers in another precision."""
    kinds = {
        (there[sources[key].name].dtype, tensor.dtype)
        for key, tensor in tensors.items()
        if tensor.is_floating_point() and there[sources[key].name].dtype != tensor.dtype
    }
    return tuple(
        sorted(
            f"{str(one).removeprefix('torch.')} converted to {str(other).removeprefix('torch.')}"
            for one, other in kinds
        )
    )


# -- what is said --------------------------------------------------------------------------------


def _varying(own: Mapping[str, Tensor]) -> dict[str, int]:
    """The axes whose sizes follow classes and channels of the images: of the last layer, and of the
    first convolution."""
    axes = dict.fromkeys([key for key in own if own[key].ndim == 4][:1], 1)
    if own:
        last = list(own)[-1].rpartition(".")[0]
        axes |= {key: 0 for key in own if key.rpartition(".")[0] == last}
    return axes


def _axis(tensor: Tensor, here: Tensor, axis: int | None) -> int | None:
    """The axis that may vary, where two shapes agree but for it."""
    if axis is None or tensor.ndim != here.ndim:
        return None
    same = (
        one == other
        for at, (one, other) in enumerate(zip(tensor.shape, here.shape, strict=True))
        if at != axis
    )
    return axis if all(same) else None


def _sizes(tensor: Tensor, here: Tensor, axis: int | None) -> str:
    if axis is None:
        return f"{tuple(tensor.shape)} there, {tuple(here.shape)} here: made new"
    return f"{tensor.shape[axis]} {_SIZES[axis]} there, {here.shape[axis]} here: made new"


def _misfit(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], names: Mapping[str, str]
) -> str:
    """Why nothing fits. `names`: our key -> name in the file."""
    none = "none of its tensors fits this space in name and shape; "
    if odd := [name for name in names.values() if not dense(given[name])]:
        return none + (
            f"'{shown(odd[0])}' is sparse, quantized, complex or empty: save dense "
            f"floating-point numbers"
        )
    kinds = [
        name
        for key, name in names.items()
        if own[key].is_floating_point() and not given[name].is_floating_point()
    ]
    if kinds:
        kind = str(given[kinds[0]].dtype).removeprefix("torch.")
        return none + (
            f"'{shown(kinds[0])}' holds whole numbers ({kind}): save the floating-point weights "
            f"from before they were quantized"
        )
    if names:
        key, name = next(iter(names.items()))
        sizes = (
            f"'{shown(name)}' is {tuple(given[name].shape)}, the space has {tuple(own[key].shape)}"
        )
        return none + f"{sizes}: give weights of this space, or the --space that they are of"
    there = ", ".join(shown(name) for name in list(given)[:3])
    return none + f"it has {there}, ..., the space has {', '.join(list(own)[:3])}, ..."


def _listed(names: Sequence[str], most: int = 2) -> str:
    text = ", ".join(shown(name) for name in names[:most])
    return text + (f" and {len(names) - most} more" if len(names) > most else "")
