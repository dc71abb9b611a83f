"""What a method adds to the report of a run: drawn when its search ends, so that whoever reads the
report needs neither the method nor torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import StrictStr, model_validator

from archsmith.run.records.part import Number, Part


class Section(Part):
    """A heading, a paragraph, a table (column -> values from top to bottom) and a picture: a Plotly
    figure as a mapping of `data`, a list of traces, and `layout`. All but the heading may be left
    out.

    >>> Section(title="Tried", table={"width": [8, 16], "score": [0.5, 0.7]}).rows
    [(8, 0.5), (16, 0.7)]
    """

    title: StrictStr
    text: StrictStr = ""
    table: Mapping[StrictStr, Sequence[Number | StrictStr]] = {}
    figure: Mapping[StrictStr, Any] | None = None

    @model_validator(mode="after")
    def _drawable(self) -> Section:
        if len({len(column) for column in self.table.values()}) > 1:
            raise ValueError("the columns of its table are not of one length")
        figure = self.figure
        if figure is not None and not (
            isinstance(figure.get("data"), Sequence)
            and isinstance(figure.get("layout", {}), Mapping)
            and all(isinstance(trace, Mapping) for trace in figure["data"])
        ):
            raise ValueError("its figure has no `data`, a list of traces, or a `layout` of no kind")
        return self

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The table by rows."""
        return list(zip(*self.table.values(), strict=True))
