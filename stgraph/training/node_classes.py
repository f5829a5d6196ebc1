"""An auxiliary loss that shows regions what there is to find."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import InputError, choice, integer, positive
from stgraph.classifiers import Answer
from stgraph.graph import presence, to_dense
from stgraph.precision import precise
from stgraph.training.auxiliary import Auxiliary

__all__ = ["NodeClasses"]


class NodeClasses(Auxiliary):
    r"""The nodes of a frame, taken together, must tell which classes are in the clip.

    .. math::
        \mathrm{BCE}\Bigl(\max_n W x_n + b,\; [k \text{ is in the clip}]\Bigr)

    on the pooled features :math:`x_n` of every frame, before any message. It names no places: to
    lower it, some region has to lie on every object. The maximum teaches one node a class and
    frame, whichever it is; where many lie on objects already, the soft maximum
    :math:`\log \frac{1}{N} \sum_n e^{z_n}` teaches all of them, and far faster
    (``docs/learning.md``). Of the papers, RSTG trains its CNN on the
    classes of single digits first; DyReG uses no such labels, and needs far longer training.

    Args:
        channels: width of the extractor's node features.
        num_classes: classes of objects, K.
        weight: factor of the loss.
        over: how nodes are taken together, ``"max"`` or ``"softmax"``.
    """

    def __init__(
        self, channels: int, num_classes: int, weight: float = 1.0, over: str = "max"
    ) -> None:
        super().__init__()
        self.over = choice("over", over, ("max", "softmax"))
        self.head = nn.Linear(integer("channels", channels), integer("num_classes", num_classes))
        self.weight = positive("weight", weight)

    def forward(self, answer: Answer, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of an answer to a clip batch with ``digit_class [B, M]``.

        Raises:
            InputError: when the model makes no graphs, or the batch does not say its classes.
        """
        if "digit_class" not in batch:
            raise InputError("batch", "`digit_class` of every digit", sorted(batch))
        if answer.graph is None:
            raise InputError("model", "one that makes graphs", "an answer without")
        logits = precise(to_dense(self.head(answer.graph.x), answer.graph))  # [B, T, N, K]
        here = presence(answer.graph)
        counts = logits.new_ones(logits.shape[:2])  # frames without nodes cannot tell
        if here is not None:
            logits = logits.masked_fill(~here[..., None], torch.finfo(logits.dtype).min)
            counts = here.any(dim=2).to(logits.dtype)
            logits = logits.masked_fill(counts[..., None, None] == 0, 0)
        best = logits.amax(dim=2) if self.over == "max" else self._soft(logits, here)  # [B, T, K]
        inside = torch.zeros_like(best[:, 0]).scatter(1, batch["digit_class"], 1.0)
        loss = F.binary_cross_entropy_with_logits(
            best, inside[:, None].expand_as(best), reduction="none"
        )
        return self.weight * (loss.mean(dim=2) * counts).sum() / counts.sum().clamp_min(1)

    def _soft(self, logits: Tensor, here: Tensor | None) -> Tensor:
        """Logarithm of the mean over the nodes of exponentials ``[B, T, K]``."""
        nodes = logits.new_full((1,), logits.size(2)) if here is None else here.sum(dim=2)
        return logits.logsumexp(dim=2) - nodes.clamp_min(1).to(logits.dtype).log()[..., None]
