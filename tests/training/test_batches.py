from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from stgraph.checks import InputError
from stgraph.datasets.clips import LeftOut
from stgraph.training import ClassificationModule, raw
from stgraph.training.batches import (
    check_classes,
    mean_of_processes,
    mean_of_views,
    no_clips,
    one_view_each,
    readable,
    sums_of_processes,
)


class Answer(NamedTuple):
    logits: Tensor


class Linear(nn.Module):
    """Logits of the mean of a clip, and of the boxes that it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5))

    def forward(self, video: Tensor, state: Any = None, boxes: Tensor | None = None) -> Answer:
        told = 0 if boxes is None else boxes.flatten(1).sum(1)
        return Answer((video.flatten(1).mean(1) + told)[:, None] * self.weight)


def batch(views: int) -> dict[str, Tensor]:
    return {
        "video": torch.randint(0, 256, (2, views, 3, 1, 4, 4)).byte(),
        "box": torch.rand(2, views, 3, 1, 4),
        "label": torch.tensor([1, 3]),
        "index": torch.tensor([7, 8]),
    }


def test_logits_are_averaged_over_views_with_the_hints_of_each() -> None:
    model, several = Linear(), batch(6)
    model.weight.data /= 100  # so that no probability is 1
    module = ClassificationModule(model, scale=raw, hints={"boxes": "box"})
    each = [
        model(raw(several["video"][:, view]), None, several["box"][:, view]).logits
        for view in range(6)
    ]
    expected = torch.stack(each).mean(0)
    torch.testing.assert_close(mean_of_views(module.answer(several).logits, 6), expected)
    predicted = module.predict_step(several, 0)
    assert predicted["index"].tolist() == [7, 8]
    probability, answer = expected.softmax(-1).max(-1)
    assert torch.equal(predicted["answer"], answer)
    torch.testing.assert_close(predicted["probability"], probability)
    assert not torch.allclose(torch.stack(each).softmax(-1).mean(0).amax(-1), probability)
    module.log = lambda *_, **__: None  # type: ignore[assignment]
    given: list[tuple[Any, ...]] = []
    measure = SimpleNamespace(update=lambda *told: given.append(told))
    module._measures = lambda stage: [measure]  # type: ignore[assignment,list-item]
    loss = module._step(several, "test")
    torch.testing.assert_close(loss, nn.functional.cross_entropy(expected, several["label"]))
    ((logits, answered, seen),) = given
    torch.testing.assert_close(logits, expected)
    assert len(answered.logits) == 12
    assert torch.equal(seen["video"], several["video"].flatten(0, 1))  # as it was loaded
    assert torch.equal(seen["box"], several["box"].flatten(0, 1))
    assert torch.equal(seen["label"], several["label"])


def test_one_view_is_left_as_it_is() -> None:
    one = {name: value[:, 0] for name, value in batch(1).items() if value.dim() > 1}
    flat, views = one_view_each(one)
    assert views == 1
    assert all(flat[name] is value for name, value in one.items())
    flat, views = one_view_each({**batch(3), "names": ["a", "b"]})
    assert views == 3
    assert flat["names"] == ["a", "a", "a", "b", "b", "b"]
    assert flat["index"].tolist() == [7, 7, 7, 8, 8, 8]
    with pytest.raises(InputError, match=r"box: expected \[2, 3, …\], as the video"):
        one_view_each({**batch(3), "box": torch.zeros(2, 4)})


def test_a_batch_without_clips_has_a_loss_of_zero_and_gradients_of_zero() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].bias.requires_grad_(False)
    loss = no_clips(model)
    loss.backward()
    assert float(loss.detach()) == 0
    assert model[0].bias.grad is None
    assert all(not p.grad.any() for p in model.parameters() if p.requires_grad)


def data(**labels: list[str]) -> Any:
    stages = {name: SimpleNamespace(label_names=names) for name, names in labels.items()}
    return SimpleNamespace(**{"train": None, "val": None, "test": None, **stages})


def test_a_model_has_as_many_classes_as_the_data() -> None:
    model: Any = SimpleNamespace(num_classes=2)
    check_classes(data(train=["a", "b"], val=["a", "b"]), model, "fit")
    check_classes(data(train=["a"], test=["a", "b"]), model, "test")
    check_classes(None, model, "fit")
    check_classes(data(), nn.Linear(1, 1), "fit")
    with pytest.raises(InputError, match="num_classes: expected 3, as many as the labels of data"):
        check_classes(data(train=["a", "b", "c"]), model, "fit")
    with pytest.raises(InputError, match=r"data.val: expected .* data.train.* \['c'\] more"):
        check_classes(data(train=["a", "b"], val=["a", "c"]), model, "fit")
    with pytest.raises(InputError, match="in their order"):
        check_classes(data(train=["a", "b"], val=["b", "a"]), model, "fit")


def test_the_labels_of_a_test_are_those_to_train_on() -> None:
    model: Any = SimpleNamespace(num_classes=2)
    for stage in ("test", "predict"):
        check_classes(data(train=["a", "c"], **{stage: []}), model, stage)
        check_classes(data(train=["a", "b", "c"], **{stage: ["a", "b"]}), model, stage)
        check_classes(data(train=["a", "c"], **{stage: ["a", "c"]}), model, stage)
        with pytest.raises(InputError, match=rf"data.{stage}: expected the labels of data.train"):
            check_classes(data(train=["a", "c"], **{stage: ["c", "d"]}), model, stage)
    with pytest.raises(InputError, match=r"data.val: expected the labels of data.train"):
        check_classes(data(train=["a", "c"], val=["c", "d"]), model, "validate")


def test_a_long_list_of_other_labels_is_cut() -> None:
    model, names = nn.Linear(1, 1), "abcdefghijk"
    told = r"got \['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'\] more, \[\] fewer"
    with pytest.raises(InputError, match=told):
        check_classes(data(train=["a"], val=list(names)), model, "fit")


def test_the_first_clip_that_cannot_be_read_is_named() -> None:
    left = [LeftOut(3, "a.mp4", "of damage"), LeftOut(5, "b.mp4", "it is gone")]
    readable("val", 1.0, left, 2.0)
    with pytest.raises(InputError) as caught:
        readable("val", 0.0, left, 2.0)
    assert str(caught.value).endswith("got none; 2 left out, a.mp4 since of damage")
    with pytest.raises(InputError, match=r"got none; 2 left out$"):  # by other processes
        readable("val", 0.0, [], 2.0)


@pytest.fixture
def alone() -> Iterator[None]:
    """A group of processes, of which this is the only one."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_processes_share_means_and_sums() -> None:
    for clips in (1, 2, 5):
        assert mean_of_processes(torch.tensor(3.0), clips).item() == 3
    assert mean_of_processes(torch.tensor(3.0), 0).item() == 0
    assert sums_of_processes(2, 0.5, True) == [2, 0.5, 1]
    with pytest.raises(InputError, match="batch: expected a clip that can be read, for norms"):
        no_clips(nn.SyncBatchNorm(2))
    assert no_clips(nn.BatchNorm1d(2)).item() == 0


def test_norms_of_all_processes_wait_for_none_where_there_is_one() -> None:
    assert no_clips(nn.SyncBatchNorm(2)).item() == 0
