"""Networks as one would make them by hand, and neighbors of the best of them: nothing is scored, training alone decides.

What `--method auto` is where the space has such networks: with minutes to train, no score that was tried found better ones in
the family (benchmarks/RESULTS.md), and scoring takes time from training.
"""

from __future__ import annotations

from typing import Any

from archsmith.elastic.views import NAME as VIEWS
from archsmith.errors import UserError
from archsmith.methods import zico
from archsmith.methods.scored import passes_of
from archsmith.methods.task import Task
from archsmith.spaces import SPACES, described

SCORES = False  # no time for scores
SEARCHER = "by hand, and neighbors of the first"
_LONG_S, _FEW = 1200.0, 2  # seconds of training from which on the race is a wide one, and the networks of one that is not
_OFTEN = 30.0  # passes over the training images


def refuse(space_name: str, **others: Any) -> None:
    """UserError for a space that has no such networks."""
    if not described(space_name).hand_made:
        own = " or ".join(space.name for space in SPACES.values() if space.hand_made)
        raise UserError(
            f"method 'hand-made' knows no hand-made network of the space '{space_name}'; use --space {own}, or another "
            "method (`archsmith methods`)"
        )


def screen(task: Task) -> dict[str, Any]:
    """Nothing to score; networks by ZiCo where no limit says how large a hand-made one should be."""
    if not task.by_hand(()):
        return zico.screen(task)
    return {"proxy": None, "scored": 0, "best": None, "passes": 0, "seconds_per_score": None}


def search(task: Task) -> dict[str, Any]:
    """Hand-made networks, of the size that the time is good for, in half of the places, neighbors of the first in the others.

    Where mirror images mean the same, each is there in a form that looks at both, and the first in the one that does not, too.
    Where the time is short there are two: no third one won a race, and each takes a tenth of the training. One, where networks
    may look at both: in the form that suits the time (`looks`), as the hand-made reference is trained beside it in the other.
    """
    once = task.by_hand(())
    if not once:
        return zico.search(task)
    views = max(task.space.get(VIEWS, (1,)))
    seconds = task.training.seconds if task.training is not None else None
    count = places(task.finalists, seconds, views, referenced=task.referenced)
    by_hand = (task.by_hand((), views) if views > 1 else ()) or once
    single = once[:1] if views > 1 else ()
    likeliest = [*by_hand[:1], *single]
    if single and looks(passes_of(task, single[0])) == 1:
        likeliest.reverse()
    first = list(dict.fromkeys([*likeliest, *by_hand[1:]]))[: -(-count // 2)]
    near = task.beside(2 * count, views)
    others = [arch for arch in near if arch not in first][: count - len(first)]
    listed = [
        {"key": arch.key, "options": dict(arch), "origin": origin}
        for archs, origin in ((first, "hand-made"), (others, "neighbor"))
        for arch in archs
    ]
    return {"searcher": SEARCHER, "trials": 0, "best": None, "random": None, "shortlist": listed}


def looks(passes: float) -> int:
    """How often a hand-made network looks at an image, by how often it would see each in its training.

    Seldom: there are many images, and a network of twice the width gains more from them. Often: two looks at half the width are
    level or better (benchmarks/RESULTS.md).
    """
    return 2 if passes >= _OFTEN else 1


def places(finalists: int, seconds: float | None, views: int, *, referenced: bool) -> int:
    """How many networks race, of the `finalists` there is time for. `seconds`: what the winner trains; None where steps count.

    `views`: the most there may be; `referenced`: a hand-made network that looks once is trained beside the race.
    """
    if seconds is None or seconds >= _LONG_S:
        return finalists
    return min(finalists, 1 if views > 1 and referenced else _FEW)
