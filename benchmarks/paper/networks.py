"""The paper's three families of networks, in the paper's size and in a size for a CPU.

The small networks keep each family's blocks and their order. They are shallower and narrower, and
halve the images early, so that one training takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import cfgs, make_layers

__all__ = ["NETWORKS", "SMALL_NETWORKS"]


def resnet56(classes: int) -> nn.Module:
    """Three stages of nine blocks with 16, 32 and 64 channels (arXiv:1512.03385, section 4.2)."""
    return _resnet(classes, blocks=9, width=16)


def resnet8(classes: int) -> nn.Module:
    """Three stages of one block with 32, 64 and 128 channels; the stem halves the image."""
    return _resnet(classes, blocks=1, width=32, stem_stride=2)


def vgg16(classes: int) -> nn.Module:
    """VGG16 with batch normalization and one linear layer instead of three (arXiv:1409.1556)."""
    return nn.Sequential(make_layers(cfgs["D"], batch_norm=True), *_head(512, classes))


def small_vgg16(classes: int) -> nn.Module:
    """VGG16 with a quarter of the channels, for 16x16.

    The first convolution halves the image instead of the last block.
    """
    plan = [channels if channels == "M" else int(channels) // 4 for channels in cfgs["D"]]
    first, *rest = plan[:-1]
    return nn.Sequential(make_layers([first, "M", *_without_first_pool(rest)], batch_norm=True),
                         *_head(128, classes))  # fmt: skip


def mobilenet_v2(classes: int) -> nn.Module:
    """MobileNetV2 (arXiv:1801.04381) without two of its five halvings of the image."""
    stages = [[1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 4, 2],
              [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]  # fmt: skip
    network = MobileNetV2(num_classes=classes, inverted_residual_setting=stages)
    network.features[0][0].stride = (1, 1)
    return network


def small_mobilenet_v2(classes: int) -> nn.Module:
    """MobileNetV2 of half the width, with one block a stage, no last stage and no dropout."""
    stages = [[1, 16, 1, 1], [6, 24, 1, 1], [6, 32, 1, 1], [6, 64, 1, 2],
              [6, 96, 1, 1], [6, 160, 1, 2]]  # fmt: skip
    return MobileNetV2(
        num_classes=classes,
        width_mult=0.5,
        inverted_residual_setting=stages,
        dropout=0.0,
    )


def _resnet(classes: int, *, blocks: int, width: int, stem_stride: int = 1) -> nn.Module:
    stem = nn.Conv2d(3, width, 3, stem_stride, padding=1, bias=False)
    layers: list[nn.Module] = [stem, nn.BatchNorm2d(width), nn.ReLU()]
    before = width
    for stage, channels in enumerate((width, 2 * width, 4 * width)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            shortcut = _shortcut(before, channels) if stride == 2 else None
            layers.append(BasicBlock(before, channels, stride, shortcut))
            before = channels
    network = nn.Sequential(*layers, *_head(before, classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _shortcut(before: int, after: int) -> nn.Module:
    projection = nn.Conv2d(before, after, 1, stride=2, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(after))


def _without_first_pool(plan: Sequence[str | int]) -> list[str | int]:
    first = plan.index("M")
    return [*plan[:first], *plan[first + 1 :]]


def _head(channels: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "resnet": resnet56,
    "vgg16-bn": vgg16,
    "mobilenet-v2": mobilenet_v2,
}
"""Name → what makes it for a number of classes, for images of 32x32 and 64x64."""

SMALL_NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "resnet": resnet8,
    "vgg16-bn": small_vgg16,
    "mobilenet-v2": small_mobilenet_v2,
}
"""The same families for images of 16x16 on a CPU."""
