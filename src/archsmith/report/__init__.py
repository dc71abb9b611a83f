"""The record of a run as one offline page and one table: `write` makes report.html, `write_front`
makes front.csv."""

from __future__ import annotations

from archsmith._internal.statistics import wilson
from archsmith.report.front import write_front
from archsmith.report.page import write
from archsmith.report.verdict import Comparison, compare

__all__ = ["Comparison", "compare", "wilson", "write", "write_front"]
