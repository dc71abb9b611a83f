"""The record of the stage finish: the networks that were trained, and the hand-made ones beside
them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import StrictBool, StrictInt, StrictStr, model_validator

from archsmith.run.records.part import Number, Options, Part

if TYPE_CHECKING:
    from typing_extensions import Self


class CurvePoint(Part):
    """A point of a learning curve: after `step` steps and `seconds`, a share `progress` (0 to 1) of
    the training.

    `train_loss`: mean since the point before, None where there was no step; `lr`: the learning
    rate; `val_measure` (accuracy, or the task's other measure, 0 to 1) and `others`, all named
    val_..., on some of the validation images.
    """

    spread: ClassVar[str | None] = "others"
    step: StrictInt
    seconds: Number
    progress: Number
    train_loss: Number | None
    lr: Number
    val_measure: Number
    others: Mapping[StrictStr, Number | None] = {}


class Refit(Part):
    """A network trained once more, from where it began, on training and validation images.

    `images` of both, `steps` and `seconds` of it; `look`: the share (0 to 1) of its first training
    at which it was best on the validation images, which says how long; `seen_accuracy` (0 to 1) on
    the validation images, which it has learned by now; `failed`: why it is not what ships.
    """

    images: StrictInt
    steps: StrictInt
    seconds: Number
    look: Number
    seen_accuracy: Number | None
    failed: StrictStr | None = None


class TrainedNetwork(Part):
    """A network that was trained, as far as it came.

    `costs`: params, macs and what else was counted. `val_measure` (accuracy, or the task's other
    measure, 0 to 1) on the validation images, None where it failed; `seconds` and `steps` of
    training, a share `progress` (0 to 1) of a whole one; `failed`: why it left the race; `above`:
    whether it is better than the same answer always; `precision` it was trained in. None for what
    runs of before did not say. `refit`: its training on validation images as well, where it ships;
    all else is from before.
    """

    spread: ClassVar[str | None] = "costs"
    costs: Mapping[StrictStr, Number] = {}
    curve: tuple[CurvePoint, ...]
    val_measure: Number | None
    seconds: Number
    steps: StrictInt
    progress: Number
    failed: StrictStr | None
    above: StrictBool | None = None
    precision: StrictStr | None = None
    refit: Refit | None = None


class Finalist(TrainedNetwork):
    """A network of the short-list: its standing, its `origin` and its architecture (of a hand-made
    one what describes it).

    Of one that was trained further: the accuracies `before` and `after`, and whether its new
    weights are `kept`.
    """

    origin: StrictStr
    options: Options
    before: Number | None = None
    after: Number | None = None
    kept: StrictBool | None = None


class Rival(TrainedNetwork):
    """A hand-made network: its standing, and what it is, in words."""

    text: StrictStr


class TrainingPlan(Part):
    """What each arm was given, in seconds or in steps, and the seconds of scoring that the search's
    arm had before; `refit`: what was kept to train the one that ships once more."""

    unit: Literal["seconds", "steps"]
    search: Number
    reference: Number
    scoring_s: Number | None
    refit: Number = 0


class Rung(Part):
    """A rung of successive halving: training to a share `until` (0 to 1), who got so far, how many
    it keeps."""

    until: Number
    keep: StrictInt
    entries: tuple[StrictStr, ...]


def _among(chosen: str, networks: Mapping[str, TrainedNetwork]) -> None:
    if chosen not in networks:
        raise ValueError(f"its chosen network, {chosen}, is none of {', '.join(networks)}")


class ReferenceArm(Part):
    """The hand-made networks: what they are called, which was best, each by name, `seconds` and
    `steps` of all."""

    name: StrictStr
    chosen: StrictStr
    networks: Mapping[StrictStr, Rival]
    seconds: Number
    steps: StrictInt

    @model_validator(mode="after")
    def _with_its_best(self) -> Self:
        _among(self.chosen, self.networks)
        return self

    @property
    def best(self) -> Rival:
        """The network that was best on the validation images."""
        return self.networks[self.chosen]


class Original(Part):
    """The network whose weights were given, as it came: its costs, and its accuracy (or the
    task's other measure) on the validation images."""

    costs: Mapping[StrictStr, Number]
    val_measure: Number


class Finished(Part):
    """What finish leaves.

    `recipe`: the settings of the training by name (`training.recipe.Recipe`, and `augment`);
    `plan`: what each arm was given; `rungs` of the race; `chosen`: the key of the best on the
    validation images; `networks` by key; `ranking`: keys, best first, without those that failed.
    `reference`: None where no hand-made network was trained. `further`: whether the one network is
    another run's, trained further. `original`: the whole network whose weights were given, where it
    can do what is asked for as it came. `taught`: who taught the networks, in words.
    """

    recipe: Mapping[StrictStr, Any]
    plan: TrainingPlan
    rungs: tuple[Rung, ...]
    chosen: StrictStr
    networks: Mapping[StrictStr, Finalist]
    ranking: tuple[StrictStr, ...]
    reference: ReferenceArm | None
    further: StrictBool = False
    original: Original | None = None
    taught: StrictStr | None = None

    @model_validator(mode="after")
    def _with_its_best(self) -> Self:
        _among(self.chosen, self.networks)
        return self

    @property
    def best(self) -> Finalist:
        """The network that was best on the validation images."""
        return self.networks[self.chosen]
