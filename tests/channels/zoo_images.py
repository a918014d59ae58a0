"""The paper's networks and torchvision's, each with few and narrow layers."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models
from torchvision.models import (
    convnext,
    densenet,
    efficientnet,
    maxvit,
    mobilenetv3,
    regnet,
    resnet,
    vgg,
)
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from tests.channels.member import images, member, register

# The paper's


class BasicBlock(nn.Module):
    def __init__(self, n, m, stride, option):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(n, m, 3, stride, 1, bias=False), nn.BatchNorm2d(m)
        self.conv2, self.bn2 = nn.Conv2d(m, m, 3, 1, 1, bias=False), nn.BatchNorm2d(m)
        self.short = nn.Identity()
        if n != m and option == "A":
            self.short = Padding(m // 4)
        elif n != m:
            self.short = nn.Sequential(nn.Conv2d(n, m, 1, stride, bias=False), nn.BatchNorm2d(m))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.short(x))


class Padding(nn.Module):
    """A shortcut without weights: every other pixel, and channels of zeros on both sides."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.channels, self.channels))


class CifarResNet(nn.Module):
    def __init__(self, w, blocks, option="B"):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, w, 3, 1, 1, bias=False), nn.BatchNorm2d(w)
        layers, n = [], w
        for stage in range(3):
            for block in range(blocks):
                stride, m = (2 if stage and not block else 1), w * 2**stage
                layers.append(BasicBlock(n, m, stride, option))
                n = m
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(n, 10)

    def forward(self, x):
        x = self.layers(F.relu(self.norm(self.stem(x))))
        return self.head(F.avg_pool2d(x, x.size(3)).view(x.size(0), -1))


@member(images(size=16), width=16)
def cifar_resnet(w):
    return CifarResNet(w, 2)


@member(images(size=16), width=16, flops=0.6, twin=False)
def cifar_resnet_padded(w):
    return CifarResNet(w, 2, option="A")


class DenseLayer(nn.Module):
    def __init__(self, n, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(n), nn.Conv2d(n, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([self.conv2(F.relu(self.norm2(y))), x], dim=1)


@member(images(size=16), width=16)
def cifar_densenet(w):
    layers = [nn.Conv2d(3, w, 3, padding=1, bias=False)]
    layers += [DenseLayer(w, w), DenseLayer(2 * w, w), nn.Conv2d(3 * w, w, 1), nn.AvgPool2d(2)]
    layers += [DenseLayer(w, w), nn.BatchNorm2d(2 * w), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * w, 10))


@member(images(size=16), width=16)
def vgg_small(w):
    features = vgg.make_layers([w, "M", 2 * w, 2 * w, "M", 4 * w, "M"], batch_norm=True)
    return nn.Sequential(
        features,
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * w, 4 * w),
        nn.ReLU(inplace=True),
        nn.Dropout(0.1),
        nn.Linear(4 * w, 10),
    )


# torchvision's

register(
    "resnet_basic",
    lambda: resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=10),
    images(size=32),
    flops=0.35,
)
register(
    "resnet_bottleneck",
    lambda: resnet.ResNet(resnet.Bottleneck, [1, 2, 1, 1], num_classes=10, width_per_group=16),
    images(size=32),
    flops=0.35,
)
register(
    "resnext",
    lambda: resnet.ResNet(
        resnet.Bottleneck, [1, 1, 1, 1], num_classes=10, groups=4, width_per_group=8
    ),
    images(size=32),
    flops=0.35,
)
register(
    "densenet",
    lambda: densenet.DenseNet(
        16, (2, 2), num_init_features=16, bn_size=2, drop_rate=0.1, num_classes=10
    ),
    images(size=32),
    flops=0.4,
)
register(
    "mobilenet_v2",
    lambda: models.MobileNetV2(
        num_classes=10,
        inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2]],
    ),
    images(size=32),
    flops=0.4,
)
register(
    "mobilenet_v3",
    lambda: mobilenetv3.MobileNetV3(
        [
            mobilenetv3.InvertedResidualConfig(16, 3, 32, 16, True, "RE", 1, 1, 1),
            mobilenetv3.InvertedResidualConfig(16, 5, 64, 32, False, "HS", 2, 1, 1),
            mobilenetv3.InvertedResidualConfig(32, 5, 64, 32, True, "HS", 1, 1, 1),
        ],
        last_channel=64,
        num_classes=10,
    ),
    images(size=32),
    flops=0.4,
)
register(
    "efficientnet",
    lambda: efficientnet.EfficientNet(
        [
            efficientnet.MBConvConfig(1, 3, 1, 32, 16, 1, 1, 1),
            efficientnet.MBConvConfig(4, 3, 2, 16, 32, 2, 1, 1),
            efficientnet.FusedMBConvConfig(4, 3, 2, 32, 32, 1),
        ],
        dropout=0.1,
        last_channel=64,
        num_classes=10,
    ),
    images(size=32),
    flops=0.4,
)
register(
    "regnet",
    lambda: regnet.RegNet(
        regnet.BlockParams.from_init_params(
            depth=4, w_0=32, w_a=24.0, w_m=2.0, group_width=16, se_ratio=0.25
        ),
        num_classes=10,
    ),
    images(size=32),
    flops=0.4,
)
register(
    "convnext",
    lambda: convnext.ConvNeXt(
        [convnext.CNBlockConfig(16, 32, 1), convnext.CNBlockConfig(32, None, 1)],
        stochastic_depth_prob=0.1,
        layer_scale=0.1,
        num_classes=10,
    ),
    images(size=32),
    flops=0.4,
)
register("squeezenet", partial(models.squeezenet1_1, num_classes=10), images(size=32), flops=0.35)
register(
    "shufflenet",
    lambda: models.ShuffleNetV2([1, 4, 1], [16, 16, 40, 48, 64], num_classes=10),
    images(size=32),
)


@member(images(size=16), coupled=("in_proj", "out_proj"))
def vit(w):
    return VisionTransformer(16, 8, 2, 2, w, 2 * w, num_classes=10)


register(
    "swin",
    lambda: SwinTransformer([2, 2], 16, [2, 2], [2, 4], [2, 2], num_classes=10),
    images(size=16),
    coupled=("qkv",),
    flops=0.6,
)
register(
    "maxvit",
    lambda: maxvit.MaxVit((32, 32), 16, 2, [16, 32], [1, 1], 8, 0.1, num_classes=10),
    images(size=32),
    coupled=("to_qkv", "merge"),
    flops=0.6,
)
