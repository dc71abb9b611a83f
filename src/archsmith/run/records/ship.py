"""The record of the stage ship: what lies in best/, and how it did on the test images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StrictBool, StrictInt, StrictStr, Tag

from archsmith.run.records.part import Number, Options, Part
from archsmith.run.records.profile import Bound


class Classified(Part):
    """A classifier on `n` images (`metrics.accuracy.classified`); shares from 0 to 1.

    `balanced_accuracy`: mean recall of the classes that occur; `per_class_recall`: None for one
    that does not; `confusion`: counts, a row a true class, a column an answer; `interval`: 95 % of
    the accuracy; `loss`: mean cross-entropy. `constant`: what the best constant answer reaches;
    `above`: whether the network is better.
    """

    accuracy: Number
    balanced_accuracy: Number
    per_class_recall: tuple[Number | None, ...]
    confusion: tuple[tuple[StrictInt, ...], ...]
    n: StrictInt
    interval: tuple[Number, Number]
    loss: Number
    constant: Number = 0.0
    above: StrictBool = True


class Explained(Part):
    """A network that gives numbers or images, on `n` images (`metrics.accuracy.explained`).

    `accuracy`: the share of the variance that it explains, below 0 where it is worse than the mean;
    `loss`: mean squared error; `interval`: 95 % of the accuracy; `rmse`: target -> root mean
    squared error in its unit; `psnr`: of images, in decibels; `constant`, `above`: as of
    `Classified`.
    """

    accuracy: Number
    loss: Number
    n: StrictInt
    interval: tuple[Number, Number]
    rmse: Mapping[StrictStr, Number]
    psnr: Number | None = None
    constant: Number = 0.0
    above: StrictBool = True


_OF_CLASSES = {"balanced_accuracy", "per_class_recall", "confusion"}


def _kind(given: Any) -> str:
    of_classes = (
        bool(_OF_CLASSES & given.keys())
        if isinstance(given, Mapping)
        else isinstance(given, Classified)
    )
    return "classified" if of_classes else "explained"


Tested = Annotated[
    Annotated[Classified, Tag("classified")] | Annotated[Explained, Tag("explained")],
    Discriminator(_kind),
]  # on the test images


def tested(result: Mapping[str, Any]) -> Classified | Explained:
    """A result of `metrics.accuracy`, of classes or of numbers, as a record."""
    return (Classified if _kind(result) == "classified" else Explained)(**result)


class BudgetRow(Bound):
    """A limit, the `value` that was measured of the shipped file, and whether that keeps it
    (`met`)."""

    value: Number
    met: StrictBool


class PassedOver(Part):
    """A network that validation preferred and shipping did not take, by key, and why."""

    key: StrictStr
    why: StrictStr


class ShippedFile(Part):
    """A file of best/: its size in bytes and its hash."""

    name: StrictStr
    bytes: StrictInt
    sha256: StrictStr


class LeftOut(Part):
    """A file that the network could not be written as, and why."""

    name: StrictStr
    why: StrictStr


class Timing(Part):
    """Milliseconds of a call with the ONNX file: median, 10th and 90th percentile of `runs`, and
    what they depend on."""

    median_ms: Number
    p10_ms: Number
    p90_ms: Number
    runs: StrictInt
    threads: StrictInt
    batch: StrictInt
    runtime: StrictStr
    provider: StrictStr
    machine: StrictStr


class Layer(Part):
    """A block of the network, in words and numbers: shapes of what goes in and out, without batch;
    parameters; MACs."""

    stage: StrictStr
    name: StrictStr
    text: StrictStr
    inputs: tuple[StrictInt, ...] = Field(validation_alias="in", serialization_alias="in")
    out: tuple[StrictInt, ...]
    params: StrictInt
    macs: StrictInt


class ShippedArchitecture(Part):
    """What lies in best/: the space, or that it is hand-made; its key; its options, or what
    describes it."""

    space: StrictStr
    key: StrictStr
    options: Options


class SearchArm(Part):
    """The search's own network, whichever shipped: its key, architecture, budget and test."""

    key: StrictStr
    options: Options
    budget: tuple[BudgetRow, ...]
    test: Tested


class Mistake(Part):
    """A test image that was taken for something else: names of both classes, the probability, the
    picture (PNG, base64)."""

    true: StrictStr
    predicted: StrictStr
    share: Number
    png: StrictStr


class Shipped(Part):
    """What ship leaves.

    `files` of best/, and those that were `skipped`; `max_difference`: kind of file -> largest
    difference from PyTorch of a probability, a pixel or a value; `latency_ms`: None where there is
    no ONNX file. `budget`: each limit with what was measured. `layers`: none where the network
    cannot be traced. `fell_back`: better ones that miss the budget. `network`: which arm ships;
    `key`: the network's, or the hand-made one's name. `test`: the one look of what ships; `search`:
    of the search's network, None where there is none; `refit`: what ships was trained once more, on
    validation images as well, which `test` is of; `search` and `reference_test` are of networks as
    they were before. `reference_test`: of the best hand-made one,
    None likewise; `original_test`: of the network whose weights were given, as it came. `verdict`:
    in a sentence; `warning`: that it is no result. `mistakes`: the surest. `measure`: what
    accuracies are, in words.
    """

    files: tuple[ShippedFile, ...]
    skipped: tuple[LeftOut, ...]
    max_difference: Mapping[StrictStr, Number]
    latency_ms: Timing | None
    budget: tuple[BudgetRow, ...]
    architecture: ShippedArchitecture
    layers: tuple[Layer, ...]
    fell_back: tuple[PassedOver, ...]
    network: Literal["search", "reference"] = "search"
    key: StrictStr
    test: Tested
    search: SearchArm | None = None  # runs of before shipped the search's alone
    reference_test: Tested | None
    original_test: Tested | None = None
    refit: StrictBool = False
    verdict: StrictStr
    warning: StrictStr | None = None
    mistakes: tuple[Mistake, ...] = ()
    measure: StrictStr = "accuracy"
