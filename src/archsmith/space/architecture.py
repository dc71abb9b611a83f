"""What was decided: a frozen mapping of decisions to options, with a key for good."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from archsmith.errors import UserError, shown
from archsmith.space.options import frozen


class Architecture(Mapping[str, Any]):
    """One network of a space: a frozen, hashable mapping from the name of each active decision to
    its option.

    `options`: name -> option; whether a space holds them is not asked here: `space.check`. Equal
    options are equal architectures; `key` identifies one for good, `to_json` and `from_json` write
    and read it.

    >>> arch = archsmith.Architecture({"width": 16, "depth": 2})
    >>> arch["width"], arch.to_json()
    (16, '{"depth":2,"width":16}')
    >>> arch == archsmith.Architecture.from_json(arch.to_json())
    True
    """

    __slots__ = ("__dict__", "_hash", "_options")

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._hash: int | None = None

    def __getitem__(self, name: str) -> Any:
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._options.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self._options == other._options

    def __repr__(self) -> str:
        return f"Architecture({self._options})"

    def __reduce__(self) -> tuple[type[Architecture], tuple[dict[str, Any]]]:
        # made anew: hashes of texts differ from process to process
        return Architecture, (self._options,)

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits of the canonical JSON: the same on every machine and in every
        restricted space."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=8).hexdigest()

    def to_json(self) -> str:
        """Canonical JSON: names sorted, no spaces."""
        return json.dumps(self._options, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes | Mapping[str, Any]) -> Architecture:
        """The architecture that `to_json` wrote; raises UserError on anything else. Whether a space
        holds it: `space.check`."""
        try:
            options = text if isinstance(text, Mapping) else json.loads(text)
            if not isinstance(options, Mapping):
                raise ValueError("not an object")
            arch = Architecture({str(name): frozen(option) for name, option in options.items()})
            hash(arch)  # options are plain values
            return arch
        except RecursionError as error:
            raise UserError(
                "not an architecture: it is nested too deep; expected a JSON object of names and "
                "options"
            ) from error
        except (ValueError, TypeError) as error:
            raise UserError(
                f"not an architecture: {shown(error, 200)}; expected a JSON object of decision "
                f"names and options"
            ) from error


def copied(arch: Mapping[str, Any]) -> dict[str, Any]:
    # the Mapping's own way is slow
    return dict(arch._options if isinstance(arch, Architecture) else arch)
