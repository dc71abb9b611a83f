"""Functions over any nn.Module that holds Choices: search_space, active, relax, dimensions, slices,
extract, calibrate."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import torch
from torch import Tensor, nn

from archsmith.elastic.blocks import Mixture, OneOf
from archsmith.elastic.layer import Index, index, is_elastic
from archsmith.elastic.reading import (
    TORCH_INTERNAL,
    Reading,
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
from archsmith.space import Architecture, Choice, SearchSpace, Size, choices_of
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
    if not _ours(model):
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


def _try(model: nn.Module, reading: Reading, shape: tuple[int, ...] | None) -> None:
    """Without a shape likely ones are guessed, and only what is wrong at every size is told."""
    check_stock(reading)
    if not reading.space:
        return
    sizes = {place.path: dict(place.sizes) for place in reading.places}
    found: int | None = None  # which of the guesses the largest network takes
    for arch in _opposites(reading.space):
        with parts(model, reading, arch) as part:
            network, origins = part("")
        network = network.to("meta")
        inputs = (
            list(guesses(network)) if shape is None else [torch.empty(3, *shape, device="meta")]
        )
        for position, given in enumerate(inputs):
            if found not in (None, position):
                continue
            try:
                made = follow(network, origins, given, sizes)
                if isinstance(made, Tensor) and made.dim() > 1 and made.shape[0] != given.shape[0]:
                    raise Unmet(
                        f"{given.shape[0]} images go in, {made.shape[0]} results come out",
                        certain=False,
                    )
            except Unmet as error:
                if shape is not None or (not error.outer and (error.certain or found is not None)):
                    cannot = "" if shape is None else f", which cannot take images of shape {shape}"
                    raise UserError(
                        f"{error}; seen in the network {short(dict(arch))}{cannot}"
                    ) from error
            except Exception as error:
                if shape is not None:
                    _run(model, arch, shape, error)
            else:
                found = position
                break
        if found is None and shape is None:
            return  # not even the largest takes what was guessed


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


# -- several options at once ---------------------------------------------------------------------


def mixed(model: nn.Module, space: SearchSpace | None = None) -> dict[str, tuple[Any, ...]]:
    """What `relax` can mix: name -> the options that some architecture of `space` (default: the
    model's own) has there.

    A `OneOf` of a Choice goes by the decision's name, one whose option follows from several
    decisions by its first path; all that share one decision share one mixture.
    """
    reading = read(model)
    space = reading.space if space is None else space
    options = {
        choice: space.options[name]
        for choice, name in reading.names.items()
        if name in space.options
    }
    return {
        name: tuple(dict.fromkeys(options_of(places[0].choice, options)))
        for name, places in _mixable(model, reading).items()
    }


def relaxing(
    model: nn.Module,
) -> Callable[[Mapping[str, Mixture]], AbstractContextManager[nn.Module]]:
    """`relax` for a loop: the model is read once; it must keep its modules meanwhile."""
    places = _mixable(model, read(model))

    @contextmanager
    def relaxed(mixtures: Mapping[str, Mixture]) -> Iterator[nn.Module]:
        require_inactive(model)
        if unknown := set(mixtures) - set(places):
            raise UserError(f"relax: no mixture '{min(unknown)}'; there are {', '.join(places)}")
        chosen = [(module, mixtures[name]) for name in mixtures for module in places[name]]
        deciders = [module.choice for module, _ in chosen]
        try:
            for module, mixture in chosen:
                vars(module)["choice"] = mixture
            vars(model)["_active_architecture"] = mixtures
            yield model
        finally:
            vars(model).pop("_active_architecture", None)
            for (module, _), decider in zip(chosen, deciders, strict=True):
                vars(module)["choice"] = decider

    return relaxed


@contextmanager
def relax(model: nn.Module, mixtures: Mapping[str, Mixture]) -> Iterator[nn.Module]:
    """Within it the named decisions (`mixed`) take several options at once, by weights that
    gradients flow to.

    All other decisions are as large as they get. For training steps, backward inside, one thread.
    Raises UserError for a name that is none.
    """
    with relaxing(model)(mixtures):
        yield model


def _mixable(model: nn.Module, reading: Reading) -> dict[str, list[OneOf]]:
    """Name -> the modules that one decision switches."""
    found: dict[int, tuple[str, list[OneOf]]] = {}
    for path, module in model.named_modules():
        if isinstance(module, OneOf):
            decider: Any = module.choice
            name = reading.names[decider] if isinstance(decider, Choice) else path
            found.setdefault(id(decider), (name, []))[1].append(module)
    return dict(found.values())


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
    found: dict[str, list[Dimension]] = {name: [] for name in reading.space}
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
                    found[reading.names[choice]].append(
                        Dimension(f"{path}.{tensor}" if path else tensor, axis, size)
                    )
    return {name: tuple(entries) for name, entries in found.items()}


def slices(model: nn.Module, arch: Mapping[str, Any]) -> dict[str, tuple[Index, ...]]:
    """Tensor name -> where along each axis the architecture's weights lie; tensors it does not use
    are absent.

    For an elastic kernel with matrices this is the region of the stored kernel that the smaller one
    is computed from.
    """
    reading = read(model)
    found: dict[str, tuple[Index, ...]] = {}
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
                found[f"{path}.{name}" if path else name] = where
    return found


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
        plain = _Copier(dead_paths(reading.places, values), shared=weights == "shared").copy(
            model, ""
        )
    if weights == "fresh" and str(device) != "meta":
        _initialize(plain, generator)
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
    model: nn.Module, reading: Reading, arch: Mapping[str, Any]
) -> Iterator[Callable[[str], tuple[nn.Module, dict[str, str]]]]:
    """Within it, a function from the path of a submodule that exists to its plain twin, on `meta`,
    in eval mode.

    With it comes where in the model each module of the twin is from: path in the twin -> path in
    the model.
    """
    with written(model, reading, reading.space.check(arch)) as values:
        dead = dead_paths(reading.places, values)

        def part(path: str) -> tuple[nn.Module, dict[str, str]]:
            copier = _Copier(dead, shared=False)
            twin = copier.copy(model.get_submodule(path), path).eval()
            return twin, {
                own: copier.origins[id(m)]
                for own, m in twin.named_modules()
                if id(m) in copier.origins
            }

        yield part


class _Copier:
    """Builds the plain twin of each module, children first; the same module in two places stays
    one."""

    def __init__(self, dead: frozenset[str], shared: bool) -> None:
        self._dead, self._shared = dead, shared
        self._memo: dict[int, Any] = {}
        self._tied: dict[tuple, nn.Parameter] = {}
        self.origins: dict[int, str] = {}  # id of a twin -> path of what it is the twin of
        self._kept: list[Any] = []  # what the memo speaks of must outlive it

    def copy(self, module: nn.Module, path: str) -> nn.Module:
        if id(module) in self._memo:
            return self._memo[id(module)]
        self._kept.append(module)
        if is_elastic(module):
            twin = self._leaf(module)
        else:
            children = {
                name: self.copy(child, f"{path}.{name}" if path else name)
                for name, child in module._modules.items()
                if child is not None and (f"{path}.{name}" if path else name) not in self._dead
            }
            plain = getattr(module, "plain", None)
            twin = self._container(module, children) if plain is None else plain(children)
        self._memo[id(module)] = twin
        # where a container becomes its chosen child, that of the child
        self.origins.setdefault(id(twin), path)
        return twin

    def _leaf(self, layer: Any) -> nn.Module:
        twin = layer.plain()
        tensors = layer.weights() if self._shared else {}
        for name, parameter in twin._parameters.items():
            if parameter is not None:
                source, kernel = layer._parameters[name], getattr(layer, "kernel", None)
                value = (
                    tensors[name].detach().clone(memory_format=torch.contiguous_format)
                    if self._shared
                    else parameter
                )
                twin._parameters[name] = self._parameter(source, value, kernel)
        for name, buffer in twin._buffers.items():
            # those that no size governs: counters such as num_batches_tracked
            if buffer is not None and self._shared:
                twin._buffers[name] = tensors.get(name, layer._buffers[name]).detach().clone()
        return twin.train(layer.training)

    def _parameter(self, source: nn.Parameter, value: Tensor, kernel: Any = None) -> nn.Parameter:
        """The twin of a parameter; tied parameters stay tied where the same part of them is used in
        the same way."""
        key = (id(source), tuple(value.shape), kernel)
        if key not in self._tied:
            self._kept.append(source)
            self._tied[key] = nn.Parameter(value.detach(), source.requires_grad)
        return self._tied[key]

    def _container(self, module: nn.Module, children: dict[str, nn.Module]) -> nn.Module:
        twin = module.__class__.__new__(module.__class__)
        nn.Module.__init__(twin)
        twin.training = module.training
        self._memo[id(module)] = twin
        names = list(module._modules)
        while (
            names
            and names[-1] not in children
            and isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        ):
            names.pop()
        twin._modules.update({name: children.get(name) for name in names})
        for name, parameter in module._parameters.items():
            if parameter is None:
                twin._parameters[name] = None
            else:
                value = (
                    parameter.detach().clone()
                    if self._shared
                    else torch.empty_like(parameter, device="meta")
                )
                twin._parameters[name] = self._parameter(parameter, value)
        fresh = not self._shared and resetter(module) is not None
        for name, buffer in module._buffers.items():
            drawn = fresh and buffer is not None
            twin._buffers[name] = (
                torch.empty_like(buffer, device="meta") if drawn else self._buffer(buffer)  # type: ignore[arg-type]
            )
        twin._non_persistent_buffers_set = set(module._non_persistent_buffers_set)
        for name, value in vars(module).items():
            if name not in TORCH_INTERNAL:
                vars(twin)[name] = copy.deepcopy(value, self._memo)
        return twin

    def _buffer(self, buffer: Tensor | None) -> Tensor | None:
        if buffer is not None and id(buffer) not in self._memo:
            self._kept.append(buffer)
            self._memo[id(buffer)] = buffer.detach().clone()
        return None if buffer is None else self._memo[id(buffer)]


def resetter(module: nn.Module) -> Callable[[], None] | None:
    """What initializes a module's own tensors; torch's attention hides it."""
    return getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)


def _children_first(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        yield from _children_first(child, f"{path}.{name}" if path else name)
    yield path, module


def _initialize(plain: nn.Module, generator: torch.Generator | None) -> None:
    """torch's own initialization of every layer, on the CPU, children first; the global generator
    is borrowed, put back."""
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device).item())
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        made: dict[int, nn.Parameter] = {}
        kept: list[nn.Parameter] = []  # or their ids would be given to others
        for path, module in _children_first(plain):
            own = {**module._parameters, **module._buffers}
            if not any(t is not None and t.is_meta for t in own.values()):
                continue
            reset = resetter(module)
            if reset is None:
                raise UserError(
                    f"{type(module).__name__} at '{path}' holds {sorted(own)} but has no "
                    f"reset_parameters(); "
                    "give it one, so that fresh weights can be drawn"
                )
            for name, parameter in module._parameters.items():
                if parameter is not None and parameter.is_meta:
                    if id(parameter) not in made:
                        empty = torch.empty(parameter.shape, dtype=parameter.dtype, device="cpu")
                        made[id(parameter)] = nn.Parameter(empty, parameter.requires_grad)
                        kept.append(parameter)
                    module._parameters[name] = made[id(parameter)]
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_meta:
                    module._buffers[name] = torch.empty(
                        buffer.shape, dtype=buffer.dtype, device="cpu"
                    )
            reset()
    finally:
        torch.default_generator.set_state(state)


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
    modes = {module: module.training for module in plain.modules()}
    momenta = [norm.momentum for norm in norms]
    try:
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
        for module, mode in modes.items():
            module.training = mode
    return plain
