"""Functions over any nn.Module that holds Choices: search_space, active, dimensions, slices,
extract, calibrate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import torch
from torch import Tensor, nn

from archsmith._internal.modes import modes_kept
from archsmith.elastic.copying import Copier, initialize
from archsmith.elastic.layer import Index, index, is_elastic
from archsmith.elastic.resize import check_resize, inputs_of, resize_in
from archsmith.elastic.structure import (
    FIXED,
    Structure,
    check_stock,
    dead_paths,
    gated_off,
    options_of,
    read,
    require_inactive,
    written,
)
from archsmith.elastic.widths import Unmet, follow, guesses
from archsmith.errors import UserError
from archsmith.space import Architecture, SearchSpace, Size, choices_of
from archsmith.space.options import short

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def search_space(model: nn.Module) -> SearchSpace:
    """The decisions that a model declares, as a SearchSpace.

    `model`: any torch.nn.Module that holds Choices (in the layers of `archsmith.elastic`), also one
    on `meta`. Decisions are named by `Choice(name=)` or their first path; one below a container
    that may leave it out (`OneOf`, `Repeat`, `Parallel`) exists under the condition of it. Raises
    UserError where a model is seen to be declared wrongly: a few networks are tried on `meta`, with
    inputs of likely sizes (see `archsmith.elastic.supernet.try_networks`).

    >>> from torch import nn
    >>> from archsmith.elastic import Linear
    >>> width = archsmith.Choice(4, 8, name="width")
    >>> network = nn.Sequential(Linear(16, width), nn.ReLU(), Linear(width, 10))
    >>> space = archsmith.search_space(network)
    >>> dict(space)
    {'width': (4, 8)}
    """
    reading = read(model)
    inputs_of(reading, ())
    if not _ours(model) and FIXED not in vars(model):  # what was made elastic has been tried
        _try(model, reading, None)
    return reading.space


# -- whether it is declared rightly --------------------------------------------------------------


def try_networks(model: nn.Module, shape: tuple[int, ...]) -> None:
    """Runs a few networks of a model on `meta`, for inputs of `shape` without the batch; any two
    decisions differ in one.

    UserError where layers' widths do not meet, naming both, and where a network cannot take such
    inputs.
    """
    _try(model, read(model), shape)


def _ours(model: nn.Module) -> bool:
    """Whether it is one of archsmith.spaces, which are tested; a model that has a class of somebody
    else in it is not."""
    kinds = {type(module).__module__ for module in model.modules()}
    return any(k.startswith("archsmith.spaces") for k in kinds) and all(
        k.startswith(("archsmith.", "torch.")) for k in kinds
    )


def _try(model: nn.Module, reading: Structure, shape: tuple[int, ...] | None) -> None:
    """Without a shape likely ones are guessed, and only what is wrong at every size is told."""
    check_stock(reading)
    if not reading.space:
        return
    _try_sides(model, reading, shape)
    sizes = {place.path: dict(place.sizes) for place in reading.places}
    guess: int | None = None  # which of the guesses the largest network takes
    for arch in _opposites(reading.space):
        with parts(model, reading, arch) as part:
            network, origins = part("")
        network = network.to("meta")
        inputs = (
            list(guesses(network)) if shape is None else [torch.empty(3, *shape, device="meta")]
        )
        for position, given in enumerate(inputs):
            if guess not in (None, position):
                continue
            try:
                made = follow(network, origins, given, sizes)
                if isinstance(made, Tensor) and made.dim() > 1 and made.shape[0] != given.shape[0]:
                    raise Unmet(
                        f"{given.shape[0]} images go in, {made.shape[0]} results come out",
                        certain=False,
                    )
            except Unmet as error:
                if shape is not None or (not error.outer and (error.certain or guess is not None)):
                    cannot = "" if shape is None else f", which cannot take images of shape {shape}"
                    raise UserError(
                        f"{error}; seen in the network {short(dict(arch))}{cannot}"
                    ) from error
            except Exception as error:
                if shape is not None:
                    _run(model, arch, shape, error)
            else:
                guess = position
                break
        if guess is None and shape is None:
            return  # not even the largest takes what was guessed


def _try_sides(model: nn.Module, reading: Structure, shape: tuple[int, ...] | None) -> None:
    """UserError where a `Resize` in it is declared wrongly."""
    if resize_in(model) is None:
        return

    def make(arch: Architecture, device: str) -> nn.Module:
        return extract(model, arch, "fresh", device=device).eval()

    network = make(reading.space.extreme(-1), "meta")
    inputs = [torch.empty(1, *shape)] if shape is not None else list(guesses(network))
    for channels in dict.fromkeys(given.shape[1] for given in inputs if given.dim() == 4):
        if check_resize(reading, channels, make):
            return


def _run(model: nn.Module, arch: Architecture, shape: tuple[int, ...], failure: Exception) -> None:
    """UserError where a network cannot take real inputs either: some code does not run on
    `meta`."""
    network = extract(model, arch, "fresh", device="cpu").eval()
    try:
        with torch.no_grad():
            network(torch.zeros(2, *shape))
    except Exception as error:
        raise UserError(
            f"its network {short(dict(arch))} cannot take images of shape {shape}: "
            f"{type(error).__name__}: {error}; a function "
            "or class gets `classes`, `channels` and `size` where its signature has them"
        ) from failure


def _opposites(space: SearchSpace) -> Iterator[Architecture]:
    """The largest, the smallest, and as few as make any two decisions take opposite ends in one of
    them."""
    rng, names = Random(0), list(space)
    yield space.extreme(-1)
    yield space.extreme(0)
    for bit in range(max(len(names) - 1, 0).bit_length()):
        ends = {
            name: options[0 if position >> bit & 1 else -1]
            for position, (name, options) in enumerate(space.items())
        }
        yield space.complete(ends, rng)
    yield space.sample(rng)


# -- one architecture at a time ------------------------------------------------------------------


@contextmanager
def active(model: nn.Module, arch: Mapping[str, Any]) -> Iterator[nn.Module]:
    """A `with` block in which the model computes one architecture, with the weights that all share.

    `model`: as of `search_space`. `arch`: one of its space, or a mapping of its decisions. For
    training steps: forward and backward inside, one thread at a time; sizes are written onto this
    model's own modules and put back at the end. In a loop
    `archsmith.elastic.supernet.switching(model)` reads the model once. Raises OutOfSpace for a
    foreign architecture.

    >>> import torch
    >>> from torch import nn
    >>> from archsmith.elastic import Linear
    >>> width = archsmith.Choice(4, 8, name="width")
    >>> model = nn.Sequential(Linear(16, width), nn.ReLU(), Linear(width, 10))
    >>> with archsmith.active(model, {"width": 4}):
    ...     model(torch.ones(2, 16)).sum().backward()
    >>> model[0].weight.grad[4:].abs().sum()  # what the small network has no part in
    tensor(0.)
    """
    with switching(model)(arch):
        yield model


def switching(model: nn.Module) -> Callable[[Mapping[str, Any]], AbstractContextManager[nn.Module]]:
    """`active` for a loop: the model is read once, which takes longer than switching; it must keep
    its modules meanwhile."""
    reading = read(model)

    @contextmanager
    def switched(arch: Mapping[str, Any]) -> Iterator[nn.Module]:
        require_inactive(model)
        with written(model, reading, reading.space.check(arch)):
            yield model

    return switched


# -- which part of which tensor ------------------------------------------------------------------


@dataclass(frozen=True)
class Dimension:
    """One axis of one tensor whose length a decision governs."""

    tensor: str
    axis: int
    size: Size


def dimensions(model: nn.Module) -> dict[str, tuple[Dimension, ...]]:
    """Decision name -> the tensor axes it governs. Which modules exist at all is in the space's
    conditions."""
    reading = read(model)
    governed: dict[str, list[Dimension]] = {name: [] for name in reading.space}
    for path, module in model.named_modules():
        if not is_elastic(module):
            continue
        for tensor, sizes in module.axes().items():
            axes = list(enumerate(sizes))
            # convolutions, whose kernel is cropped apart
            if tensor == "weight" and hasattr(module, "region"):
                kernel: Any = vars(module)["kernel"]
                axes += [(2, kernel), (3, kernel)]
            for axis, size in axes:
                for choice in choices_of(size):
                    assert size is not None
                    governed[reading.names[choice]].append(
                        Dimension(f"{path}.{tensor}" if path else tensor, axis, size)
                    )
    return {name: tuple(entries) for name, entries in governed.items()}


def slices(model: nn.Module, arch: Mapping[str, Any]) -> dict[str, tuple[Index, ...]]:
    """Tensor name -> where along each axis the architecture's weights lie; tensors it does not use
    are absent.

    For an elastic kernel with matrices this is the region of the stored kernel that the smaller one
    is computed from.
    """
    reading = read(model)
    regions: dict[str, tuple[Index, ...]] = {}
    with written(model, reading, reading.space.check(arch)) as values:
        dead = dead_paths(reading.places, values)
        for path, module in model.named_modules(remove_duplicate=False):
            if path in dead:
                continue
            axes = module.axes() if is_elastic(module) else {}
            tensors = {**module._parameters, **module._buffers}
            for name, tensor in tensors.items():
                if tensor is None:
                    continue
                sizes = axes.get(name, (None,) * tensor.dim())
                where: tuple[Index, ...] = tuple(
                    index(size, tensor.shape[i]) for i, size in enumerate(sizes)
                )
                if name == "weight" and hasattr(module, "region"):
                    where = (*where[:2], *module.region())
                regions[f"{path}.{name}" if path else name] = where
    return regions


def reachable(model: nn.Module, space: SearchSpace) -> tuple[str, ...]:
    """Names of the parameters that some architecture of a restricted `space` may use, in the
    model's order.

    What `where` predicates exclude is not looked at, so a few more may be named.
    """
    reading = read(model)
    options = {
        choice: space.options[name]
        for choice, name in reading.names.items()
        if name in space.options
    }
    dead = gated_off(
        reading.places,
        lambda decision, accepted: any(o in accepted for o in options_of(decision, options)),
    )
    live = {
        id(parameter)
        for path, module in model.named_modules(remove_duplicate=False)
        if path not in dead
        for parameter in module._parameters.values()
        if parameter is not None
    }
    return tuple(name for name, parameter in model.named_parameters() if id(parameter) in live)


# -- stand-alone networks ------------------------------------------------------------------------


def extract(
    model: nn.Module,
    arch: Mapping[str, Any],
    weights: Literal["shared", "fresh"] = "shared",
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> nn.Module:
    """A plain module of stock torch layers for one architecture, holding copies of only what it
    uses, in the model's mode.

    `model`, `arch`: as of `active`. `weights`: "shared" copies the model's; "fresh" ones are
    initialized as torch does it, from `generator` (default: seed 0), also from a model on `meta`.
    `device`: default the model's, the CPU for one on `meta`; "meta" leaves it there. The global RNG
    is left alone. Raises OutOfSpace for a foreign architecture, UserError where a module of one's
    own has tensors but no `reset_parameters()` to draw fresh ones.

    >>> import torch
    >>> from torch import nn
    >>> from archsmith.elastic import Linear
    >>> width = archsmith.Choice(4, 8, name="width")
    >>> model = nn.Sequential(Linear(16, width), nn.ReLU(), Linear(width, 10))
    >>> small = archsmith.extract(model, {"width": 4})
    >>> small[0], torch.equal(small[0].weight, model[0].weight[:4])
    (Linear(in_features=16, out_features=4, bias=True), True)
    """
    if weights not in ("shared", "fresh"):
        raise UserError(f"weights={weights!r} is not one of 'shared', 'fresh'")
    reading = read(model)
    with written(model, reading, reading.space.check(arch)) as values:
        plain = Copier(dead_paths(reading.places, values), shared=weights == "shared").copy(
            model, ""
        )
    if weights == "fresh" and str(device) != "meta":
        initialize(plain, generator)
        target = device or next(
            (p.device for p in model.parameters() if p.device.type != "meta"), None
        )
        if target is not None:
            plain = plain.to(target)
    elif device is not None:
        plain = plain.to(device)
    return plain


@contextmanager
def parts(
    model: nn.Module, reading: Structure, arch: Mapping[str, Any]
) -> Iterator[Callable[[str], tuple[nn.Module, dict[str, str]]]]:
    """Within it, a function from the path of a submodule that exists to its plain twin, on `meta`,
    in eval mode.

    With it comes where in the model each module of the twin is from: path in the twin -> path in
    the model.
    """
    with written(model, reading, reading.space.check(arch)) as values:
        dead = dead_paths(reading.places, values)

        def part(path: str) -> tuple[nn.Module, dict[str, str]]:
            copier = Copier(dead, shared=False)
            twin = copier.copy(model.get_submodule(path), path).eval()
            return twin, {
                own: copier.origins[id(m)]
                for own, m in twin.named_modules()
                if id(m) in copier.origins
            }

        yield part


@torch.no_grad()
def calibrate(plain: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Sets the running statistics of every BatchNorm to the mean, over the batches, of their means
    and variances.

    `plain`: an extracted network, whose shared weights were trained under the statistics of many.
    `batches`: inputs as the network takes them, such as (B, C, H, W). (Yu and Huang, ICCV 2019; Cai
    et al., ICLR 2020, released code.) Dropout stays off, modes are put back. Returns the module.
    Raises UserError for an elastic one.

    >>> import torch
    >>> from torch import nn
    >>> batches = [torch.tensor([[0.0, 1.0], [2.0, 3.0]])]
    >>> norm = archsmith.calibrate(nn.Sequential(nn.BatchNorm1d(2)), batches)[0]
    >>> norm.running_mean
    tensor([1., 2.])
    """
    norms = [module for module in plain.modules() if isinstance(module, _BATCH_NORMS)]
    if any(map(is_elastic, norms)):
        raise UserError(
            "calibrate works on extracted networks: statistics of a supernet's mixture fit none of "
            "them; use extract first"
        )
    momenta = [norm.momentum for norm in norms]
    try:
        with modes_kept(plain):
            plain.eval()
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # torch: cumulative average
                norm.train()
            for batch in batches:
                plain(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return plain
