"""For tests of whole runs: fewer architectures are looked at for what costs nothing, and less long
for what is not there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")  # of the tests that ask for it, and no others
def few_bounds() -> Iterator[None]:
    """A hundred lower bounds, as where a search has two seconds; two seconds of looking for
    networks that fit, and fewer of them drawn; counts compared on three networks."""
    from archsmith.methods import scored
    from archsmith.metrics import cost
    from archsmith.stages import profiling

    covering = cost.covering

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scored, "_CHEAP_FEWEST", 100)
        patch.setattr(scored, "_CHEAP_MOST", 150)
        patch.setattr(profiling, "_LOOKING_S", 2.0)
        patch.setattr(profiling, "_DRAWS", 60)
        patch.setattr(cost, "covering", lambda space: itertools.islice(covering(space), 3))
        yield
