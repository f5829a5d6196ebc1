"""Weights of images for nets of clips."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from stgraph.checks import InputError, choice, dense

__all__ = ["inflate"]


def inflate(state: Mapping[str, Tensor], net: nn.Module, how: str = "mean") -> dict[str, Tensor]:
    r"""Spread the convolutions of a 2D net over time, for the 3D net with the same names.

    ``"mean"`` (Carreira & Zisserman 2017) and ``"centre"`` (Feichtenhofer et al. 2016) are

    .. math:: W^{3D}_{oitxy} = W^{2D}_{oixy} / t', \quad
        W^{3D}_{oitxy} = W^{2D}_{oixy} [t = ⌊t'/2⌋]

    for a convolution over t' frames. On a still video the 3D net has the activations of the 2D net:
    with ``"centre"`` in every frame, with ``"mean"`` away from the ends of the clip, where
    convolutions see zeros.

    Args:
        state: weights of the 2D net by name.
        net: the 3D net; only the shapes of its parameters are read.
        how: ``"mean"`` or ``"centre"``.

    Returns:
        ``state`` with inflated convolutions, to be loaded by name; the rest as it came.

    Raises:
        InputError: on another option, when no convolution of ``net`` has a name in ``state``, or
            one there is no dense tensor.

    Examples:
        >>> import torch
        >>> net = nn.Sequential(nn.Conv3d(1, 1, (3, 1, 1)))
        >>> inflate({"0.weight": torch.ones(1, 1, 1, 1)}, net, "centre")["0.weight"].flatten()
        tensor([0., 1., 0.])
    """
    choice("how", how, ("mean", "centre"))
    mine = net.state_dict()
    spread = {}
    for name, flat in state.items():
        if (
            not isinstance(flat, Tensor)
            or flat.ndim != 4
            or name not in mine
            or mine[name].ndim != 5
        ):
            continue
        dense(f"state[{name!r}]", flat)
        frames = mine[name].size(2)
        if how == "mean":
            spread[name] = (flat / frames).unsqueeze(2).repeat(1, 1, frames, 1, 1)
        else:
            spread[name] = flat.new_zeros(*flat.shape[:2], frames, *flat.shape[2:])
            spread[name][:, :, frames // 2] = flat
    if not spread:
        raise InputError("state", "convolutions of a 2D net with the names of net", "none")
    return {**state, **spread}
