"""Several options of a decision at once, by weights that gradients flow to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import nn

from archsmith.elastic.blocks import Mixture, OneOf
from archsmith.elastic.structure import Structure, options_of, read, require_inactive
from archsmith.errors import UserError
from archsmith.space import Choice, SearchSpace


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


def _mixable(model: nn.Module, reading: Structure) -> dict[str, list[OneOf]]:
    """Name -> the modules that one decision switches."""
    groups: dict[int, tuple[str, list[OneOf]]] = {}
    for path, module in model.named_modules():
        if isinstance(module, OneOf):
            decider: Any = module.choice
            name = reading.names[decider] if isinstance(decider, Choice) else path
            groups.setdefault(id(decider), (name, []))[1].append(module)
    return dict(groups.values())
