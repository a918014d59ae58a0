"""Networks of other libraries, for ``python -m benchmarks.networks --strangers``.

They are one member of every family of timm, architectures of transformers with small random
configurations, and common networks for segmentation, video, medicine, graphs, tables, diffusion and
control. All have random weights; nothing is downloaded. Libraries that are not installed are
skipped.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.networks.catalogue import Entry
from benchmarks.networks.stranger_parts import Row, in_order, integers, made, noise, together
from benchmarks.networks.stranger_transformers import transformers

__all__ = ["LIBRARIES", "strangers"]

_ASKED = 0.6
"""The largest FLOPs ratio that a proxy with half of the channels may have."""


def strangers(of: str = "") -> list[Entry]:
    """Every entry whose library is installed, or those of one library."""
    entries: list[Entry] = []
    for library, rows in LIBRARIES.items():
        if of in ("", library) and importlib.util.find_spec(library):
            entries.extend(
                Entry(f"{library} {name}", library, build, inputs, _ASKED, batch=2)
                for name, build, inputs in rows()
            )
    return entries


_SMALL_FIRST = ("atto", "femto", "pico", "nano", "xxs", "xxt", "xs", "tiny", "_t", "_s", "small",
                "_b0", "18", "26", "base")  # fmt: skip

_LARGE = 448
"""Side of the images in pixels. It is a multiple of the sides of patches, 14, 16 and 32.

A network for larger images is built for this size, so that it fits into memory.
"""


def _timm() -> Iterator[Row]:
    timm: Any = importlib.import_module("timm")

    def rank(name: str) -> tuple[int, str]:
        found = (place for place, part in enumerate(_SMALL_FIRST) if part in name)
        return next(found, len(_SMALL_FIRST)), name

    for family in timm.list_modules():
        names = timm.list_models(module=family)
        if names:
            name = min(names, key=rank)
            yield f"{family}: {name}", partial(_classifier, name), partial(_sized, name)


def _classifier(name: str) -> nn.Module:
    """A network with a head. By default some have none, and return features instead of classes."""
    timm: Any = importlib.import_module("timm")
    cfg = timm.get_pretrained_cfg(name)
    options = {} if cfg is None or cfg.num_classes else {"num_classes": 1000}
    if "vit" in name and cfg is not None and cfg.input_size[-1] > _LARGE:
        options["img_size"] = _LARGE
    network: nn.Module = timm.create_model(name, **options)
    return network


def _sized(name: str, batch: int) -> Tensor:
    """A batch of images, which are small if the network takes images of any size."""
    timm: Any = importlib.import_module("timm")
    cfg = timm.get_pretrained_cfg(name)
    fixed = cfg is None or cfg.fixed_input_size or "vit" in name  # patches of 14 pixels
    channels, *sides = cfg.input_size if cfg else (3, 224, 224)
    shape = [min(side, _LARGE) for side in sides] if fixed else [128, 128]
    return torch.randn(batch, channels, *shape)


def _torchvision() -> Iterator[Row]:
    get = partial(partial, made, "torchvision.models", "get_model")
    for name in ("r3d_18", "mc3_18", "r2plus1d_18"):
        yield name, get(name, weights=None), noise(3, 8, 64, 64)
    yield "s3d", get("s3d", weights=None), noise(3, 16, 224, 224)
    for name in ("mvit_v2_s", "swin3d_t"):
        yield name, get(name, weights=None), noise(3, 16, 224, 224)
    for name in ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"):
        yield name, get(name, weights=None, weights_backbone=None), noise(3, 128, 128)
    for name in ("fasterrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_fpn"):
        yield name, partial(_Detector, name), noise(3, 128, 128)


class _Detector(nn.Module):
    """A detector that is trained on one box in each image."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.detector = made(
            "torchvision.models", "get_model", name, weights=None, weights_backbone=None
        )

    def forward(self, images: Tensor) -> Any:
        box = torch.tensor([[20.0, 20.0, 90.0, 90.0]], device=images.device)
        target = {"boxes": box, "labels": torch.ones(1, dtype=torch.long, device=images.device)}
        return self.detector(list(images), [target] * len(images))


def _segmentation() -> Iterator[Row]:
    for name in (
        "Unet", "UnetPlusPlus", "FPN", "PSPNet", "Linknet", "MAnet", "PAN", "DeepLabV3Plus",
        "UPerNet", "Segformer",
    ):  # fmt: skip
        build = partial(
            made,
            "segmentation_models_pytorch",
            name,
            encoder_name="resnet18",
            encoder_weights=None,
        )
        yield name, build, noise(3, 128, 128)


