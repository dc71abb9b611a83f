"""From a folder, a file or a name to batches."""

from archsmith.data.augment import Augment, suggest
from archsmith.data.dataset import Data, Seen, Sizing, load
from archsmith.data.parts import Part, Resident, Streamed, batches, chosen, ordered, together
from archsmith.data.split import Split

__all__ = [
    "Augment",
    "Data",
    "Part",
    "Resident",
    "Seen",
    "Sizing",
    "Split",
    "Streamed",
    "batches",
    "chosen",
    "load",
    "ordered",
    "suggest",
    "together",
]
