"""Whether what a finished run left is still there: what of best/ is not is set aside, and shipped
again."""

from __future__ import annotations

import os
from pathlib import Path

from archsmith._internal.files import sync_folder
from archsmith._internal.progress import Watch
from archsmith.errors import UserError
from archsmith.run import trust
from archsmith.run.store import Run, lost


def complete(run: Run) -> bool:
    """Whether nothing is left to do: every stage is done, best/ is as it was shipped, and no trial
    was changed."""
    if run.record["status"] != "done" or (shipped := run.shipped) is None:
        return False
    len(run.archive)  # Damaged where they are not those that were written
    return next(lost(run.folder, shipped), None) is None


def reopened(run: Run, watch: Watch) -> None:
    """Ships again where best/ is no more what was shipped."""
    path = next(lost(run.folder, run.shipped), None)
    if path is None:
        return
    why = f"{path} is {'missing' if not path.exists() else 'not the file that was shipped'}"
    run.event("ship again", why=why)
    aside = _set_aside(run)
    kept = f", what was there is kept in {aside}" if aside is not None else ""
    watch.note(f"{why}; it is shipped again{kept}")
    run.reopen("ship")


def _set_aside(run: Run) -> Path | None:
    """Moves what lies in best/ and is not as it was shipped to a folder beside it: somebody may
    have written it."""
    best, shipped = run.folder / "best", run.shipped
    known = {} if shipped is None else {file.name: file.sha256 for file in shipped.files}
    if best.is_dir():
        there = [path for path in sorted(best.iterdir()) if path.name != "__pycache__"]
    else:
        there = [best] if best.exists() else []
    others = [
        path
        for path in there
        if path.is_dir() or trust.content_hash(path) != known.get(path.name, "")
    ]
    if not others:
        return None
    names = ("best.kept", *(f"best.kept{number}" for number in range(2, 10_000)))
    aside = next(run.folder / name for name in names if not (run.folder / name).exists())
    try:
        aside.mkdir()
        for path in others:
            os.replace(path, aside / path.name)
        sync_folder(aside)
    except OSError as error:
        raise UserError(
            f"cannot move {best} to {aside}: {error.strerror or error}; check its permissions"
        ) from error
    return aside
