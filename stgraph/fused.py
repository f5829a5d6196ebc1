"""Functions with a backward pass of their own, beside the plain form that they are equal to.

A fused form keeps less for the backward pass, or goes over memory less often. Who looks into what
is computed gets the plain form: a compiler fuses by itself, and transformations such as
``torch.func.vmap``, forward-mode derivatives and derivatives of derivatives need PyTorch's rules.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

__all__ = ["Fused", "is_hooked", "is_just", "is_looked_into"]


def is_looked_into(*inputs: Any) -> bool:
    """Whether a compiler or a transformation follows what is computed from these inputs."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return True
    if torch._C._are_functorch_transforms_active():
        return True
    tensors = (each for each in inputs if isinstance(each, Tensor))
    return any(_has_tangent(each) for each in tensors)


def _has_tangent(x: Tensor) -> bool:
    return forward_ad.unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]


def is_just(module: object, kind: type) -> bool:
    """Whether a module is of a class and of no other, or stands in for such a one.

    An exporter runs stand-ins for a model's parts, each of a class made of its own and the part's.
    """
    own = type(module)
    return own is kind or (torch.compiler.is_compiling() and own.__bases__[1:] == (kind,))


def is_hooked(module: nn.Module) -> bool:
    """Whether a module has hooks: it is to be called then, and not its parts in its place."""
    return any(
        (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
    )


class Fused(torch.autograd.Function):
    """A function from tensors, and other values, to a tuple of tensors.

    A subclass writes three static methods and is called by :meth:`of`: ``plain(*inputs)``, the
    outputs in PyTorch's own operations; ``value(*inputs)``, the outputs and what else is kept for
    the backward pass; ``slopes(inputs, kept, grads)``, the gradients of all inputs from those of
    the outputs.
    """

    keeps_inputs: ClassVar[bool] = True
    """For derivatives of derivatives, by the plain form. Else ``slopes`` gets none, and is made of
    operations that can be differentiated, on outputs alone."""

    plain: ClassVar[Any]
    value: ClassVar[Any]
    slopes: ClassVar[Any]

    @classmethod
    def of(cls, *inputs: Any) -> tuple[Tensor, ...]:
        """The outputs."""
        if is_looked_into(*inputs):
            return cls.plain(*inputs)  # type: ignore[no-any-return]
        if not torch.is_grad_enabled():
            return cls.value(*inputs)[0]  # type: ignore[no-any-return]
        return cls.apply(*inputs)  # type: ignore[no-any-return, no-untyped-call]

    @classmethod
    def forward(cls, ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        """Called by PyTorch."""
        made, kept = cls.value(*inputs)
        held = inputs if cls.keeps_inputs else ()
        ctx.others = [None if isinstance(each, Tensor) else (each,) for each in held]
        ctx.save_for_backward(*(each for each in held if isinstance(each, Tensor)), *kept)
        return made  # type: ignore[no-any-return]

    @classmethod
    def backward(cls, ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Called by PyTorch; with gradients enabled where derivatives of these are wanted."""
        saved = iter(ctx.saved_tensors)
        inputs = [next(saved) if other is None else other[0] for other in ctx.others]
        if torch.is_grad_enabled() and cls.keeps_inputs:
            return cls._of_plain(inputs, grads)
        return cls.slopes(inputs, tuple(saved), grads)  # type: ignore[no-any-return]

    @classmethod
    def _of_plain(cls, inputs: list[Any], grads: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs that can be differentiated again."""
        smooth = [
            place
            for place, each in enumerate(inputs)
            if isinstance(each, Tensor) and each.is_floating_point()
        ]

        def plain(*given: Tensor) -> tuple[Tensor, ...]:
            full = list(inputs)
            for place, each in zip(smooth, given, strict=True):
                full[place] = each
            return cls.plain(*full)  # type: ignore[no-any-return]

        pull = torch.func.vjp(plain, *(inputs[place] for place in smooth))[1]
        found: list[Tensor | None] = [None] * len(inputs)
        for place, grad in zip(smooth, pull(grads), strict=True):
            found[place] = grad
        return tuple(found)
