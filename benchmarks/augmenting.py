"""Random changes of images. Each image of a batch is changed independently."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["cut_out", "flipped", "moved"]


def flipped(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Flips each image horizontally with a probability of one half.

    Args:
        images: of shape (N, C, H, W).
        generator: by default the global one of the images' device.
    """
    flip = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def moved(images: Tensor, most: int, generator: torch.Generator | None = None) -> Tensor:
    """Shifts each image vertically and horizontally by a few pixels, and fills with zeros.

    Args:
        images: of shape (N, C, H, W). The result's memory format is ``channels_last``.
        most: maximum number of pixels in each direction.
        generator: as in :func:`flipped`.
    """
    n, _, height, width = images.shape
    device = images.device
    padded = F.pad(images, (most, most, most, most))
    up, left = torch.randint(2 * most + 1, (2, n, 1), generator=generator, device=device)
    rows = up + torch.arange(height, device=device)
    columns = left + torch.arange(width, device=device)
    each = torch.arange(n, device=device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def cut_out(images: Tensor, side: int, generator: torch.Generator | None = None) -> Tensor:
    """Sets a random square of each image to zero (Cutout, arXiv:1708.04552).

    Args:
        images: of shape (N, C, H, W).
        side: of the square, in pixels; it may lie partly outside the image.
        generator: as in :func:`flipped`.
    """
    n, _, height, width = images.shape
    device = images.device
    top = torch.randint(1 - side, height, (n, 1), generator=generator, device=device)
    left = torch.randint(1 - side, width, (n, 1), generator=generator, device=device)
    rows = torch.arange(height, device=device) - top
    columns = torch.arange(width, device=device) - left
    in_rows, in_columns = ((each >= 0) & (each < side) for each in (rows, columns))
    is_cut = in_rows[:, :, None] & in_columns[:, None]
    return images.masked_fill(is_cut[:, None], 0.0)
