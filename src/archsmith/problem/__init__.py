"""What is asked for: metrics, objectives, constraints; candidates that are measured and the trials
that come of it."""

from archsmith.problem.metric import (
    Constraint,
    Metric,
    Objective,
    Term,
    at_least,
    at_most,
    between,
    distinct,
    excess,
    figure,
    maximize,
    minimize,
    name_of,
    read,
)
from archsmith.problem.problem import Problem, reason_of
from archsmith.problem.trial import Candidate, Trial, rank, total_cost

__all__ = [
    "Candidate",
    "Constraint",
    "Metric",
    "Objective",
    "Problem",
    "Term",
    "Trial",
    "at_least",
    "at_most",
    "between",
    "distinct",
    "excess",
    "figure",
    "maximize",
    "minimize",
    "name_of",
    "rank",
    "read",
    "reason_of",
    "total_cost",
]
