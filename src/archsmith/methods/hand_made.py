"""Networks as one would make them by hand, and neighbors of the best of them: nothing is scored,
training alone decides.

What `--method auto` is where the space has such networks: with minutes to train, no score that was
tried found better ones in the family (result decider-hand-made), and scoring takes time from
training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from archsmith.elastic.views import NAME as VIEWS
from archsmith.errors import UserError
from archsmith.methods.job import Job
from archsmith.methods.listing import entry, shortlist
from archsmith.methods.protocol import NOTHING_SCORED, SharedWeights, Shares
from archsmith.methods.scored import passes_of
from archsmith.methods.zico import ZiCo
from archsmith.run.records import Screened, Searched
from archsmith.spaces import SPACES, described

SEARCHER = "by hand, and neighbors of the first"
# seconds of training from which on the race is a wide one, and the networks of one that is not
_LONG_S, _FEW = 1200.0, 2
_OFTEN = 45.0  # passes over the training images


@dataclass(frozen=True)
class HandMade:
    """Hand-made networks, of the size that the time is good for, in half of the places, neighbors
    of the first in the others.

    Where mirror images mean the same, each is there in a form that looks at both, and the first in
    the one that does not, too. Where the time is short there are two: no third one won a race, and
    each takes a tenth of the training. One, where networks may look at both: in the form that suits
    the time (`looks`), as the hand-made reference is trained beside it in the other, or as images
    are seen so seldom that a cut after a tenth of it tells nothing (result cut-of-few-passes).
    """

    shares: ClassVar[Shares] = Shares(scoring=False)  # no time for scores

    def check(self, space: str, task: str) -> None:
        """UserError for a space that has no such networks."""
        if not described(space).begins_by_hand:
            own = " or ".join(one.name for one in SPACES.values() if one.hand_made)
            raise UserError(
                f"method 'hand-made' knows no hand-made network of the space '{space}'; use "
                f"--space {own}, or another "
                "method (`archsmith methods`)"
            )

    def screen(self, job: Job) -> Screened:
        """Nothing to score; networks by ZiCo where no limit says how large a hand-made one should
        be."""
        return NOTHING_SCORED if job.space.by_hand(()) else ZiCo().screen(job)

    def search(self, job: Job, trained: SharedWeights | None = None) -> Searched:
        """The first ones, and neighbors."""
        once = job.space.by_hand(())
        if not once:
            return ZiCo().search(job)
        views = max(job.space.decisions.get(VIEWS, (1,)))
        seconds = job.clock.training.seconds if job.clock.training is not None else None
        by_hand = (job.space.by_hand((), views) if views > 1 else ()) or once
        single = once[:1] if views > 1 else ()
        likeliest = [*by_hand[:1], *single]
        seldom = bool(single) and looks(passes_of(job, single[0])) == 1
        if seldom:
            likeliest.reverse()
        alone = job.clock.referenced or seldom
        count = places(job.clock.finalists, seconds, views, alone=alone)
        # both forms, where no reference has the other one
        own = len(likeliest) if single and not alone else 1
        first = list(dict.fromkeys([*likeliest, *by_hand[1:]]))[
            : max(-(-count // 2), min(own, count))
        ]
        near = job.space.beside(2 * count, views) if count > len(first) else ()
        others = [arch for arch in near if arch not in first][: count - len(first)]
        listed = [
            *(entry(arch, "hand-made") for arch in first),
            *(entry(arch, "neighbor") for arch in others),
        ]
        return shortlist(SEARCHER, listed)


def looks(passes: float) -> int:
    """How often a hand-made network looks at an image, by how often it would see each in its
    training.

    Seldom: there are many images, and a network of twice the width gains more from them. Often: two
    looks at half the width are level or better (result look-once-or-twice).
    """
    return 2 if passes >= _OFTEN else 1


def places(finalists: int, seconds: float | None, views: int, *, alone: bool) -> int:
    """How many networks race, of the `finalists` there is time for. `seconds`: what the winner
    trains; None where steps count.

    `views`: the most there may be; `alone`: of the forms there are then, one need not race.
    """
    if seconds is None or seconds >= _LONG_S:
        return finalists
    return min(finalists, 1 if views > 1 and alone else _FEW)
