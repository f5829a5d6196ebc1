"""Nodes whose kernels are dense maps that a network predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from stgraph.checks import InputError, integer, node_count, positive, shape
from stgraph.edges import EdgeBuilder
from stgraph.kernels import moment_box
from stgraph.nodes.base import NodeExtractor, Regions
from stgraph.precision import precise

__all__ = ["HourGlass", "SemanticNodes", "spatial_softmax"]


def spatial_softmax(logits: Tensor) -> Tensor:
    r"""Softmax over positions, :math:`K_n(p) = e^{l_n(p)} / \sum_q e^{l_n(q)}`.

    Args:
        logits: maps ``[..., H, W]``.

    Returns:
        Weights ``[..., H, W]`` that sum to 1.
    """
    return logits.flatten(-2).softmax(dim=-1).view_as(logits)


class HourGlass(nn.Module):
    r"""An hour-glass of convolutions that gives the map its size back (older official DyReG code).

    1×1 convolution C → 32; a: 3×3, 32 → 32, stride 2; b: 3×3, 32 → 16; transposed 3×3, 16 → 32,
    plus the output of a; transposed 3×3, 32 → 32, stride 2, plus the projection. Every convolution
    is followed by ReLU and a normalisation over (channels, rows, columns). Maps may have any size.

    Args:
        channels: C, channels of the maps.
        eps: ε of its norms.

    Shapes:
        ``[F, C, H, W]`` → ``[F, 32, H, W]``.

    Examples:
        >>> sum(p.numel() for p in HourGlass(32).parameters())
        29104
    """

    out_channels = 32

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels = integer("channels", channels)
        self.project = nn.Conv2d(channels, 32, 1)
        self.a = nn.Conv2d(32, 32, 3, 2, 1)
        self.b = nn.Conv2d(32, 16, 3, 1, 1)
        self.up_b = nn.ConvTranspose2d(16, 32, 3, 1, 1)
        self.up_a = nn.ConvTranspose2d(32, 32, 3, 2, 1)
        self.norm_project = nn.GroupNorm(1, 32, positive("eps", eps))
        self.norm_a = nn.GroupNorm(1, 32, eps)
        self.norm_b = nn.GroupNorm(1, 16, eps)
        self.norm_up_b = nn.GroupNorm(1, 32, eps)
        self.norm_up_a = nn.GroupNorm(1, 32, eps)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        height, width = x.shape[-2:]
        x = self.norm_project(self.project(x).relu())  # [F, 32, H, W]
        # A second column of zeros changes nothing, and PyTorch 2.13 leaves weights' gradients unset
        # when it strides over a single one in bfloat16 on a CPU.
        wide = F.pad(x, (0, 1)) if width == 1 else x
        a = self.norm_a(self.a(wide).relu())  # [F, 32, ⌈H/2⌉, ⌈W/2⌉]
        b = self.norm_b(self.b(a).relu())
        up = self.norm_up_b(self.up_b(b).relu()) + a
        whole: Tensor = self.up_a(up, output_size=(height, wide.size(-1)))
        return self.norm_up_a(whole[..., :width].relu()) + x  # type: ignore[no-any-return]


class SemanticNodes(NodeExtractor):
    r"""Nodes are dense maps predicted from the input, for regions of any shape (DyReG, "Semantic").

    .. math:: K_n(p) = φ(W f(x)(p) + b)_n

    with f an hour-glass that keeps the map's size and a 1×1 convolution to N maps. A kernel has to
    be ≥ 0: φ is the softplus by default, which is never empty; with :func:`spatial_softmax` it is
    a softmax over positions. A node's box is the even rectangle with its kernel's mean and
    variance, see :func:`~stgraph.kernels.moment_box`.

    Args:
        channels: C, channels of the feature maps.
        num_nodes: N, maps.
        edges: edge builder.
        body: f, module ``[F, C, H, W] → [F, D, H, W]`` with ``out_channels`` D;
            :class:`HourGlass` by default.
        positive: φ, function ``[F, N, H, W] → [F, N, H, W]`` with values ≥ 0.

    Shapes:
        features ``[B, T, C, H, W]`` → ``Batch`` of B·T graphs of N nodes.

    Examples:
        >>> nodes = SemanticNodes(channels=32)
        >>> sum(p.numel() for p in nodes.maps.parameters())
        297
    """

    def __init__(
        self,
        channels: int,
        num_nodes: int = 9,
        edges: EdgeBuilder | None = None,
        body: nn.Module | None = None,
        positive: Callable[[Tensor], Tensor] = F.softplus,
    ) -> None:
        super().__init__(channels, edges)
        self.num_nodes = node_count("num_nodes", num_nodes)
        self.body = HourGlass(channels) if body is None else body
        if not isinstance(width := getattr(self.body, "out_channels", None), int):
            raise InputError("body", "a module with `out_channels`", type(body).__name__)
        self.maps = nn.Conv2d(width, num_nodes, 1)
        self.positive = positive

    def regions(self, features: Tensor, state: Any = None) -> tuple[Regions, Any]:
        """The maps of every frame by itself; there is no state."""
        clips, frames, _, height, width = features.shape
        logits = self.maps(self.body(features.flatten(0, 1)))
        shape("body", logits, clips * frames, self.num_nodes, height, width)
        kernel = self.positive(precise(logits))  # [B·T, N, H, W]
        kernel = kernel.view(clips, frames, self.num_nodes, height, width)
        return Regions(kernel, moment_box(kernel)), None

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        positive = getattr(self.positive, "__name__", repr(self.positive))
        return f"{self.channels}, num_nodes={self.num_nodes}, positive={positive}"
