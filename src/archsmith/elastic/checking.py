"""Whether a network made elastic holds where it is narrower: it is run there, and every layer must
give the form that was foreseen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.elastic.channels import Channels
from archsmith.elastic.structure import read, written
from archsmith.elastic.supernet import extract
from archsmith.elastic.tracing import line_of_error, several
from archsmith.errors import UserError, first_line
from archsmith.space import Architecture, Choice, Derived, resolve

Form = tuple[int, ...]
Sizes = Mapping[int, Choice | Derived]


def misfits(twin: nn.Module, channels: Channels, sizes: Sizes, example: Tensor) -> dict[int, str]:
    """Group -> why its width must stay, of those that do not hold at their smallest, alone or with
    what narrower ones come before; none where all do.

    `sizes`: group -> its size in the `twin`.
    """
    space = read(twin).space
    largest = space.extreme(-1)
    run = _Run(twin, channels, sizes, example)
    decided = {root: size for root, size in sizes.items() if isinstance(size, Choice)}

    def narrowed(roots: Iterable[int]) -> Architecture:
        smallest = {str(decided[root].name): min(decided[root].options) for root in roots}
        return Architecture({**largest, **smallest})

    groups = channels.groups
    candidates = [part.group for layout in channels.risky for part in groups.opened(layout)]
    candidates += [p.group for layout in channels.numbers.values() for p in groups.opened(layout)]
    reasons: dict[int, str] = {}
    for root in dict.fromkeys(root for root in candidates if root in decided):
        if (why := run.wrong(narrowed([root]))) is not None:
            reasons[root] = why
    if reasons or run.wrong(narrowed(decided)) is None:
        return reasons
    for root in decided:
        if (why := run.wrong(narrowed([root]))) is not None:
            reasons[root] = why
    kept: list[int] = []
    for root in decided if not reasons else ():
        if (why := run.wrong(narrowed([*kept, root]))) is not None:
            reasons[root] = why
        else:
            kept.append(root)
    return reasons


class _Run:
    """Runs of the plain networks of a twin, on `meta` where they can."""

    def __init__(self, twin: nn.Module, channels: Channels, sizes: Sizes, example: Tensor) -> None:
        self._twin, self._channels, self._sizes = twin, channels, sizes
        self._example = several(example)
        self._reading = read(twin)
        self._meta = True
        largest = self._reading.space.extreme(-1)
        self._meta = self.wrong(largest) is None
        if not self._meta and (why := self.wrong(largest)) is not None:
            raise UserError(f"{type(twin).__name__} made elastic does not hold: {why}")

    def wrong(self, arch: Architecture) -> str | None:
        """What is not as foreseen in a network; None where all is."""
        device = torch.device("meta") if self._meta else self._example.device
        plain = extract(self._twin, arch, "fresh" if self._meta else "shared", device=device)
        plain = plain.to(device).eval()
        with written(self._twin, self._reading, arch) as values:
            foreseen = self._foreseen(values)
        unlike: list[str] = []
        hooks = [
            plain.get_submodule(path).register_forward_hook(_compare(path, forms, unlike))
            for path, forms in foreseen.items()
        ]
        state = torch.random.get_rng_state()
        try:
            with torch.no_grad(), device:
                plain(self._example.to(device))
        except Exception as error:
            where = line_of_error(error)
            at = f" at {where}" if where else ""
            return f"a network that is narrower there does not run{at}: {first_line(error)}"
        finally:
            torch.random.set_rng_state(state)
            for hook in hooks:
                hook.remove()
        return unlike[0] if unlike else None

    def _foreseen(self, values: Mapping[Choice, Any]) -> dict[str, set[Form]]:
        """Path of a layer -> the forms that it gives."""
        groups = self._channels.groups
        forms: dict[str, set[Form]] = {}
        for node, layout, axis in self._channels.layouts():
            if node.op == "call_module":
                form = list(node.meta["form"])
                form[axis] = sum(
                    int(resolve(self._sizes.get(p.group, groups.size(p.group)), values)) * p.repeat
                    for p in groups.opened(layout)
                )
                forms.setdefault(str(node.target), set()).add(tuple(form))
        return forms


def _compare(path: str, foreseen: set[Form], unlike: list[str]) -> Callable[..., None]:
    def hear(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and tuple(output.shape) not in foreseen:
            unlike.append(
                f"{path} gives {tuple(output.shape)} in a network that is narrower there, "
                f"not {min(foreseen)}"
            )

    return hear
