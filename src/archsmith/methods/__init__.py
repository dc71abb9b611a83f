"""One paper, one page: each method is a module with the stages it fills in; the table by which the command line finds them."""

from __future__ import annotations

METHODS = {
    "zico": ("archsmith.methods.zico", "rank networks by ZiCo without training, search on the score (Li et al., ICLR 2023)"),
    "ensemble": (
        "archsmith.methods.ensemble",
        "rank networks by a rank sum of scores that were chosen for such spaces, search on it",
    ),
    "random": ("archsmith.methods.random", "random feasible networks, no score: the baseline every method has to beat"),
}
_CELLS = ("nasbench201", "darts", "darts-small", "transnas", "nasbench1shot1-space1", "nasbench1shot1-space2")


def auto(space: str) -> str:
    """What `--method auto` stands for: the score that ranks networks of the space best, as benchmarks/RESULTS.md has it."""
    return "ensemble" if space in _CELLS else "zico"
