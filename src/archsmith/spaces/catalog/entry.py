"""What is known of a search space, in one place: the entry of the table, and the forms in which its
publishers write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from archsmith.errors import UserError, shown
from archsmith.space import Architecture
from archsmith.spaces.catalog.shape import CellShape


def _no_size(text: str) -> int | None:
    return None


@dataclass(frozen=True)
class Format:
    """A form in which an architecture is published: `write` and `read` are inverse, `read` raises
    UserError naming the place.

    `fits(text)`: whether a text means to be in this form. `size(text)`: pixels of the images that
    the text names beside the architecture, which is no part of it; None where it names none.
    """

    name: str
    write: Callable[[Mapping[str, Any]], str]
    read: Callable[[str], Architecture]
    fits: Callable[[str], bool]
    size: Callable[[str], int | None] = _no_size


@dataclass(frozen=True)
class Published:
    """An architecture that was read: from which form, and for images of how many pixels, where the
    text says so."""

    arch: Architecture
    form: str
    size: int | None = None


@dataclass(frozen=True)
class Pretrained:
    """Published weights that an installed Python package brings as a file.

    `package` and `file`: where they lie, the extra of archsmith that installs it; `mean`, `std`: of
    pixels in 0..1, what the network was trained to see; `cut`: the decision how far it goes.
    Nothing is ever downloaded.
    """

    package: str
    file: str
    mean: float
    std: float
    cut: str
    extra: str = "pretrained"

    def path(self) -> Path | None:
        """The file of the weights; None where the package is not installed."""
        spec = find_spec(self.package)
        for folder in spec.submodule_search_locations or () if spec is not None else ():
            if (path := Path(folder) / self.file).is_file():
                return path
        return None


@dataclass(frozen=True)
class Space:
    """All that is known of a space beside the network itself; of a user's own space only the first
    two fields.

    `network`: "module:attribute" of what builds it, imported when used. `what`, `networks`,
    `images`: for people, what it is, how many architectures it holds and for which images.
    `formats`: the publishers' own, the usual one first. `live(arch)`: whether an architecture
    computes anything; None: all do. `canonical(arch)`: the architecture that stands for all that
    compute the same; None: each for itself. `shape`: height and kinds of operations of its cells.
    `statistic(arch)`: what samples are balanced by. `ensemble`: the rank sum of scores that was
    chosen on networks of its kind. `hand_made`: whether it holds the networks that are made by
    hand; `timed`: the kind of block of a network made by hand that stands for the space where the
    speed of training is measured, None: one of its own, drawn at random. `pretrained`: published
    weights of the largest network.
    """

    name: str
    network: str
    what: str = ""
    networks: str = ""
    images: str = ""
    formats: tuple[Format, ...] = ()
    live: Callable[[Mapping[str, Any]], bool] | None = None
    canonical: Callable[[Mapping[str, Any]], Architecture] | None = None
    shape: CellShape | None = None
    statistic: Callable[[Mapping[str, Any]], float] | None = None
    ensemble: str | None = None
    hand_made: bool = False
    timed: str | None = None
    pretrained: Pretrained | None = None

    @property
    def begins_by_hand(self) -> bool:
        """Whether networks can be made by hand in it: its own, or parts of a published one."""
        return self.hand_made or self.pretrained is not None

    @property
    def text(self) -> Callable[[Mapping[str, Any]], str] | None:
        """Architecture -> the publishers' usual text; None where nobody publishes any."""
        return self.formats[0].write if self.formats else None

    @property
    def arch(self) -> Callable[[str], Architecture] | None:
        """A text in any of the publishers' forms -> architecture; None where nobody publishes
        any."""
        return (lambda text: self.read(text).arch) if self.formats else None

    def form(self, arch: Architecture) -> Architecture:
        """The canonical architecture, or the one given where each stands for itself."""
        return arch if self.canonical is None else self.canonical(arch)

    def read(self, text: str) -> Published:
        """The architecture of a text in one of the publishers' forms; UserError naming the place
        where it is none."""
        for form in self.formats:
            if form.fits(text):
                return Published(form.read(text), form.name, form.size(text))
        known = "; ".join(form.name for form in self.formats) or (
            "it has no published form: give an architecture.json"
        )
        raise UserError(
            f"'{shown(text, 60)}' is no architecture of the space '{self.name}' as published; it "
            f"is read from: {known}"
        )
