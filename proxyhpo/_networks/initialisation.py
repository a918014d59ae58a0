r"""Restores the scale of the user's initialisation in a network that became narrower.

A weight drawn for a fan-in of n keeps its size when the fan-in is cut to m. The signal then shrinks
by about :math:`\sqrt{m/n}` in each layer, and vanishes in a deep network without normalisation. For
any initialisation scheme, each weight is rescaled to its original

.. math:: \mathrm{rms}(W) \cdot \sqrt{\text{fan-in}},

which is what fan-in schemes (Kaiming, LeCun) hold constant: He et al., arXiv:1502.01852. Calling
``reset_parameters()`` instead would replace the user's scheme by PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import is_parametrized

from proxyhpo._networks.fans import fans_of

__all__ = ["is_constant", "rescale"]

_POWER_ITERATIONS = 15  # the number that torch uses when it creates the parametrization


def rescale(
    network: nn.Module,
    full: nn.Module,
    *,
    inherited: Collection[str] = (),
    contracted: Mapping[str, tuple[int, ...]] | None = None,
) -> None:
    """Rescales the weights of a pruned network in place to the scale of the original ones.

    Constant tensors (zero-initialised branches, gains of one) stay as they are. Slices of an
    orthogonal matrix are not orthogonal, and are orthogonalised again. Under spectral normalisation
    the scale of the weight has no effect.

    Args:
        network: the pruned network; its parameters have the same names as in ``full``.
        full: the network from which it was made.
        inherited: names of parameters to leave unchanged, such as pretrained ones.
        contracted: parameter name → the dimensions that its products sum over, if known.
    """
    originals = dict(full.named_parameters())
    fans_before, fans = fans_of(full, contracted), fans_of(network, contracted)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            original = originals.get(name)
            if original is None or name in inherited or not _is_numeric(parameter):
                continue
            if is_constant(original):
                continue
            was = _scale(original, fans_before[name].fan_in)
            if parameter.shape != original.shape and _is_orthogonal(original):
                parameter.copy_(_orthogonal(parameter))
            now = _scale(parameter, fans[name].fan_in)
            if now > 0 and not math.isclose(was, now, rel_tol=1e-6):
                parameter.mul_(was / now)
        _refresh_spectral_norms(network)


def is_constant(tensor: Tensor) -> bool:
    """Whether all entries are equal, as in a bias of zeros or a gain of ones.

    >>> is_constant(torch.ones(3)), is_constant(torch.arange(3))
    (True, False)
    """
    if tensor.numel() <= 1:
        return True
    entries = tensor.reshape(-1)
    # Two entries nearly always suffice to tell random ones.
    return bool(entries[0] == entries[1]) and bool((entries == entries[0]).all())


def _refresh_spectral_norms(network: nn.Module) -> None:
    """Recomputes singular vectors, since slices of them give far too small a norm."""
    for module in filter(is_parametrized, network.modules()):
        by_name = cast("nn.ModuleDict", module.parametrizations)
        for name, parametrizations in by_name.items():
            iterates = [
                part for part in parametrizations.children() if isinstance(part, _SpectralNorm)
            ]
            modes = [part.training for part in iterates]
            for part in iterates:
                part.train()
            for _ in range(_POWER_ITERATIONS if iterates else 0):
                getattr(module, name)  # one power iteration, as in a forward pass in train mode
            for part, mode in zip(iterates, modes, strict=True):
                part.train(mode)


def _scale(tensor: Tensor, fan: float | None) -> float:
    """The rms times √fan-in; for a vector, whose entries are not summed, only the rms."""
    rms = float(_precise(tensor).norm()) / math.sqrt(max(tensor.numel(), 1))
    return rms * math.sqrt(fan or 1)


def _is_orthogonal(weight: Tensor, tolerance: float = 1e-3) -> bool:
    """Whether the rows (or the columns, if they are fewer) are orthogonal and of equal length."""
    if weight.ndim < 2:
        return False
    matrix = _wide(weight)
    # Checking a few rows is nearly always sufficient, and avoids the product of all of them.
    return len(matrix) > 1 and all(
        _has_orthonormal_rows(rows, tolerance) for rows in (matrix[:8], matrix)
    )


def _has_orthonormal_rows(rows: Tensor, tolerance: float) -> bool:
    gram = rows @ rows.mH
    length = gram.diagonal().real.mean()
    off = (gram - length * torch.eye(len(rows), device=rows.device)).abs().max()
    return bool(off <= tolerance * length)


def _orthogonal(weight: Tensor) -> Tensor:
    """Orthogonalises the rows (or columns) one after the other, keeping their directions."""
    q, r = torch.linalg.qr(_wide(weight).mH)
    diagonal = r.diagonal()
    wide: Tensor = (q * torch.where(diagonal == 0, 1.0, diagonal.sgn())).mH
    tall = weight.shape[0] > weight[0].numel()
    return (wide.mH if tall else wide).reshape(weight.shape).to(weight.dtype)


def _wide(weight: Tensor) -> Tensor:
    matrix = _precise(weight.detach()).flatten(1)
    return matrix.mH if matrix.shape[0] > matrix.shape[1] else matrix


def _is_numeric(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _precise(tensor: Tensor) -> Tensor:
    """Converts to single precision, real or complex."""
    return tensor.to(torch.complex64 if tensor.is_complex() else torch.float32)
