"""CNN and LSTM: the baselines without graphs of RSTG's SyncMNIST experiments."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.backbones.small import ConvStack
from stgraph.causality import refuse_state
from stgraph.checks import InputError, filled_shape, integer
from stgraph.classifiers import Answer, VideoClassifier
from stgraph.padding import check_frame_mask, put_frames, take_frames
from stgraph.recurrence import Memory, Recurrent, check_cell, scan

__all__ = ["RecurrentClassifier", "conv_lstm", "mean_lstm"]


class RecurrentClassifier(VideoClassifier, Recurrent):
    """CNN → global average pool → recurrent cell → classes of its last output.

    Args:
        backbone: image module ``[F, c, H', W'] → [F, C, H, W]``.
        cell: ``torch.nn.LSTM`` or ``torch.nn.GRU`` of C inputs, of one direction.
        num_classes: K.

    Shapes:
        video ``[B, T, c, H', W']`` → :class:`~stgraph.classifiers.Answer` with logits ``[B, K]``
        and the cell's memory ``(h, c)`` or ``(h,)``, each ``[layers, B, 1, D]``. Passing it back in
        goes on with the clips: the same frames in pieces give the same answer as at once.

    Raises:
        InputError: on another cell, a video or state that does not fit, or hints.

    Examples:
        >>> import torch
        >>> net = RecurrentClassifier(nn.Conv2d(1, 8, 3), nn.GRU(8, 16), num_classes=5)
        >>> answer = net(torch.zeros(2, 4, 1, 9, 9))
        >>> tuple(answer.logits.shape), [tuple(part.shape) for part in answer.state]
        ((2, 5), [(1, 2, 1, 16)])
    """

    def __init__(self, backbone: nn.Module, cell: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.cell = check_cell("cell", cell)
        self.num_classes = integer("num_classes", num_classes)
        self.classifier = nn.Linear(self.cell.hidden_size, num_classes)

    def forward(
        self,
        video: Tensor,
        state: Memory | None = None,
        frame_mask: Tensor | None = None,
        **hints: Any,
    ) -> Answer:
        """See the class."""
        clips, frames = filled_shape("video", video, "B T C H W")[:2]
        refuse_state(self, state)
        mask = check_frame_mask(frame_mask, clips, frames)
        if hints:
            raise InputError("hints", "none, since no block would read them", sorted(hints))
        maps = self.backbone(take_frames(video, mask))  # [B·T, C, H, W]
        vectors = put_frames(F.adaptive_avg_pool2d(maps, 1).flatten(1), mask, clips)[:, :, None]
        there = None if mask is None else mask[..., None].to(video.device, non_blocking=True)
        cell = self.cell_of("cell")
        out, state = scan(cell, vectors, state, there)  # a clip is one node; [B, T, 1, D]
        return Answer(self.classifier(out[:, -1, 0]), None, None, state)


def mean_lstm(num_classes: int = 46, in_channels: int = 1, channels: int = 512) -> VideoClassifier:
    """Mean+LSTM of RSTG's SyncMNIST experiments.

    The CNN of RSTG's own model there, its mean over the map, and an LSTM.

    Args:
        num_classes: K.
        in_channels: channels of the frames.
        channels: width of CNN and LSTM, 512 in the paper.

    Examples:
        >>> sum(p.numel() for p in mean_lstm().parameters())
        6849582
    """
    cnn = ConvStack(in_channels, channels)
    return RecurrentClassifier(cnn, nn.LSTM(channels, channels), num_classes)


def conv_lstm(num_classes: int = 46, in_channels: int = 1, channels: int = 512) -> VideoClassifier:
    """Conv+LSTM of RSTG's SyncMNIST experiments.

    :func:`mean_lstm` with three more convolutions before the mean, of stride 1, with batch norm and
    ReLU between them; 3×3 and padded, which the paper leaves open.

    Args:
        num_classes: K.
        in_channels: channels of the frames.
        channels: width of CNN and LSTM, 512 in the paper.

    Examples:
        >>> sum(p.numel() for p in conv_lstm().parameters())
        13930030
    """
    parts: list[nn.Module] = [ConvStack(in_channels, channels)]
    for number in range(3):
        last = number == 2
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=last)  # a norm would undo a bias
        nn.init.kaiming_normal_(conv.weight, nonlinearity="linear" if last else "relu")
        parts.append(conv)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        if not last:
            parts += [nn.BatchNorm2d(channels), nn.ReLU()]
    return RecurrentClassifier(nn.Sequential(*parts), nn.LSTM(channels, channels), num_classes)
