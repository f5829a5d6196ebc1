"""What a user may have in a file of their own: a model, a dataset, a callback."""

import time
from pathlib import Path
from typing import NamedTuple

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.utils.data import Dataset


class Answer(NamedTuple):
    logits: Tensor


class Tiny(nn.Module):
    def __init__(self, width: int = 16, classes: int = 7, dropout: float = 0.0):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(192, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, classes),
        )

    def forward(self, video, state=None):
        return Answer(self.net(video))


def recipe(width: int = 16, dropout: float = 0.0) -> Tiny:
    return Tiny(width, dropout=dropout)


class Noise(Dataset):
    """Clips of noise with labels to memorise."""

    def __init__(self, clips: int = 40, seed: int = 0):
        random = torch.Generator().manual_seed(seed)
        self.video = torch.randint(0, 256, (clips, 3, 1, 8, 8), generator=random).byte()
        self.label = torch.randint(0, 7, (clips,), generator=random)

    def __len__(self):
        return len(self.label)

    def batch(self, indices, device=None):
        index = torch.as_tensor(indices)
        batch = {"video": self.video[index], "label": self.label[index], "index": index}
        return {name: value.to(device) for name, value in batch.items()}


class PlainNoise(Dataset):
    """The same, clip by clip."""

    def __init__(self, clips: int = 40):
        self.noise = Noise(clips)

    def __len__(self):
        return len(self.noise)

    def __getitem__(self, index):
        return {"video": self.noise.video[index], "label": self.noise.label[index]}


class Crash(Callback):
    def __init__(self, step: int):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise OSError("the machine went down")


class CrashAtBatch(Callback):
    def __init__(self, batch: int):
        self.batch = batch

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if batch_idx == self.batch:
            raise OSError("the machine went down")


class Wait(Callback):
    """Waits at a step, and says so, for somebody to end the process."""

    def __init__(self, step: int):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            Path("waiting").touch()
            time.sleep(600)


class Seen(Callback):
    """Writes down which clips each process sees."""

    def on_train_batch_start(self, trainer, module, batch, *_):
        with Path(f"seen_{trainer.global_rank}.txt").open("a") as file:
            print(trainer.current_epoch, *batch["index"].tolist(), file=file)
