"""What a method is: a frozen dataclass whose fields are its settings, with a `search`, and what
else it fills in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import ValidationError

from archsmith.errors import ArchsmithError, UserError, did_you_mean, shown
from archsmith.run.records import Part, Screened, Searched, Trained
from archsmith.run.records.part import wrong
from archsmith.run.records.section import Section

if TYPE_CHECKING:
    from torch import nn

    from archsmith.methods.job import Job
    from archsmith.problem import Constraint
    from archsmith.space import Architecture

# what a method may have beside `search`
HOOKS = ("check", "screen", "train", "start", "finish", "answer", "drawing")
NOTHING_SCORED = Screened(proxy=None, scored=0, best=None, passes=0, seconds_per_score=None)
Left = TypeVar("Left", bound=Part)


class TooLittleTime(ArchsmithError):
    """What trains shared weights raises where its part of the time would leave them untrained; says
    what it would take."""


@dataclass(frozen=True)
class Shares:
    """What a method asks of the clock: seconds for scores or estimates, seconds for weights that
    networks share; `kept`: the network that ships goes on with those, so they are part of its
    training."""

    scoring: bool = True
    sharing: bool = False
    kept: bool = False


@dataclass(frozen=True)
class FinishPlan:
    """How the short-list becomes trained networks: each trained ("train"), from the weights that
    `start` gives fine-tuned at a part of the rate ("fine-tune"), or served as it is with its
    BatchNorm statistics set anew ("calibrate"). `distill`: the network that was begun with teaches
    them, and the hand-made ones."""

    how: Literal["train", "fine-tune", "calibrate"] = "train"
    rate: float = 1.0
    distill: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 10:
            raise UserError(
                f"rate={self.rate}: the part of the recipe's learning rate is above 0, at most 10"
            )


@dataclass(frozen=True)
class SharedWeights:
    """Weights that networks share, as a method left them, alive in this process, and what the run
    records of them.

    `record()` may train and look (estimates are checked in it): it is asked once, when the stage
    ends.
    """

    weights: Any
    record: Callable[[], Trained]


@runtime_checkable
class Method(Protocol):
    """The one thing a method must have; its fields are its settings (`setting`), all with a
    default.

    It may also have:

    - `check(space, task)`: UserError for a space or task that it is not made for, before anything
      is trained. What its settings forbid among themselves belongs into `__post_init__`;
    - `screen(job) -> Screened`: scores before anything is trained;
    - `train(job) -> SharedWeights`: weights that networks share, as far as its checkpoints do not
      hold them already;
    - `start(job, trained, arch)`: the network that training begins with, None: a fresh one;
    - `finish(default) -> FinishPlan`: another way to finish than training each;
    - `answer(job, record, limits, count)`: architectures for another budget from what `train`
      recorded, without training;
    - `drawing(searched, trained) -> Section | None`: its own part of the report, from what was
      recorded of its search and of its shared weights (None: no such);
    - `shares`: what of the clock it uses; by default scores, if it has `screen`, and shared
      weights, if it has `train`;
    - `checked`: False where what its shared weights estimate is followed without a check;
    - `regenerating`: names of settings that only say what `answer` gives, so that they can be
      changed afterwards.
    """

    def search(self, job: Job, trained: SharedWeights | None) -> Searched:
        """The short-list, and what led to it (`listing.shortlist` makes one)."""
        ...


def setting(default: Any, text: str) -> Any:
    """A field of a method: its default, which also says its kind, and one line about it."""
    return dataclasses.field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Setting:
    """One setting of a method, as it is listed and asked for."""

    name: str
    default: int | float | bool | str
    text: str

    @property
    def kind(self) -> str:
        """In words."""
        return _KINDS[type(self.default)][1]

    def check(self, value: Any) -> None:
        """UserError for a value that is not of the kind of the default."""
        allowed, kind = _KINDS[type(self.default)]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise UserError(
                f"--set {self.name}={shown(value)}: give {kind}, as "
                f"{self.name}={str(self.default).lower()}"
            )


_KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a word"),
}


def settings_of(method: Any) -> dict[str, Setting]:
    """The settings of a method, class or instance, by name. UserError where one has no default, or
    one of another kind."""
    settings = {}
    for field in dataclasses.fields(method) if dataclasses.is_dataclass(method) else ():
        if field.metadata.get("fixed"):
            continue
        default: Any = field.default
        if type(default) not in _KINDS:
            name = getattr(method, "__name__", type(method).__name__)
            raise UserError(
                f"setting '{field.name}' of method {name} needs a default that is a number, a "
                f"word, true or false: "
                f"write {field.name}: int = setting(3, 'what it is')"
            )
        settings[field.name] = Setting(field.name, default, field.metadata.get("text", ""))
    return settings


def made(kind: Any, name: str, settings: Mapping[str, Any]) -> Method:
    """The method of a class or factory with these settings; UserError for one that it does not
    have, of another kind, or that its own check refuses. `name`: what it is called."""
    known = settings_of(getattr(kind, "func", kind))
    for key, value in settings.items():
        if key not in known:
            having = f"it has {', '.join(known)}" if known else "it has none"
            raise UserError(
                f"method '{name}' has no setting '{key}'{did_you_mean(key, known)}; {having}"
            )
        known[key].check(value)
    method = kind(**settings)
    if not callable(getattr(method, "search", None)):
        raise UserError(
            f"method '{name}' has no search(job, trained); it is the one thing a method must have"
        )
    return method


def shares_of(method: Method) -> Shares:
    """What it says, or what its hooks need."""
    own = getattr(method, "shares", None)
    return (
        own
        if isinstance(own, Shares)
        else Shares(scoring=has(method, "screen"), sharing=has(method, "train"))
    )


def is_checked(method: Method) -> bool:
    """Whether its estimates are followed only where a check finds them good."""
    return bool(getattr(method, "checked", True))


def has(method: Method, hook: str) -> bool:
    """Whether it fills that in. The one place where a method is looked at for what it may leave
    out."""
    assert hook in HOOKS
    return callable(getattr(method, hook, None))


def check(method: Method, space: str, task: str) -> None:
    """UserError where the method refuses the space or the task, both by name."""
    if has(method, "check"):
        method.check(space, task)  # type: ignore[attr-defined]


def screen(method: Method, job: Job) -> Screened:
    """What it records of scores; nothing where it has none."""
    if not has(method, "screen"):
        return NOTHING_SCORED
    return _left(method, "screen", Screened, lambda: method.screen(job))  # type: ignore[attr-defined]


def train(method: Method, job: Job) -> SharedWeights:
    """The weights that networks share; only for a method that `has` it."""
    return method.train(job)  # type: ignore[attr-defined]


def recorded(method: Method, trained: SharedWeights) -> Trained:
    """What it records of its shared weights."""
    return _left(method, "train", Trained, trained.record)


def search(method: Method, job: Job, trained: SharedWeights | None) -> Searched:
    """Its short-list, and what led to it."""
    return _left(method, "search", Searched, lambda: method.search(job, trained))


def drawing(method: Method, searched: Searched, trained: Trained | None) -> Section | None:
    """Its own part of the report, where it has one to show."""
    if not has(method, "drawing"):
        return None
    section = method.drawing(searched, trained)  # type: ignore[attr-defined]
    return None if section is None else _left(method, "drawing", Section, lambda: section)


def _left(method: Method, hook: str, kind: type[Left], make: Callable[[], Any]) -> Left:
    """The record that a hook makes, a mapping of its fields taken for one; UserError, naming the
    method and the field, where it is not as a run keeps it."""

    def refused(fault: str) -> UserError:
        return UserError(
            f"method {type(method).__name__}: what {hook} gives is no {kind.__name__}: {fault}; "
            f"see archsmith.run.records, or let archsmith.methods.listing make it"
        )

    given: Any = None
    try:
        given = make()
        if isinstance(given, kind):
            return given
        if isinstance(given, Mapping):
            return kind.model_validate(given)
    except ValidationError as error:
        if given is not None:
            raise refused(wrong(error, given)) from error
        if error.title not in {part.__name__ for part in Part.__subclasses__()}:
            raise  # another library's use of pydantic
        first = error.errors(include_url=False)[0]  # of a part of the record, made in the hook
        field = ".".join(map(str, (error.title, *first["loc"][:1])))
        why = f"{field} is {shown(repr(first['input']), 60)} ({first['msg']})"
        raise refused(why) from error
    raise refused(f"it is {shown(repr(given), 60)}")


def finish(method: Method) -> FinishPlan:
    """How its short-list is finished."""
    plan = FinishPlan()
    return method.finish(plan) if has(method, "finish") else plan  # type: ignore[attr-defined]


def start(
    method: Method, job: Job, trained: SharedWeights | None
) -> Callable[[Architecture], nn.Module | None] | None:
    """What a network of the short-list begins with, where the method says so."""
    return (lambda arch: method.start(job, trained, arch)) if has(method, "start") else None  # type: ignore[attr-defined]


def answer(
    method: Method, job: Job, record: Trained, *, limits: Sequence[Constraint], count: int
) -> list[Architecture]:
    """Up to `count` architectures within the limits, the best first, from what `train` recorded;
    only for a method that `has` it."""
    return method.answer(job, record, limits=limits, count=count)  # type: ignore[attr-defined]
