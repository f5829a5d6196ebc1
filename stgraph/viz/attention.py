"""Who listens to whom: the attention of one frame's graph, as a picture, a matrix, a DiGraph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import coalesce, to_networkx

from stgraph.checks import InputError, shape
from stgraph.viz.clips import check_nodes, video_frames
from stgraph.viz.colours import identity_colour, identity_hex
from stgraph.viz.figures import INK, PAPER, frame_axes, new_figure, plain

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["attention_graph", "attention_matrix", "attention_networkx", "weight_matrix"]

_FAINT = 0.03  # edges weaker than this part of the strongest are left out of the picture
_MOST_ARROWS = 400  # of one picture; a page would be megabytes otherwise
_APART = 0.085  # least distance of two nodes in the picture, in 0..1


def attention_graph(frame: Tensor, data: Data, alpha: Tensor) -> Figure:
    """Draw the graph of one frame over it, an arrow a directed edge from sender to receiver.

    Width and opacity of an arrow grow with its weight, relative to the strongest; its colour is
    its sender's. Self-loops are rings. Nodes that would hide each other are moved apart, with a
    fine line to where they belong. Edges below 3 % of the strongest are left out, and of very many
    the weaker ones than the strongest 400 (the matrix has them all).

    Args:
        frame: picture ``[1|3, H, W]`` uint8.
        data: the graph of that frame, ``batch[i]``.
        alpha: weight of every edge ``[E]``, at least 0.

    Returns:
        A figure with one axes.

    Raises:
        InputError: when the sizes do not fit together or a weight is negative.
    """
    shape("frame", frame, "C H W")
    picture = video_frames(frame[None])[0]  # [H, W, 3]
    data, alpha = _checked(data, alpha)
    height, width = picture.shape[:2]
    figure, (axes,) = new_figure(4.6, 4.6 * min(max(height / width, 0.4), 2.0))
    frame_axes(axes, picture.numpy(), dim=0.5, margin=0.07)
    size = torch.tensor([width, height], dtype=torch.float32)
    home = data.pos.float().clamp(0, 1) * size
    place = _apart(home, _APART * max(height, width))
    _draw_edges(axes, place, data, alpha)
    _draw_nodes(axes, place, home, data.node_id.tolist())
    return figure


def attention_matrix(data: Data, alpha: Tensor) -> Figure:
    """Draw the weights as a heat map, senders × receivers; where no edge is, nothing is.

    Args:
        data: the graph of one frame, ``batch[i]``.
        alpha: weight of every edge ``[E]``, at least 0.

    Returns:
        A figure with one axes and a colour bar.

    Raises:
        InputError: when the sizes do not fit together or a weight is negative.
    """
    matrix = weight_matrix(data, alpha)  # [n, n], nan where no edge is
    names = data.node_id.tolist()
    figure, (axes,) = new_figure(4.8, 4.3)
    plain(axes, "", "receiver", "sender")
    axes.grid(False)
    top = float(matrix.nan_to_num(0).max()) if len(names) else 1.0
    shown = axes.imshow(matrix.numpy(), cmap="magma", vmin=0, vmax=top or 1.0)
    for ticks, labels in (
        (axes.set_xticks, axes.get_xticklabels),
        (axes.set_yticks, axes.get_yticklabels),
    ):
        ticks(range(len(names)), [str(name) for name in names])
        for label, name in zip(labels(), names, strict=True):
            label.set_bbox({"boxstyle": "round,pad=.25", "fc": identity_hex(name), "ec": "none"})
            label.set_color(_on(name))
            label.set_fontsize(7.5)
    axes.tick_params(length=0, pad=6)
    if len(names) <= 12:
        for row, values in enumerate(matrix.tolist()):
            for column, value in enumerate(values):
                if value == value:  # not nan
                    colour = "black" if value > 0.6 * top else "white"
                    text = f"{value:.2f}".removeprefix("0")
                    axes.text(
                        column, row, text, ha="center", va="center", fontsize=6.5, color=colour
                    )
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, aspect=28, pad=0.02)
    bar.ax.tick_params(labelsize=8, colors=INK, length=2)
    bar.outline.set_visible(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def attention_networkx(data: Data, alpha: Tensor) -> nx.DiGraph[int]:
    """Export one frame's graph with its weights to networkx.

    Args:
        data: the graph of one frame, ``batch[i]``.
        alpha: weight of every edge ``[E]``; those of parallel edges are added.

    Returns:
        A ``DiGraph`` over rows 0..n−1 with node attributes ``pos``, ``box``, ``node_id`` and edge
        attribute ``weight``; self-loops stay.

    Raises:
        InputError: when the sizes do not fit together or a weight is negative.
    """
    data, alpha = _checked(data, alpha)
    edge_index, weight = coalesce(data.edge_index, alpha, num_nodes=data.num_nodes)
    bare = Data(
        edge_index=edge_index,
        weight=weight,
        pos=data.pos,
        box=data.box,
        node_id=data.node_id,
        num_nodes=data.num_nodes,
    )
    graph: nx.DiGraph[int] = to_networkx(
        bare, node_attrs=["pos", "box", "node_id"], edge_attrs=["weight"]
    )
    return graph


def weight_matrix(data: Data, alpha: Tensor) -> Tensor:
    """Weights as a matrix ``[n, n]``, sender × receiver, nan where no edge is.

    Raises:
        InputError: when the sizes do not fit together or a weight is negative.
    """
    data, alpha = _checked(data, alpha)
    matrix = torch.full((data.node_id.numel(),) * 2, torch.nan)
    sender, receiver = data.edge_index
    matrix[sender, receiver] = 0
    return matrix.index_put_((sender, receiver), alpha, accumulate=True)


def _checked(data: Data, alpha: Tensor) -> tuple[Data, Tensor]:
    if not isinstance(data, Data) or not isinstance(data.edge_index, Tensor):
        raise InputError("data", "a graph with edge_index, batch[i]", data)
    check_nodes("data", data)
    shape("alpha", alpha, str(shape("data.edge_index", data.edge_index, "2 E")[1]))
    if not alpha.isfinite().all() or (alpha < 0).any():
        raise InputError("alpha", "finite weights of at least 0", alpha)
    return data.clone().detach().cpu(), alpha.detach().cpu().float()


def _on(node_id: int) -> str:
    """Black or white, whichever is readable on the colour of an identity."""
    red, green, blue = identity_colour(node_id)
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 115 else "white"


def _apart(home: Tensor, distance: float) -> Tensor:
    """Move points ``[n, 2]`` until any two are ``distance`` apart, or nearly so."""
    place = home.clone()
    angle = torch.arange(len(home)) * 2.399963  # the golden angle: no two leave in one direction
    place += 1e-3 * distance * torch.stack([angle.cos(), angle.sin()], 1)
    for _ in range(60):
        gap = place[:, None] - place[None]  # [n, n, 2]
        length = gap.norm(dim=2, keepdim=True).clamp(min=1e-9)
        push = (distance - length).clamp(min=0) / 2 * gap / length
        place = place + push.sum(1) * 0.5
    return place


def _draw_edges(axes: Axes, place: Tensor, data: Data, alpha: Tensor) -> None:
    from matplotlib.patches import Arc, FancyArrowPatch

    strongest = float(alpha.max()) if alpha.numel() else 0.0
    radius = 0.42 * _APART * float(max(map(abs, (*axes.get_xlim(), *axes.get_ylim()))))
    middle = place.mean(0)
    for edge in alpha.argsort()[-_MOST_ARROWS:].tolist():  # strong edges on top
        strength = float(alpha[edge]) / strongest if strongest else 0.0
        if strength < _FAINT:
            continue
        sender, receiver = data.edge_index[:, edge].tolist()
        style: dict[str, Any] = {
            "color": identity_hex(int(data.node_id[sender])),
            "alpha": 0.12 + 0.83 * strength,
            "linewidth": 0.4 + 3.2 * strength,
        }
        if sender == receiver:
            out = place[sender] - middle
            out = (
                out / out.norm().clamp(min=1e-6) if out.norm() > 1e-6 else torch.tensor([0.0, -1.0])
            )
            x, y = (place[sender] + out * radius * 1.35).tolist()
            axes.add_patch(Arc((x, y), 2.2 * radius, 2.2 * radius, zorder=2, **style))
            continue
        axes.add_patch(
            FancyArrowPatch(
                (float(place[sender, 0]), float(place[sender, 1])),
                (float(place[receiver, 0]), float(place[receiver, 1])),
                connectionstyle="arc3,rad=0.16",
                arrowstyle="-|>,head_length=.35,head_width=.18",
                mutation_scale=5 + 12 * strength,
                shrinkA=8,
                shrinkB=9,
                capstyle="butt",
                joinstyle="miter",
                zorder=1 + strength,
                **style,
            )
        )


def _draw_nodes(axes: Axes, place: Tensor, home: Tensor, names: list[int]) -> None:
    for (x, y), (home_x, home_y), name in zip(place.tolist(), home.tolist(), names, strict=True):
        colour = identity_hex(name)
        axes.plot([home_x, x], [home_y, y], color=colour, linewidth=0.7, alpha=0.7, zorder=3)
        axes.plot(x, y, "o", color=colour, markersize=15, markeredgecolor=PAPER, zorder=4)
        axes.text(
            x,
            y,
            str(name),
            ha="center",
            va="center_baseline",
            fontsize=8,
            zorder=5,
            color=_on(name),
        )
