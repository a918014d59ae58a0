"""The paper's networks for small images (32x32 and 64x64), for any number of classes."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torchvision.models.densenet import DenseNet
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import cfgs, make_layers

__all__ = ["NETWORKS"]


def resnet56(classes: int) -> nn.Module:
    """Three stages of nine blocks with 16, 32 and 64 channels (arXiv:1512.03385, section 4.2)."""
    layers: list[nn.Module] = [_convolution(3, 16), nn.BatchNorm2d(16), nn.ReLU()]
    before = 16
    for stage, channels in enumerate((16, 32, 64)):
        for block in range(9):
            stride = 2 if stage and not block else 1
            shortcut = _shortcut(before, channels) if stride == 2 else None
            layers.append(BasicBlock(before, channels, stride, shortcut))
            before = channels
    network = nn.Sequential(*layers, *_head(before, classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def vgg16(classes: int) -> nn.Module:
    """VGG16 with batch normalisation, and one linear layer for its three (arXiv:1409.1556)."""
    return nn.Sequential(make_layers(cfgs["D"], batch_norm=True), *_head(512, classes))


def mobilenet_v2(classes: int) -> nn.Module:
    """With two of its five halvings of the image left out (arXiv:1801.04381)."""
    stages = [[1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 4, 2],
              [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]  # fmt: skip
    network = MobileNetV2(num_classes=classes, inverted_residual_setting=stages)
    network.features[0][0].stride = (1, 1)
    return network


def densenet_bc_100(classes: int) -> nn.Module:
    """Three blocks of 16 layers that grow by 12 channels (arXiv:1608.06993)."""
    network = DenseNet(12, (16, 16, 16), 24, num_classes=classes)
    network.features.conv0 = _convolution(3, 24)
    network.features.pool0 = nn.Identity()
    nn.init.kaiming_normal_(network.features.conv0.weight)
    return network


def _convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=False)


def _shortcut(before: int, after: int) -> nn.Module:
    projection = nn.Conv2d(before, after, 1, stride=2, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(after))


def _head(channels: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "resnet56": resnet56,
    "vgg16-bn": vgg16,
    "mobilenet-v2": mobilenet_v2,
    "densenet-bc-100": densenet_bc_100,
}
"""Name → what makes it, for a number of classes."""
