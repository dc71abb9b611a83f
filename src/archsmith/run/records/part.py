"""What records are made of: frozen models that give back the JSON they came from, and say which
field of another is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, StrictFloat, StrictInt, ValidationError, model_validator

from archsmith.errors import Damaged, printable, shown

if TYPE_CHECKING:
    from typing_extensions import Self

Number = StrictInt | StrictFloat  # as it was given: whole numbers stay whole in JSON
Options = Mapping[str, Any]  # decision -> option: of an architecture


class Part(BaseModel):
    """A record, or a part of one: frozen, with every field checked when it is made.

    A field that was not given takes its default and is not written, so a record is written as it
    was read. `spread`: the field whose entries JSON holds beside the other fields, for names that
    are not known beforehand (costs, scores). What a later version wrote beside the fields is kept,
    last.
    """

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)
    spread: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, given: Any) -> Any:
        """The entries of `spread` from among the others."""
        if cls.spread is None or not isinstance(given, Mapping) or cls.spread in given:
            return given
        known = {
            name
            for field in cls.model_fields.items()
            for name in (field[0], field[1].validation_alias)
        }
        rest = {name: value for name, value in given.items() if name not in known}
        return {**{name: value for name, value in given.items() if name in known}, cls.spread: rest}

    @classmethod
    def from_json(cls, payload: Any, where: str) -> Self:
        """The record that `to_json` wrote. `where`: file and place in it, for messages.

        Raises Damaged, naming the field, where one is missing or is not as it is written.
        """
        try:
            return cls.model_validate(payload)
        except ValidationError as error:
            raise Damaged(
                f"{where}: {wrong(error, payload)}; put back a copy of it, or start a new run"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Field name -> plain value, in the order of the fields, without those that were not
        given."""
        fields: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            if name in self.model_fields_set:
                value = plain(getattr(self, name))
                fields |= (
                    value if name == self.spread else {field.serialization_alias or name: value}
                )
        return fields | plain(self.model_extra or {})


def plain(value: Any) -> Any:
    """Records, mappings and sequences as JSON has them; anything else as it is."""
    if isinstance(value, Part):
        return value.to_json()
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def wrong(error: ValidationError, payload: Any) -> str:
    """The first thing that is wrong with a payload: which field, and what it is instead."""
    first = error.errors(include_url=False)[0]
    place: list[str] = []
    at = payload
    for step in first["loc"]:  # which has the kinds that were tried, too
        if (
            step in at
            if isinstance(at, Mapping)
            else isinstance(at, list | tuple) and step in range(len(at))
        ):
            place, at = [*place, str(step)], at[step]
    if first["type"] == "missing":
        return f"{printable('.'.join([*place, str(first['loc'][-1])]), 80)} is missing"
    name = printable(".".join(place), 80) or "it"
    return f"{name} is {shown(repr(at), 60)}, not as a run writes it ({first['msg']})"
