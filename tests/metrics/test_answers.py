from __future__ import annotations

import pytest
import torch
from scipy.optimize import brentq

from stgraph.checks import InputError
from stgraph.metrics import accuracy, average_views, confusion, hits, per_class, wilson


def test_accuracies_are_those_of_sorted_lists() -> None:
    logits, label = torch.randn(50, 7), torch.randint(0, 7, (50,))
    ranks = [
        sorted(range(7), key=lambda k, row=row: -float(row[k])).index(int(right))
        for row, right in zip(logits, label, strict=True)
    ]
    for k in range(1, 8):
        expected = [float(rank < k) for rank in ranks]
        assert hits(logits, label, k).tolist() == expected
        assert accuracy(logits, label, k).value == pytest.approx(sum(expected) / 50)
    assert accuracy(logits, label, 7).value == 1


def test_confusion_counts_pairs() -> None:
    logits, label = torch.randn(60, 4), torch.randint(0, 3, (60,))  # none of the last class
    pairs = list(zip(label.tolist(), logits.argmax(1).tolist(), strict=True))
    counts = confusion(logits, label)
    assert counts.tolist() == [[pairs.count((row, col)) for col in range(4)] for row in range(4)]
    right = [[a == b for a, b in pairs if a == k] for k in range(4)]
    expected = [sum(one) / len(one) if one else None for one in right]
    assert per_class(counts).values == expected
    assert expected[3] is None
    assert accuracy(logits, label).value == pytest.approx(float(counts.trace()) / 60)


def test_views_are_averaged_before_answers_are_ranked() -> None:
    logits, label = torch.randn(20, 6, 5), torch.randint(0, 5, (20,))
    mean = torch.stack([sum(views) / 6 for views in logits])  # type: ignore[arg-type]
    torch.testing.assert_close(average_views(logits), mean)
    assert accuracy(logits, label, 2).value == accuracy(mean, label, 2).value
    assert torch.equal(confusion(logits, label), confusion(mean, label))
    assert average_views(mean) is mean


@pytest.mark.parametrize(("right", "count"), [(0, 10), (3, 10), (10, 10), (812, 1000)])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_wilsons_interval_ends_where_the_test_of_a_share_does(
    right: int, count: int, confidence: float
) -> None:
    """|k/n − p| = z √(p(1 − p)/n) at both ends."""
    z = {0.5: 0.6744897501960817, 0.95: 1.959963984540054}[confidence]
    share = right / count

    def excess(p: float) -> float:
        return (share - p) ** 2 - z * z * p * (1 - p) / count

    low, high = wilson(right, count, confidence)
    assert low == pytest.approx(brentq(excess, 0, share - 1e-6) if right else 0, abs=1e-9)
    assert high == pytest.approx(brentq(excess, share + 1e-6, 1) if right < count else 1, abs=1e-9)


def test_of_no_clip_nothing_is_known() -> None:
    assert wilson(0, 0) == (0, 1)
    none = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    assert accuracy(*none).value is None
    assert confusion(*none).tolist() == [[0] * 3] * 3


@pytest.mark.parametrize(
    ("logits", "label", "name"),
    [
        (torch.zeros(3), torch.zeros(3).long(), "logits"),
        (torch.zeros(3, 0, 4), torch.zeros(3).long(), "views"),
        (torch.zeros(3, 4), torch.zeros(2).long(), "label"),
        (torch.zeros(3, 4), torch.zeros(3), "label"),
        (torch.zeros(3, 4), torch.tensor([0, 1, 4]), "label"),
        (torch.zeros(3, 4), torch.tensor([0, -1, 3]), "label"),
    ],
)
def test_bad_answers(logits: torch.Tensor, label: torch.Tensor, name: str) -> None:
    for function in (accuracy, confusion):
        with pytest.raises(InputError) as error:
            function(logits, label)
        assert error.value.name == name


@pytest.mark.parametrize("wrong", [-1, 4])
def test_labels_of_no_class_are_told(wrong: int) -> None:
    told = f"label: expected 0 to 3, the classes of the logits, got {wrong}"
    with pytest.raises(InputError, match=told):
        accuracy(torch.zeros(3, 4), torch.tensor([0, wrong, 3]))


def test_bad_numbers() -> None:
    with pytest.raises(InputError, match="k: expected a whole number of at most 4"):
        accuracy(torch.zeros(1, 4), torch.tensor([0]), 5)
    for right, count in ((2, 1), (-1, 3), (0.5, 1)):
        with pytest.raises(InputError, match="right"):
            wilson(right, count)  # type: ignore[arg-type]
    for confidence in (0, 1, True):
        with pytest.raises(InputError, match="confidence"):
            wilson(1, 2, confidence)
    with pytest.raises(InputError, match="counts"):
        per_class(torch.zeros(2, 3))
