"""Other people's modules as space layers."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from inspect import Parameter, signature
from typing import Any

from torch import Tensor, nn
from torch_geometric.data import Batch

from stgraph.checks import InputError, integer
from stgraph.graph import frame_of, layout_of

__all__ = ["GraphConv", "PerNode"]

Arguments = Mapping[str, Parameter]


def _arguments(module: nn.Module) -> Arguments:
    """What a module can be told by name; behind ``**``, what the convolutions inside it can."""
    known = signature(module.forward).parameters
    named = {
        name: argument
        for name, argument in known.items()
        if argument.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    }
    if not _is_open(module):
        return named
    handed_on = [_arguments(inner) for inner in _inside(module)]
    return {name: argument for each in handed_on for name, argument in each.items()} | named


def _is_open(module: nn.Module) -> bool:
    """Whether a module takes arguments that it does not name."""
    known = signature(module.forward).parameters.values()
    return any(argument.kind is Parameter.VAR_KEYWORD for argument in known)


def _inside(module: nn.Module) -> Iterator[nn.Module]:
    """The nearest convolutions among the parts of a module."""
    for part in module.children():
        if "edge_index" in signature(part.forward).parameters:
            yield part
        else:
            yield from _inside(part)


def _frames(known: Container[str], graph: Batch) -> dict[str, Any]:
    """Which frame every row is of, for modules that ask: so no frame sees another one."""
    told = {"batch": frame_of(graph), "batch_size": layout_of(graph).graphs}
    return {name: value for name, value in told.items() if name in known}


class PerNode(nn.Module):
    """Applies a module to every node: ``module(x [V, C])``, for example a norm or an MLP.

    A module whose forward takes ``batch``, such as PyG's norms, is told the frame of every node.

    Args:
        module: the module.
        out_channels: width that it makes, if it changes the width.
    """

    def __init__(self, module: nn.Module, out_channels: int | None = None) -> None:
        super().__init__()
        self.module = module
        if out_channels is not None:
            self.out_channels = integer("out_channels", out_channels)

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """Apply the module to ``x [V, C]``; of the graph only the frames are read."""
        known = signature(self.module.forward).parameters
        return self.module(x, **_frames(known, graph))  # type: ignore[no-any-return]


class GraphConv(nn.Module):
    """Makes a space layer of any PyG convolution.

    It is called by the names of its arguments. ``x`` is what comes into the layer, ``edge_index``
    the graph's, and ``batch`` the frame of every node. Arguments that it cannot do without, such as
    ``pos`` of a ``PointNetConv``, ``edge_type``, or ``edge_attr`` where it was built for a width of
    edge features, are the graph's fields of the same name. All others keep their defaults, unless
    ``fields`` names a field for them. A convolution with another one inside, as ``GPSConv``, hands
    on what the inner one takes. The tutorial on the graphs lists the few that do not fit.

    Args:
        conv: the convolution.
        out_channels: width that it makes; PyG's own attribute does not count heads.
        fields: fields of the graph by the names of the convolution's arguments, such as
            ``{"edge_weight": "edge_attr"}``, or ``{"x_0": "x"}`` for the features of the nodes as
            the extractor made them.

    Shapes:
        ``x [V, C]`` and frame graphs of V nodes → ``[V, out_channels]``; of a tuple that the
        convolution returns, the first.

    Raises:
        InputError: on a field for an argument that the convolution does not have, on one for
            several kinds of nodes, and on one that keeps the edges of its first call; when it is
            called: on a graph without a field that it needs, or a result of another shape.

    Examples:
        >>> from torch_geometric.nn import GATv2Conv, GINEConv, GPSConv
        >>> layer = GraphConv(GATv2Conv(32, 8, heads=4), out_channels=32)
        >>> layer = GraphConv(GPSConv(32, GINEConv(nn.Linear(32, 32), edge_dim=3)), out_channels=32)
    """

    def __init__(
        self, conv: nn.Module, out_channels: int, fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.conv = conv
        self.out_channels = integer("out_channels", out_channels)
        self.fields = dict(fields or {})
        kind = type(conv).__name__
        if any(name.endswith("_dict") for name in signature(conv.forward).parameters):
            expected = "a convolution over one kind of node (see stgraph.edges.space_time_hetero)"
            raise InputError("conv", expected, kind)
        if any(getattr(module, "cached", False) for module in conv.modules()):
            raise InputError("conv", "cached=False, since edges differ from call to call", kind)
        known = _arguments(conv)
        closed = not _is_open(conv) or any(_inside(conv))
        if closed and (unknown := sorted(set(self.fields) - set(known))):
            raise InputError("fields", f"arguments among {list(known)}", unknown)
        self._names = tuple(known)
        self._read = _needed(conv, known) | self.fields

    def forward(self, x: Tensor, graph: Batch) -> Tensor:
        """Convolve ``x [V, C]``.

        Raises:
            InputError: when the graph lacks edges or a field, the convolution needs more than it
                is told, or makes something else than ``[V, out_channels]``.
        """
        layout_of(graph)
        told = _frames(self._names, graph)
        told |= {name: self._field(graph, name, field) for name, field in self._read.items()}
        first = () if "x" in self._names else (x,)
        if not first:
            told["x"] = x
        kind = type(self.conv).__name__
        try:
            out = self.conv(*first, **told)
        except InputError:
            raise
        except (AssertionError, AttributeError, TypeError, ValueError) as error:
            untold = [name for name in self._names[len(first) :] if name not in told]
            reason = str(error) or type(error).__name__
            expected = f"what {kind} needs, perhaps among {untold}"
            raise InputError("fields", expected, f"{sorted(told)} ({reason})") from error
        if isinstance(out, tuple):  # with weights, or with edges of its own
            out = out[0]
        size = [x.size(0), self.out_channels]
        if not isinstance(out, Tensor) or list(out.shape) != size:
            came = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise InputError(f"what {kind} makes", f"{size} (a row a node, out_channels)", came)
        return out

    def _field(self, graph: Batch, argument: str, name: str) -> Tensor:
        value: Tensor | None = getattr(graph, name, None)
        if value is None and name == "edge_index":
            raise InputError("graph", "edges (pass edges= to the extractor)", "none attached")
        if value is None:
            kind = type(self.conv).__name__
            raise InputError("graph", f"`{name}` for {argument!r} of {kind}", "none attached")
        return value

    def extra_repr(self) -> str:
        """Options, as ``print(module)`` shows them."""
        return f"out_channels={self.out_channels}, fields={self.fields}"


def _needed(conv: nn.Module, known: Arguments) -> dict[str, str]:
    """Fields by the names of the arguments that a convolution cannot do without."""
    supplied = {"x" if "x" in known else next(iter(known), "x"), "batch", "batch_size"}
    needed = {
        name: name
        for name, argument in known.items()
        if name not in supplied and (name == "edge_index" or argument.default is Parameter.empty)
    }
    parts = (conv, *(_inside(conv) if _is_open(conv) else ()))
    if "edge_attr" in known and any(map(_has_edge_width, parts)):
        needed["edge_attr"] = "edge_attr"
    return needed


def _has_edge_width(conv: nn.Module) -> bool:
    """Whether a convolution was built for edge features of some width.

    Several of PyG's leave such features out without a word when they are not told any.
    """
    names = ("edge_dim", "lin_edge", "dim")
    return next((bool(getattr(conv, name)) for name in names if hasattr(conv, name)), False)