def _monai() -> Iterator[Row]:
    net = partial(partial, made, "monai.networks.nets")
    volume = noise(1, 64, 64, 64)
    yield "UNet", net("UNet", 3, 1, 2, (16, 32, 64), (2, 2)), volume
    yield "BasicUNet", net("BasicUNet", 3, 1, 2), volume
    yield "SegResNet", net("SegResNet", in_channels=1, out_channels=2), volume
    yield "VNet", net("VNet"), volume
    yield "AttentionUnet", net("AttentionUnet", 3, 1, 2, (16, 32, 64), (2, 2)), volume
    yield "UNETR", net("UNETR", 1, 2, (64, 64, 64), hidden_size=192, mlp_dim=384), volume
    yield "SwinUNETR", net("SwinUNETR", in_channels=1, out_channels=2, feature_size=24), volume
    yield "DenseNet121", net("DenseNet121", 2, 1, 2), noise(1, 64, 64)


def _geometric() -> Iterator[Row]:
    models = "torch_geometric.nn.models"
    ring = torch.stack([torch.arange(12), torch.arange(12).roll(1)])
    for name in ("GCN", "GraphSAGE", "GIN", "GAT", "EdgeCNN"):
        build = partial(made, models, name, 16, 64, 2, 5)
        yield name, build, lambda _: (torch.randn(12, 16), ring)


def _tables() -> Iterator[Row]:
    build = partial(partial, made, "rtdl_revisiting_models")
    mlp = {"d_in": 12, "d_out": 2, "n_blocks": 3, "d_block": 128, "dropout": 0.1}
    yield "MLP", build("MLP", **mlp), noise(12)
    residual = {"n_blocks": 2, "d_block": 96, "d_hidden": None, "d_hidden_multiplier": 2.0}
    dropouts = {"dropout1": 0.1, "dropout2": 0.0}
    yield "ResNet", build("ResNet", d_in=12, d_out=2, **residual, **dropouts), noise(12)
    yield (
        "FTTransformer",
        partial(_ft_transformer, 12),
        in_order(noise(12), integers(3, 2)),
    )


def _ft_transformer(n: int) -> nn.Module:
    library: Any = importlib.import_module("rtdl_revisiting_models")
    kind = library.FTTransformer
    settings = {**kind.get_default_kwargs(n_blocks=2), "_is_default": False}
    network: nn.Module = kind(n_cont_features=n, cat_cardinalities=[3, 3], d_out=2, **settings)
    return network


def _tab_transformers() -> Iterator[Row]:
    sizes = {"categories": (10, 5, 6), "num_continuous": 10, "dim": 32, "dim_out": 1}
    inputs = in_order(integers(5, 3), noise(10))
    for name, more in (("TabTransformer", {"mlp_act": nn.ReLU()}), ("FTTransformer", {})):
        build = partial(made, "tab_transformer_pytorch", name, depth=2, heads=4, **sizes, **more)
        yield name, build, inputs


def _diffusion() -> Iterator[Row]:
    widths: Mapping[str, Any] = {"block_out_channels": (64, 128), "sample_size": 32}
    down = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D")}
    up = {"up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    times = integers(1000)
    build = partial(made, "diffusers", "UNet2DModel", **widths, **down, **up)
    yield "UNet2DModel", build, together(sample=noise(3, 32, 32), timestep=times)
    down = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")}
    up = {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
    build = partial(
        made, "diffusers", "UNet2DConditionModel", **widths, **down, **up, cross_attention_dim=64
    )
    states = noise(8, 64)
    sample = noise(4, 32, 32)
    yield (
        "UNet2DConditionModel",
        build,
        together(sample=sample, timestep=times, encoder_hidden_states=states),
    )
    build = partial(made, "diffusers", "AutoencoderKL", block_out_channels=(64,))
    yield "AutoencoderKL", build, noise(3, 32, 32)


def _control() -> Iterator[Row]:
    for name, shape in (("ActorCriticPolicy", (8,)), ("ActorCriticCnnPolicy", (3, 64, 64))):
        yield name, partial(_policy, name, shape), noise(*shape)


def _policy(name: str, shape: tuple[int, ...]) -> nn.Module:
    spaces: Any = importlib.import_module("gymnasium.spaces")
    policies: Any = importlib.import_module("stable_baselines3.common.policies")
    seen = spaces.Box(0, 255, shape, dtype="uint8" if len(shape) > 1 else "float32")
    policy: nn.Module = getattr(policies, name)(seen, spaces.Discrete(4), lambda _: 3e-4)
    return policy


LIBRARIES: Mapping[str, Callable[[], Iterator[Row]]] = {
    "transformers": transformers,
    "torchvision": _torchvision,
    "segmentation_models_pytorch": _segmentation,
    "torch_geometric": _geometric,
    "rtdl_revisiting_models": _tables,
    "tab_transformer_pytorch": _tab_transformers,
    "diffusers": _diffusion,
    "stable_baselines3": _control,
    "timm": _timm,
    "monai": _monai,
}
