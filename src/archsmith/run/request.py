"""What `archsmith search` was asked for, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archsmith.errors import UserError
from archsmith.problem.budget import parse

if TYPE_CHECKING:
    pass


class Request(BaseModel):
    """Everything that `archsmith search` was asked for; saved in run.json and read back on
    resume."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    budget: str = ""
    method: str = "auto"
    space: str = "auto"
    device: str = "auto"
    time_s: float | None = Field(default=1200.0, gt=0)
    steps: int | None = Field(default=None, gt=0)
    trials: int | None = Field(default=None, ge=8)
    threads: int | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**31)
    init: str | None = None
    pretrained: bool | None = None  # published weights; None: where they suit the data
    teacher: str | None = None  # a file with a network whose answers are learned from, too
    loss: str | None = None  # a function of the user's own file, for training
    refit: bool = False  # what ships is trained once more, on validation images as well
    size: int | None = Field(default=None, ge=4, le=1024)
    val_share: float | None = Field(default=None, gt=0, lt=1)  # None: by the number of images
    test_share: float | None = Field(default=None, gt=0, lt=1)
    group: str | None = None
    classes_at: int | None = Field(default=None, ge=1)
    reference: bool = True
    task: Literal["classification", "regression", "reconstruction"] = "classification"
    # estimates by shared weights: where a check finds them good, or always
    follow: Literal["checked", "always"] = "checked"
    fit: Literal["auto", "crop", "pad", "squeeze"] = "auto"
    flip: Literal["auto", "yes", "no"] = "auto"
    training: dict[Literal["lr", "batch", "augment", "precision"], int | float | str] = Field(
        default_factory=dict
    )  # instead of the recipe's
    settings: dict[str, int | float | str | bool] = Field(default_factory=dict)  # the method's own

    @property
    def weights_option(self) -> str:
        """The option of the command line that the weights to begin with were given as."""
        return "--weights" if self.method == "shrink" else "--init"


def request_from(**values: Any) -> Request:
    """A checked request; UserError naming the setting, its value and what is allowed."""
    try:
        request = Request(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{name}={first.get('input')!r}: {_allowed(name) or first['msg']}"
        ) from error
    parse(request.budget)
    if request.time_s is None and request.steps is None:
        raise UserError("give either a time or a number of training steps")
    if (request.val_share or 0.0) + (request.test_share or 0.0) >= 1:
        raise UserError(
            f"val_share={request.val_share} and test_share={request.test_share} leave "
            f"nothing to train on"
        )
    return request


_BOUNDS = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}


def _allowed(name: str) -> str:
    """What values a numeric setting may have; "" for others."""
    field = Request.model_fields.get(name)
    bounds = [
        f"{word} {value:g}"
        for one in (field.metadata if field else ())
        for sign, word in _BOUNDS.items()
        if isinstance(value := getattr(one, sign, None), int | float)
    ]
    return f"allowed is a number {' and '.join(bounds)}" if bounds else ""
