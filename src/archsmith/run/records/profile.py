"""The record of the stage profile: what networks of the space cost, and how many keep the
budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, StrictInt, StrictStr, Tag

from archsmith.problem.budget import Limit
from archsmith.run.records.part import Number, Options, Part


class Bound(Part):
    """A limit of the budget: `metric` `op` `limit`, in the metric's own unit (a count, ms or
    bytes), and as it was written. `share`: of what the largest network of the space costs, where it
    was asked for so."""

    metric: StrictStr
    op: Literal["<=", ">="]
    limit: Number
    unit: StrictStr
    text: StrictStr
    share: Number | None = None

    @property
    def as_limit(self) -> Limit:
        """What it bounds by."""
        asked = None if self.share is None else Limit(self.metric, self.op, self.share, "largest")
        return Limit(self.metric, self.op, self.limit, asked=asked)


class Spread(Part):
    """The least, the median and the largest value of a sample, in the unit of what it is of."""

    min: Number
    median: Number
    max: Number


class FittingShare(Part):
    """The share (0 to 1) of the space that keeps the budget, by `draws` random networks, with its
    95 % interval.

    `found`: networks that keep it which were looked for, of few; None in runs of before.
    """

    share: Number
    low: Number
    high: Number
    draws: StrictInt
    found: StrictInt | None = None


class TableErrors(Part):
    """How far a latency table is off (`metrics.latency.LatencyTable.errors`).

    `entries`: blocks that were timed; `machine`, `runtime`, `threads`, `batch` (images): what times
    hold for. Of `held_out` networks that were timed whole: `mape` and `max_error`, mean and largest
    miss as shares of the time; `spearman`, the rank correlation; `rough_mape`, of a formula in
    place of the table; `measured_ms`, their times. `fitted_on`: networks that say how blocks add
    up.
    """

    entries: StrictInt
    machine: StrictStr
    runtime: StrictStr
    threads: StrictInt
    batch: StrictInt
    held_out: StrictInt
    fitted_on: StrictInt
    mape: Number
    max_error: Number
    spearman: Number
    rough_mape: Number | None = None
    measured_ms: Spread


class HandMade(Part):
    """A network as one would make it by hand, the fields of `spaces.reference.Reference`.

    For `classes` outputs and images of `channels` x `size` x `size`: `depth` blocks of `kind` in
    each stage, `first` at the stem's resolution, widths times `width`, `head` channels before
    pooling.
    """

    name: StrictStr
    classes: StrictInt
    channels: StrictInt
    size: StrictInt
    depth: StrictInt
    width: Number
    head: StrictInt
    kind: StrictStr = "inverted"
    first: StrictInt = 1


class ThinnedByHand(Part):
    """A network that was begun with, made smaller by hand, the fields of
    `spaces.thinning.Thinned`."""

    name: StrictStr
    space: StrictStr
    classes: StrictInt
    channels: StrictInt
    size: StrictInt
    options: Options
    text: StrictStr


def _kind(given: Any) -> str:
    """Which of the two; by the field that tells them apart."""
    thinned = "options" in given if isinstance(given, Mapping) else hasattr(given, "options")
    return "thinned" if thinned else "hand-made"


MadeByHand = Annotated[
    Annotated[ThinnedByHand, Tag("thinned")] | Annotated[HandMade, Tag("hand-made")],
    Discriminator(_kind),
]


class HandMades(Part):
    """Hand-made networks that use the budget; `why`: there are none."""

    networks: tuple[MadeByHand, ...]
    why: StrictStr | None


class Profiled(Part):
    """What profile leaves.

    `space`: its name; `space_size`: the number of its architectures, in digits or as 1.2e+14;
    `decisions`: how many. `metrics`: cost -> its spread over the space. `budget`: the limits.
    `latency_table`: None where no latency is bounded. `init`: what of --init was taken, None
    without it. `references`: None where hand-made networks follow the chosen one, or are not
    wanted.
    """

    space: StrictStr
    space_size: StrictStr
    decisions: StrictInt
    metrics: Mapping[StrictStr, Spread]
    feasible_share: FittingShare
    budget: tuple[Bound, ...]
    latency_table: TableErrors | None
    init: StrictStr | None = None
    references: HandMades | None = None

    def bound(self, metric: str) -> Bound | None:
        """The first limit of a metric."""
        return next((bound for bound in self.budget if bound.metric == metric), None)
