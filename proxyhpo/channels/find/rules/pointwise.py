"""Operators that work on each element separately: equal positions are joined."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from proxyhpo.channels.find.labels import OUTPUT
from proxyhpo.channels.find.rules import Call, Dim, Labels, ResultDims, fixed, rule


@rule(
    "add", "mul", "copy", "fill", "zero", "where", "masked_fill", "clamp", "lerp",
    "addcmul", "addcdiv", "_prelu_kernel", "prelu", "rrelu_with_noise",
    "hardswish", "hardsigmoid", "hardtanh", "relu6", "leaky_relu", "elu", "gelu", "silu", "mish",
    "softplus", "softshrink", "hardshrink", "threshold", "log_sigmoid", "celu", "selu",
    "bernoulli", "normal", "uniform", "random", "exponential", "geometric", "log_normal", "cauchy",
    "native_dropout", "log_sigmoid_forward", "_fused_dropout", "masked_scatter",
    "fake_quantize_per_tensor_affine", "frexp", "isin", "nan_to_num", "bucketize",
    "normal_functional", "poisson", "fake_quantize_per_tensor_affine_cachemask",
)  # fmt: skip
def pointwise(labels: Labels, call: Call) -> list[Dim] | tuple[list[Dim], ...]:
    """Joins equal positions of all operands, except in dimensions of size 1 that are expanded."""
    if isinstance(call.result, (tuple, list)):
        outs = [out for out in call.result if isinstance(out, Tensor)]
        return tuple(_broadcast(labels, call, out.shape) for out in outs)
    return _broadcast(labels, call, call.result.shape)


@rule(
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "soft_margin_loss",
)  # fmt: skip
def loss(labels: Labels, call: Call) -> list[Dim]:
    """Compares position by position, and may then sum over all."""
    return _broadcast(labels, call, call.tensors()[0].shape)[: call.result.ndim]


@rule(
    "nll_loss_forward", "nll_loss2d_forward", "multi_margin_loss", "multilabel_margin_loss_forward",
    "_ctc_loss", "nll_loss_nd", "cross_entropy_loss",
)  # fmt: skip
def class_loss(labels: Labels, call: Call) -> ResultDims:
    """Picks the score of one class, so the number of classes is kept."""
    dims = call.dims(call.tensors()[0])
    classes = dims[2 if call.operator == "aten::_ctc_loss" else min(1, len(dims) - 1)]
    labels.protect(classes[classes > 0], OUTPUT)
    outs = [call.result] if isinstance(call.result, Tensor) else call.result
    made = tuple(fixed(out.shape) for out in outs)
    return made[0] if isinstance(call.result, Tensor) else made


@rule("multinomial")
def draw(labels: Labels, call: Call) -> list[Dim]:
    """Draws classes, as a policy does: their number is that of the network's outputs."""
    *batch, classes = call.dims("self")
    labels.protect(classes[classes > 0], OUTPUT)
    return [*batch, *fixed(call.result.shape[-1:])]


@rule("softmax", "_softmax", "_log_softmax", "_safe_softmax", "cumsum", "cumprod", "logcumsumexp")
def along(_: Labels, call: Call) -> list[Dim]:
    """Works along a dimension and keeps it."""
    return call.dims("self")


@rule("glu")
def glu(labels: Labels, call: Call) -> list[Dim]:
    """One half gates the other: the same offsets of both halves are joined."""
    dims = list(call.dims("self"))
    axis = call.axis(call["dim"], len(dims))
    halves = dims[axis].reshape(2, -1)
    labels.tie(halves)
    dims[axis] = halves[0]
    return dims


def _broadcast(labels: Labels, call: Call, shape: Sequence[int]) -> list[Dim]:
    out: list[Dim | None] = [None] * len(shape)
    for tensor in call.tensors():
        for axis, dim in zip(range(1, len(shape) + 1), reversed(call.dims(tensor)), strict=False):
            known = out[-axis]
            if dim.size != shape[-axis] or dim.size == 1:
                continue
            if known is None:
                out[-axis] = dim
            else:
                labels.join(known, dim)
    return [fixed([n])[0] if dim is None else dim for n, dim in zip(shape, out, strict=True)]
