"""The decisions that a run makes once and reads back: each with its one name, and the type of what
was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from pydantic import StrictBool, StrictInt, StrictStr, TypeAdapter, ValidationError

from archsmith.errors import Damaged, quoted
from archsmith.run.records.finish import Original, TrainingPlan
from archsmith.run.records.look import SplitIds
from archsmith.run.records.part import Number, Options, Part, wrong
from archsmith.run.records.profile import MadeByHand
from archsmith.run.records.section import Section
from archsmith.run.records.ship import BudgetRow

T = TypeVar("T")


@dataclass(frozen=True)
class Decision(Generic[T]):
    """A decision: its name in the run's database, and the type of what was decided.

    >>> Decision("finalists", int).read(4, "run")
    4
    """

    name: str
    type: type[T]

    @cached_property
    def _kind(self) -> TypeAdapter[T]:
        return TypeAdapter(self.type)

    def read(self, payload: Any, where: str) -> T:
        """What was decided, from its JSON; `where`: the file. Damaged, naming what is wrong, where
        it is not of its type."""
        try:
            return self._kind.validate_python(payload, strict=self.type in (int, float) or None)
        except ValidationError as error:
            message = f"{where}, decision {quoted(self.name)}: {wrong(error, payload)}"
            raise Damaged(f"{message}; put back a copy of it, or start a new run") from error


class TimePlan(Part):
    """Seconds of each part of a run with --time, and how many networks race: the fields of
    `run.clock.Plan`."""

    search: Number
    reference: Number
    sharing: Number
    scoring: Number
    training: Number
    finalists: StrictInt
    refit: Number = 0.0


class BegunWith(Part):
    """The network of another run that is trained further.

    `arm` it came from, its `key`, `options` (of a hand-made one what describes it), `origin` and
    `costs`; `val_measure` and `above` as finish left them; `test`: its accuracy on the test
    images, None where it was not looked at.
    """

    key: StrictStr
    arm: StrictStr
    options: Options
    val_measure: Number | None
    above: StrictBool | None
    origin: StrictStr
    costs: Mapping[StrictStr, Number]
    test: Number | None


class Begins(Part):
    """What all networks of a run begin with.

    `weights`: a file of them, None: fresh ones; `published`: they are those that the space's
    network was published with; `why`: what to say of it.
    """

    weights: StrictStr | None = None
    published: StrictBool = False
    why: StrictStr | None = None


class Taught(Part):
    """Who teaches the networks that finish trains.

    `by`: a file, or the network that was begun with; None: nobody. Of a file its `path` and its
    SHA-256, which must stay the same; `said`: how it is asked, in words.
    """

    by: Literal["file", "original"] | None = None
    path: StrictStr | None = None
    sha256: StrictStr | None = None
    said: StrictStr | None = None


class Refitting(Part):
    """The network that is trained once more on training and validation images: its `arm` and
    `name`, and for how long, steps or training seconds (`length`, in `unit`); `look`: the share of
    its training at which it was best. `length` None: it stays as it is, for the reason `why`."""

    arm: Literal["search", "reference"]
    name: StrictStr
    unit: Literal["steps", "seconds"]
    length: Number | None
    look: Number
    why: StrictStr | None = None


BEGINS = Decision("look/begins", Begins)
BEGUN_WITH = Decision("begun-with", BegunWith)
SPLIT = Decision("split", SplitIds)  # which image belongs to which part
# seconds of training in which one network sees each image as often as it should, as it was timed
# when the images were looked at
ENOUGH_S = Decision("look/enough-s", float)
MACS = Decision("macs", float)  # of a network that the time is good for
PLAN = Decision("plan", TimePlan)
FINALISTS = Decision("finalists", int)  # networks that can be trained side by side
# validation images behind a point of a learning curve
SAMPLE_IMAGES = Decision("glance/images", int)
SHARING_SECONDS = Decision("sharing/seconds", float)  # for weights that networks share
SHARING_STEPS = Decision("sharing/steps", int)
SHARING_IMAGES = Decision("sharing/images", int)  # held out to judge by
TRAINING_PLAN = Decision("finish/plan", TrainingPlan)
# over the training images, of the network that is trained to the end
TRAINING_PASSES = Decision("finish/passes", float)
TAUGHT = Decision("finish/taught", Taught)
# the network that was begun with, as it came; none where it is of no use
ORIGINAL = Decision("finish/original", list[Original])
REFITTING = Decision("finish/refitting", Refitting)
REFERENCES = Decision("finish/references", list[MadeByHand])  # where they follow the chosen network
SECTION = Decision("search/section", Section)  # what the method adds to the report
# seconds of finish before the hand-made networks
REFERENCE_BEGAN = Decision("finish/reference-began", float)
REFERENCE_SECONDS = Decision("finish/reference-seconds", float)
# seconds to keep for looking at the test images, and for layers beyond few
SHIP_LOOKS = Decision("ship/looks", float)


def budget_of(network: str) -> Decision[list[BudgetRow]]:
    """The limits with what was measured of a network, by its key or its name."""
    return Decision(f"ship/{network}", list[BudgetRow])
