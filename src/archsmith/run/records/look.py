"""The record of the stage look: what the data is, and how it was split."""

from __future__ import annotations

from typing import Literal

from pydantic import StrictBool, StrictInt, StrictStr

from archsmith.run.records.part import Number, Part


class Counts(Part):
    """Images of each class in each part, in the order of the classes; one number a part where there
    are no classes."""

    train: tuple[StrictInt, ...]
    val: tuple[StrictInt, ...]
    test: tuple[StrictInt, ...]


class Sides(Part):
    """(width, height) in pixels of the smallest, the median and the largest image, by area, as the
    files have them."""

    min: tuple[StrictInt, StrictInt]
    median: tuple[StrictInt, StrictInt]
    max: tuple[StrictInt, StrictInt]


class Unreadable(Part):
    """An image that could not be used: its path and why."""

    path: StrictStr
    reason: StrictStr


class Division(Part):
    """How the split was made: its hash, the seed, in words, and the shares of the images for
    validation and test (0 to 1)."""

    sha256: StrictStr
    seed: StrictInt
    how: StrictStr
    val_share: Number
    test_share: Number


class Duplicates(Part):
    """Copies in later parts of images in earlier ones.

    `exact`, `near`: how many; `searched`: whether near ones were looked for; `conflicting`:
    pictures with several labels; `examples`: ids of a few pairs, [earlier, later].
    """

    exact: StrictInt
    near: StrictInt
    searched: StrictBool
    conflicting: StrictInt
    examples: tuple[tuple[StrictStr, StrictStr], ...]


class Decoding(Part):
    """How a picture becomes an input (`data.decode.Preprocessing`), and `why` so.

    `fit`: crop, pad or squeeze; `integers`, `floats`: of more than 8 bits a channel, the values
    that are black and white.
    """

    fit: StrictStr
    integers: tuple[Number, Number]
    floats: tuple[Number, Number]
    why: StrictStr


class Mirroring(Part):
    """Whether training mirrors images, and why."""

    suggested: StrictBool
    why: StrictStr


class Aim(Part):
    """What the network is to make of an image, as `tasks.to_json` writes it; fields that the task
    does not have are None.

    `measure`: what networks are ranked by, in words. Of classification: `classes`, and `mirrors`,
    whether a mirror image is of the same class. Of regression: the names of the `targets`, their
    `mean` and `std`. Of reconstruction: `channels`, `size` in pixels, `mean` and `std` of each
    channel.
    """

    task: Literal["classification", "regression", "reconstruction"]
    measure: StrictStr
    classes: tuple[StrictStr, ...] | None = None
    mirrors: StrictBool | None = None
    targets: tuple[StrictStr, ...] | None = None
    channels: StrictInt | None = None
    size: StrictInt | None = None
    mean: tuple[Number, ...] | None = None
    std: tuple[Number, ...] | None = None


class PartIds(Part):
    """Ids of the images of each part, in order."""

    train: tuple[StrictStr, ...]
    val: tuple[StrictStr, ...]
    test: tuple[StrictStr, ...]


class SplitIds(Part):
    """The split itself, as `data.split.Split` writes it; `format`: of that."""

    format: StrictInt
    sha256: StrictStr
    seed: StrictInt
    how: StrictStr
    val_share: Number
    test_share: Number
    parts: PartIds


class Looked(Part):
    """What look leaves.

    `name`, `kind`, `source`: of the data set, what it is, where it lay. `images`: that can be used.
    `classes`: their names in the order of the outputs, none for other tasks. `channels` and `size`
    (pixels) of the network's input. `resident`: whether all images are in memory. `imbalance`:
    images of the largest class over those of the smallest. `notes`: remarks for people. `goal`:
    None in runs of before. `mean`, `std`: of the training pixels in 0 to 1, by channel.
    """

    name: StrictStr
    kind: StrictStr
    source: StrictStr
    images: StrictInt
    classes: tuple[StrictStr, ...]
    counts: Counts
    channels: StrictInt
    size: StrictInt
    original_sizes: Sides
    unreadable: tuple[Unreadable, ...]
    split: Division
    data_hash: StrictStr
    resident: StrictBool
    imbalance: Number
    notes: tuple[StrictStr, ...]
    duplicates: Duplicates
    preprocessing: Decoding | None = None  # runs of before cropped
    flip: Mirroring
    goal: Aim | None = None
    mean: tuple[Number, ...]
    std: tuple[Number, ...]
    split_ids: SplitIds

    @property
    def fit(self) -> str:
        """How a picture becomes square."""
        return "crop" if self.preprocessing is None else self.preprocessing.fit

    @property
    def task(self) -> str:
        """What the network is for."""
        return "classification" if self.goal is None else self.goal.task

    @property
    def measure(self) -> str:
        """What networks are ranked by, in words."""
        return "accuracy" if self.goal is None else self.goal.measure
