"""Linear layers whose products run in oneDNN on a CPU where it is faster, with the GELU behind them where there is one.

torch multiplies float32 matrices with MKL, and bfloat16 ones with oneDNN. On AMD's CPUs oneDNN is a tenth faster in float32
too, for the layer itself and for the gradient of its input; for that of its weights MKL is, and on Intel's CPUs for all
three (``benchmarks/NOTES.md``). Where nothing is learned, GELU is computed while a tile of the product is at hand, and
bfloat16 weights are cast and laid out once instead of at every call. The same sums in another order: equal up to rounding.

Shape legend: ... any leading sizes; I inputs; O outputs.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers.activations import GELUActivation

from xstilts.device import cpu_name

Activation = Literal["none", "gelu"]


def has_onednn() -> bool:
    """Whether this build of torch has the product."""
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return there and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@cache
def prefers_onednn() -> bool:
    """Whether float32 products are faster in oneDNN than in torch's own library. By the CPU's name: the same in every run."""
    mkl: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return has_onednn() and not (mkl and "Intel" in cpu_name())


@cache
def has_bfloat16_product() -> bool:
    """Whether it takes bfloat16 on this CPU: one with AVX-512 (or AVX-NE-CONVERT)."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _product(inputs: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation = "none") -> Tensor:
    """``activation(inputs @ weight.T + bias)``."""
    exact = "none"  # of GELU: by the error function, not approximated
    found: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, activation, [], exact)
    return found


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # What goes into a frozen layer is needed for no gradient: adapters beside it leave less behind.
        ctx.save_for_backward(inputs if ctx.needs_input_grad[1] else None, weight)
        return _product(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        of_inputs = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_inputs = _product(gradient, weight.t(), None)
        flat = gradient.reshape(-1, gradient.shape[-1])
        if ctx.needs_input_grad[1]:
            of_weight = flat.t() @ inputs.reshape(-1, inputs.shape[-1])
        if ctx.needs_input_grad[2]:
            of_bias = flat.sum(0)
        return of_inputs, of_weight, of_bias


class Linear(nn.Linear):
    """A linear layer that has taken over the parameters of another one, and the activation behind it.

    Args:
        layer: whose weight and bias it has; their names stay the same.
        activation: what follows.
    """

    def __init__(self, layer: nn.Linear, activation: Activation) -> None:
        super().__init__(1, 1, bias=layer.bias is not None, device="meta")
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self.activation = activation
        self.keeps_packed = True
        self._packed: tuple[tuple[int, int], Tensor] | None = None
        self.train(layer.training)

    def forward(self, input: Tensor) -> Tensor:
        """... x I to ... x O."""
        cast = torch.is_autocast_enabled(input.device.type)
        if input.device.type != "cpu" or input.numel() == 0 or self.weight.dtype != torch.float32:
            return self._activated(super().forward(input))
        if not cast and input.dtype == torch.float32:
            if torch.is_grad_enabled() and prefers_onednn():
                product: Tensor = _Product.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
                return self._activated(product)
            if not torch.is_grad_enabled() and (prefers_onednn() or self.activation == "gelu"):
                return _product(input, self.weight, self.bias, self.activation)
            return self._activated(super().forward(input))
        if cast and not torch.is_grad_enabled() and self._takes_bfloat16():
            bias = None if self.bias is None else self.bias.bfloat16()
            return _product(input.bfloat16(), self._bfloat16(), bias, self.activation)
        return self._activated(super().forward(input))

    @staticmethod
    def _takes_bfloat16() -> bool:
        return torch.get_autocast_dtype("cpu") == torch.bfloat16 and has_bfloat16_product()

    def _activated(self, output: Tensor) -> Tensor:
        return gelu(output) if self.activation == "gelu" else output

    def _bfloat16(self) -> Tensor:
        """The weight in bfloat16, laid out for the product; made anew when the weight has changed."""
        state = self.weight.data_ptr(), self.weight._version
        if self._packed is None or self._packed[0] != state or not self.keeps_packed:
            packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach().bfloat16(), None)
            self._packed = state, packed
        return self._packed[1]


def use_onednn(module: nn.Module) -> None:
    """Replace every plain linear layer in ``module``, in place. Without oneDNN, nothing is changed."""
    if not has_onednn():
        return
    for name, child in list(module.named_children()):
        if type(child) is nn.Linear:
            followed = name == "dense" and type(getattr(module, "intermediate_act_fn", None)) is GELUActivation
            setattr(module, name, Linear(child, "gelu" if followed else "none"))
            if followed:
                module.intermediate_act_fn = nn.Identity()
        else:
            use_onednn(child)
