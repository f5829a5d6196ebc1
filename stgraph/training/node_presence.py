"""An auxiliary loss for nodes that stand for classes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import InputError, integer, positive, shape
from stgraph.classifiers import Answer
from stgraph.graph import frame_mask, presence, to_dense
from stgraph.precision import precise
from stgraph.training.auxiliary import Auxiliary

__all__ = ["NodePresence"]


class NodePresence(Auxiliary):
    r"""Every node must tell by its mass whether its class is in the clip.

    .. math:: \mathrm{BCE}\bigl(\log m_n + b_n,\; [n \text{ is in the clip}]\bigr)

    over all frames, for nodes that stand for classes, see :class:`~stgraph.nodes.ClassNodes`. The
    gradient of :math:`\log m_n` by a score of a map is the node's kernel there: what looks most
    like a class is made to look more like it, where the class is there, and less where it is not.
    So places are learnt from names.

    Args:
        num_classes: classes, as many as there are nodes.
        weight: factor of the loss.
    """

    def __init__(self, num_classes: int, weight: float = 1.0) -> None:
        super().__init__()
        # A map of some hundred cells of score 0 says that its class is hardly there.
        self.bias = nn.Parameter(torch.full((integer("num_classes", num_classes),), -6.0))
        self.weight = positive("weight", weight)

    def forward(self, answer: Answer, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of an answer to a clip batch with ``digit_class [B, M]``.

        Raises:
            InputError: when the model makes no graphs, or such of another number of nodes or with
                absent ones, or the batch does not say its classes, of each clip.
        """
        if "digit_class" not in batch:
            raise InputError("batch", "`digit_class` of every digit", sorted(batch))
        if answer.graph is None:
            raise InputError("model", "one that makes graphs", "an answer without")
        logits = precise(to_dense(answer.graph.mass, answer.graph)).log()  # [B, T, N]
        count, there = logits.size(2), frame_mask(answer.graph)
        here = presence(answer.graph)
        everywhere = here is None or _are_all(here, there)
        if count != len(self.bias) or not everywhere:
            expected = f"one with all of {len(self.bias)} nodes, a class each, in every frame"
            raise InputError("model", expected, f"{count}" if everywhere else "absent nodes")
        if there is not None:
            logits = logits.masked_fill(~there[..., None], 0)
        classes = batch["digit_class"]
        shape("digit_class", classes, len(logits), "M")
        if classes.device.type == "cpu" and classes.numel():
            least, most = map(int, classes.aminmax())
            if least < 0 or most >= count:
                raise InputError("digit_class", f"classes 0 to {count - 1}", f"{least} to {most}")
        inside = torch.zeros_like(logits[:, 0]).scatter(1, classes, 1.0)
        loss = F.binary_cross_entropy_with_logits(
            logits + self.bias, inside[:, None].expand_as(logits), reduction="none"
        ).mean(dim=2)
        if there is None:
            return self.weight * loss.mean()
        return self.weight * (loss * there).sum() / there.sum()


def _are_all(here: Tensor, there: Tensor | None) -> bool:
    """Whether every node is in every frame that exists, of ``[B, T, N]`` and ``[B, T]``."""
    return bool(here.all() if there is None else here[there].all())
