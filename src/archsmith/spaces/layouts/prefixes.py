"""What stands before all names of a file of weights, or of a network, and not before the other's:
`module.`, `backbone.`, ..."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

_SHARED = 0.5  # the share of names that begin with what may be a prefix
_NEARLY_ALL = 0.9  # of the names of the shorter list that another prefix has to make fit
_DEEPEST = 4


@dataclass(frozen=True)
class Prefix:
    """`there` of the file's names is read as `here`; a name that only fits as it is stays."""

    there: str = ""
    here: str = ""

    def read(self, name: str, own: Collection[str]) -> str:
        """A name of the file as one of ours."""
        changed = f"{self.here}{name.removeprefix(self.there)}"
        return name if changed not in own and name in own else changed

    @property
    def remark(self) -> str:
        """For messages."""
        if self.there and self.here:
            return f"'{self.there}' read as '{self.here}'"
        return f"'{self.there}' left out" if self.there else f"'{self.here}' put before"


def prefixes(names: Iterable[str]) -> list[str]:
    """What at least half of the names begin with, whole words up to a point each; first nothing."""
    names = list(names)
    counts: Counter[str] = Counter()
    for name in names:
        words = name.split(".")[:-1][:_DEEPEST]
        counts.update(".".join(words[: i + 1]) + "." for i in range(len(words)))
    often = [prefix for prefix, count in counts.items() if count >= _SHARED * len(names)]
    return ["", *sorted(often, key=len)]


def best_prefix(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[Prefix, int]:
    """The prefix under which most tensors of the file agree with one of ours in name and shape, and
    how many do; another than none only where it makes nearly all names of either fit."""
    best, most = Prefix(), _agreeing(Prefix(), given, own)[1]
    for there in prefixes(given):
        for here in prefixes(own):
            prefix = Prefix(there, here)
            named, agreeing = _agreeing(prefix, given, own)
            if agreeing > most and named >= _NEARLY_ALL * min(len(given), len(own)):
                best, most = prefix, agreeing
    return best, most


def _agreeing(
    prefix: Prefix, given: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[int, int]:
    """How many tensors of the file have a name of ours; and one whose shape is ours, too."""
    pairs = [
        (tensor, own[name])
        for key, tensor in given.items()
        if (name := prefix.read(key, own)) in own
    ]
    return len(pairs), sum(there.shape == here.shape for there, here in pairs)
