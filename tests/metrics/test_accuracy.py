"""Accuracy and its kin against scikit-learn and hand-made cases."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from archsmith.errors import EvaluationFailed
from archsmith.metrics.accuracy import evaluate, summary


class Logits(nn.Module):
    """Returns its input, and complains in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training and not self.norm.training
        return x


def test_against_scikit_learn() -> None:
    from sklearn import metrics

    generator = torch.Generator().manual_seed(0)
    logits, y = (
        torch.randn(500, 3, generator=generator),
        torch.randint(0, 3, (500,), generator=generator),
    )
    result = evaluate(Logits(), zip(logits.split(64), y.split(64), strict=True))
    predicted = logits.argmax(1)
    assert result["n"] == 500
    assert result["accuracy"] == pytest.approx(metrics.accuracy_score(y, predicted))
    assert result["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(y, predicted)
    )
    assert result["confusion"] == metrics.confusion_matrix(y, predicted).tolist()
    assert result["per_class_recall"] == pytest.approx(
        metrics.recall_score(y, predicted, average=None).tolist()
    )
    assert result["loss"] == pytest.approx(
        metrics.log_loss(y, logits.double().softmax(1).numpy()), rel=1e-5
    )


def test_modes_are_restored() -> None:
    module = Logits().train()
    module.norm.eval()
    evaluate(module, [(torch.zeros(2, 3), torch.tensor([0, 1]))])
    assert module.training and not module.norm.training
    with pytest.raises(RuntimeError):
        evaluate(module, [(torch.zeros(2, 3), torch.tensor([0, 1, 1]))])
    assert module.training and not module.norm.training


def test_a_class_that_does_not_occur_has_no_recall() -> None:
    result = summary([[3, 1, 0], [0, 0, 0], [1, 0, 1]])
    assert result["per_class_recall"] == [0.75, None, 0.5]
    assert result["balanced_accuracy"] == pytest.approx(0.625)
    assert result["accuracy"] == pytest.approx(4 / 6)


def test_outputs_that_are_not_finite_and_empty_parts_fail() -> None:
    with pytest.raises(EvaluationFailed, match="not finite"):
        evaluate(Logits(), [(torch.full((2, 3), math.nan), torch.tensor([0, 1]))])
    with pytest.raises(EvaluationFailed, match="no images"):
        evaluate(Logits(), [])
