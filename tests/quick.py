"""For tests of whole runs: fewer architectures are looked at for what costs nothing, and less long
for what is not there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def few_bounds() -> Iterator[None]:
    """A hundred lower bounds, as where a search has two seconds; two seconds of looking for
    networks that fit, and fewer of them drawn."""
    from archsmith.methods import scored
    from archsmith.stages import profiling

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scored, "_CHEAP_FEWEST", 100)
        patch.setattr(scored, "_CHEAP_MOST", 150)
        patch.setattr(profiling, "_LOOKING_S", 2.0)
        patch.setattr(profiling, "_DRAWS", 60)
        yield
