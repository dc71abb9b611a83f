"""What Python's functions are given is named as another process finds it, or refused."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from archsmith.errors import UserError
from archsmith.stages.requests import named_loss


def focal(outputs: Any, labels: Any) -> Any:
    return outputs.sum()


def test_a_function_of_a_file_is_named_by_it() -> None:
    assert named_loss(None) is None and named_loss("mine.py:focal") == "mine.py:focal"
    assert named_loss(focal) == f"{__file__}:focal"


@pytest.mark.parametrize(
    "loss",
    [nn.CrossEntropyLoss(), lambda outputs, labels: outputs.sum(), len, 3],
    ids=["module", "lambda", "builtin", "number"],
)
def test_what_is_no_function_of_a_file_is_refused(loss: Any) -> None:
    with pytest.raises(UserError, match=r"write it into one and give \"my_losses.py:focal\""):
        named_loss(loss)
