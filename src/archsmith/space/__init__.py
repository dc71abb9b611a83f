"""What can be decided and what was decided: Choice, Derived, Concat, SearchSpace, Architecture;
mutate and crossover."""

from archsmith.space.architecture import Architecture
from archsmith.space.conditions import Clause, Condition, Gate, simplify
from archsmith.space.moves import crossover, mutate
from archsmith.space.sizes import (
    Choice,
    Concat,
    Derived,
    Elastic,
    Option,
    Segments,
    Size,
    Tiled,
    choices_of,
    largest,
    make_divisible,
    resolve,
)
from archsmith.space.space import INACTIVE, SearchSpace

__all__ = [
    "INACTIVE",
    "Architecture",
    "Choice",
    "Clause",
    "Concat",
    "Condition",
    "Derived",
    "Elastic",
    "Gate",
    "Option",
    "SearchSpace",
    "Segments",
    "Tiled",
    "Size",
    "choices_of",
    "crossover",
    "largest",
    "make_divisible",
    "mutate",
    "resolve",
    "simplify",
]
