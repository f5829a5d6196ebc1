from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from stgraph.checks import InputError
from stgraph.datasets.clips import LeftOut
from stgraph.training import Auxiliary, ClassificationModule, Constant, signed
from stgraph.training.module import hits


class Mean(nn.Module):
    """Answers with a linear map of the clip's mean."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.head = nn.Linear(1, classes)

    def forward(self, video: Tensor, state: Any = None) -> Any:
        return SimpleNamespace(logits=self.head(video.mean((1, 2, 3, 4))[:, None]), state=state)


def test_hits_counts_the_k_largest() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    label = torch.tensor([0, 1, 2])
    assert hits(logits, label, 1).tolist() == [1, 0, 0]
    assert hits(logits, label, 2).tolist() == [1, 1, 0]


def test_frames_are_scaled_once() -> None:
    video = torch.randint(0, 256, (2, 3, 1, 4, 4), dtype=torch.uint8)
    module = ClassificationModule(Mean())
    assert torch.equal(module(video).logits, module.model(signed(video)).logits)
    with pytest.raises(InputError, match=r"video: expected torch.uint8, got torch.float32"):
        module(signed(video))


def test_the_state_goes_in_and_comes_out() -> None:
    video = torch.zeros(1, 1, 1, 2, 2, dtype=torch.uint8)
    assert ClassificationModule(Mean())(video, "state").state == "state"


def test_predictions_are_the_most_likely_classes() -> None:
    module = ClassificationModule(Mean())
    batch = {
        "video": torch.randint(0, 256, (4, 3, 1, 4, 4), dtype=torch.uint8),
        "label": torch.tensor([0, 1, 2, 0]),
        "index": torch.arange(4),
    }
    answer = module.predict_step(batch, 0)
    probabilities = module(batch["video"]).logits.softmax(1)
    assert torch.equal(answer["answer"], probabilities.argmax(1))
    assert torch.equal(answer["probability"], probabilities.amax(1))


def test_only_the_models_weights_are_in_the_state_dict() -> None:
    assert set(ClassificationModule(Mean()).state_dict()) == {
        "model.head.weight",
        "model.head.bias",
    }


def test_modules_do_not_share_their_loss() -> None:
    one, other = ClassificationModule(nn.Linear(1, 1)), ClassificationModule(nn.Linear(1, 1))
    one.eval()
    assert other.loss.training


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("says", [True, False], ids=["says how many", "silent"])
@pytest.mark.parametrize(("classes", "told"), [(5, False), (6, True)])
def test_the_best_five_are_counted_where_there_are_more(
    classes: int, told: bool, says: bool
) -> None:
    model = Mean(classes)
    if says:
        model.num_classes = classes  # type: ignore[assignment]
    video = torch.randint(0, 256, (4, 2, 1, 3, 3)).byte()
    clips = [{"video": one, "label": torch.tensor(0)} for one in video]
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    (found,) = trainer.validate(ClassificationModule(model), DataLoader(clips, 2), verbose=False)
    assert ("val/top5" in found) is told
    assert set(trainer.progress_bar_metrics) == {"val/top1"}


def bare(**options: Any) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **options)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a")
@pytest.mark.parametrize(("classes", "told"), [(5, False), (6, True)])
def test_answers_tell_a_training_how_many_classes_there_are(classes: int, told: bool) -> None:
    """The first batch has none: its clips cannot be read."""
    clip = {"video": torch.zeros(2, 2, 1, 3, 3).byte(), "label": torch.tensor([0, 1])}
    trainer = bare(max_epochs=1, log_every_n_steps=1)
    loader = DataLoader([{}, clip], batch_size=None)
    trainer.fit(ClassificationModule(Mean(classes)), loader)
    assert ("train/top5" in trainer.callback_metrics) is told
    assert trainer.callback_metrics["train/top1"].isfinite()


class Stop(Callback):
    """Ends a run that has no end."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        trainer.should_stop = True


class Zero(Auxiliary):
    def forward(self, answer: Any, batch: Any) -> Tensor:
        return 0 * answer.logits.sum()


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a")
def test_a_run_without_an_end_may_have_an_auxiliary_that_is_always_asked() -> None:
    clip = {"video": torch.zeros(2, 1, 3, 3).byte(), "label": torch.tensor(0)}
    trainer = bare(max_epochs=-1, callbacks=[Stop()], log_every_n_steps=1)
    module = ClassificationModule(Mean(), schedule=Constant(), auxiliary=Zero())
    trainer.fit(module, DataLoader([clip] * 2, batch_size=2))
    assert trainer.global_step == 1


def test_a_schedule_waits_as_long_as_for_the_value_that_it_looks_at() -> None:
    module: Any = ClassificationModule(Mean(), auxiliary=Zero())
    module._trainer = SimpleNamespace(check_val_every_n_epoch=3, enable_validation=True)
    assert [module._pace(f"{stage}/loss") for stage in ("train", "val")] == [1, 3]
    assert module._pace("train/auxiliary") == 1
    module.auxiliary = None
    with pytest.raises(InputError, match="schedule: expected a monitor"):
        module._pace("train/auxiliary")


@pytest.mark.parametrize(("processes", "first", "told"), [(1, True, True), (2, True, False)])
@pytest.mark.parametrize("left", [0, 2])
def test_first_batches_that_cannot_be_read_end_a_run_of_one_process(
    processes: int, first: bool, told: bool, left: int
) -> None:
    module: Any = ClassificationModule(Mean())
    loader = SimpleNamespace(left_out=[LeftOut(7, "a.mp4", "of damage")] * left)
    module._trainer = SimpleNamespace(
        world_size=processes, sanity_checking=first, val_dataloaders=loader
    )
    if told and left:
        with pytest.raises(InputError, match=r"none; 2 left out, a\.mp4 since of damage"):
            module._compare("val")
    else:
        assert module._compare("val") == 0


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_losses_are_means_over_clips_in_batches_of_any_sizes() -> None:
    torch.manual_seed(0)
    module, video = ClassificationModule(Mean()), torch.randint(0, 256, (5, 2, 1, 3, 3)).byte()
    label = torch.tensor([0, 1, 2, 0, 1])
    clips = [{"video": one, "label": of} for one, of in zip(video, label, strict=True)]
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    expected = module.loss(module(video).logits, label).item()
    for size in (2, 4, 5):
        (found,) = trainer.validate(module, DataLoader(clips, batch_size=size), verbose=False)
        assert found["val/loss"] == pytest.approx(expected)
