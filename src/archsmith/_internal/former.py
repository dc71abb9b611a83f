"""Names that earlier versions gave to what they stored, read as those of today: the one rule for
it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

NAMES = {"val_accuracy": "val_measure"}  # it was R2 and other measures, too
_OF_USERS = ("options", "recipe")  # a space's decisions, say, have any names
# the stage finish, what it decides of networks, and the network that a run begins with
_HOLDS = re.compile(
    r"finish|finish/original|begun-with|(search|reference|further|refit)/(rung\d+|alone|served)/.+"
)


def current(stored: Any) -> Any:
    """Values of JSON with the names of today, at every depth but in what users name.

    >>> current([{"val_accuracy": 0.5, "options": {"val_accuracy": 3}}])
    [{'val_measure': 0.5, 'options': {'val_accuracy': 3}}]
    """
    if isinstance(stored, Mapping):
        return {
            name if (now := NAMES.get(name, name)) in stored else now: entry
            if name in _OF_USERS
            else current(entry)
            for name, entry in stored.items()
        }
    return [current(entry) for entry in stored] if isinstance(stored, list) else stored


def payload(name: str, text: str) -> str:
    """What a run stored under the name of a stage or of a decision, with the names of today; as it
    is where it has no former ones, is of a method's own, or is no JSON."""
    if not _HOLDS.fullmatch(name) or not any(f'"{former}"' in text for former in NAMES):
        return text
    try:
        return json.dumps(current(json.loads(text)))
    except (ValueError, RecursionError):
        return text
