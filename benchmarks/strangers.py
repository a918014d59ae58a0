"""Networks from other people's libraries, for ``python -m benchmarks.networks --strangers``.

One member of every family of timm, transformers' architectures with small random configurations,
and what is usual in segmentation, video, medicine, graphs, tables, diffusion and control. All have
random weights; nothing is downloaded. Libraries that are not installed are skipped.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.network_catalogue import Entry
from proxyhpo._inputs import Inputs

__all__ = ["LIBRARIES", "strangers"]

_ASKED = 0.6
"""A proxy at half the channels that costs more is counted as weak."""


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


_Row = tuple[str, Callable[[], nn.Module], Callable[[int], Inputs]]


def _made(module: str, name: str, *args: Any, **kwargs: Any) -> nn.Module:
    """Calls a constructor that is imported only then."""
    made: nn.Module = getattr(importlib.import_module(module), name)(*args, **kwargs)
    return made


def _noise(*shape: int) -> Callable[[int], Tensor]:
    return lambda batch: torch.randn(batch, *shape)


def _integers(below: int, *shape: int) -> Callable[[int], Tensor]:
    return lambda batch: torch.randint(below, (batch, *shape))


def _together(**parts: Callable[[int], Tensor]) -> Callable[[int], Inputs]:
    return lambda batch: {name: make(batch) for name, make in parts.items()}


def _in_order(*parts: Callable[[int], Tensor]) -> Callable[[int], Inputs]:
    return lambda batch: tuple(make(batch) for make in parts)


_SMALL_FIRST = ("atto", "femto", "pico", "nano", "xxs", "xxt", "xs", "tiny", "_t", "_s", "small",
                "_b0", "18", "26", "base")  # fmt: skip


def _timm() -> Iterator[_Row]:
    timm: Any = importlib.import_module("timm")

    def rank(name: str) -> tuple[int, str]:
        found = (place for place, part in enumerate(_SMALL_FIRST) if part in name)
        return next(found, len(_SMALL_FIRST)), name

    for family in timm.list_modules():
        names = timm.list_models(module=family)
        if names:
            name = min(names, key=rank)
            yield f"{family}: {name}", partial(timm.create_model, name), partial(_sized, name)


def _sized(name: str, batch: int) -> Tensor:
    """Small images, where a network takes images of any size."""
    timm: Any = importlib.import_module("timm")
    cfg = timm.get_pretrained_cfg(name)
    fixed = cfg is None or cfg.fixed_input_size or "vit" in name  # patches of 14 pixels
    channels, *sides = cfg.input_size if cfg else (3, 224, 224)
    return torch.randn(batch, channels, *(sides if fixed else (128, 128)))


_TINY = {
    "hidden_size": 64, "d_model": 64, "n_embd": 64, "dim": 64, "embed_dim": 64, "hidden_dim": 128,
    "intermediate_size": 128, "n_inner": 128, "d_ff": 128, "ffn_dim": 128, "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128, "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64,
    "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "encoder_layers": 2,
    "decoder_layers": 2, "num_decoder_layers": 2, "num_attention_heads": 4, "n_head": 4,
    "n_heads": 4, "num_heads": 4, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "d_kv": 16, "vocab_size": 512, "num_experts": 4,
    "num_local_experts": 4, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "embedding_size": 64, "word_embed_proj_dim": 64, "ffn_hidden_size": 128, "num_labels": 3,
    "attention_window": 8, "projection_dim": 64, "max_position_embeddings": 64, "rotary_dim": 8,
    "decoder_start_token_id": 1, "tie_word_embeddings": True,
}  # fmt: skip


_NEEDED = {"decoder_start_token_id": 1}
"""Set for all: a configuration may have no default for it."""


def _transformer(head: str, kind: str, **changed: Any) -> nn.Module:
    """An architecture with a small configuration: of _TINY what its configuration knows."""
    library: Any = importlib.import_module("transformers")
    known = vars(library.AutoConfig.for_model(kind)) | {"num_labels": 2}
    sizes = {name: value for name, value in _TINY.items() if name in known} | _NEEDED | changed
    config = library.AutoConfig.for_model(kind, **sizes)
    network = getattr(library, head)
    made: nn.Module = getattr(network, "from_config", network)(config)
    return made


_IDS = _integers(512, 16)


def _transformers() -> Iterator[_Row]:
    texts = _together(input_ids=_integers(509, 16), labels=_integers(3))
    for kind in (
        "bert", "roberta", "distilbert", "albert", "electra", "deberta-v2", "mpnet", "fnet",
        "squeezebert", "convbert", "modernbert", "nystromformer",
    ):  # fmt: skip
        build = partial(_transformer, "AutoModelForSequenceClassification", kind)
        yield kind, build, texts
    words = _together(input_ids=_IDS, labels=_IDS)
    for kind in (
        "gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "opt", "bloom", "falcon", "phi",
        "mamba", "rwkv", "mixtral", "qwen2_moe", "olmo2",
    ):  # fmt: skip
        yield kind, partial(_transformer, "AutoModelForCausalLM", kind), words
    for kind in ("t5", "bart", "marian", "pegasus"):
        yield kind, partial(_transformer, "AutoModelForSeq2SeqLM", kind), words
    pixels = _together(pixel_values=_noise(3, 64, 64), labels=_integers(3))
    for kind in ("vit", "deit", "beit", "swin", "convnext", "segformer", "dinov2"):
        sizes = {"embed_dim": 32, "depths": [2, 2], "num_heads": [2, 4]} if kind == "swin" else {}
        if kind in ("vit", "deit", "beit", "swin", "dinov2"):
            sizes |= {"image_size": 64}
        if kind == "segformer":
            sizes = {"num_attention_heads": [1, 2, 5, 8]}
        head = "DeiTForImageClassification" if kind == "deit" else "AutoModelForImageClassification"
        build = partial(_transformer, head, kind, **sizes)
        yield kind, build, pixels
    for kind in ("wav2vec2", "hubert"):
        build = partial(_transformer, "AutoModelForAudioClassification", kind)
        yield kind, build, _together(input_values=_noise(4000), labels=_integers(3))
    yield (
        "clip",
        partial(
            _transformer,
            "AutoModel",
            "clip",
            text_config=_TINY,
            vision_config={**_TINY, "image_size": 64},
        ),
        _together(input_ids=_IDS, pixel_values=_noise(3, 64, 64)),
    )


def _torchvision() -> Iterator[_Row]:
    get = partial(partial, _made, "torchvision.models", "get_model")
    for name in ("r3d_18", "mc3_18", "r2plus1d_18"):
        yield name, get(name, weights=None), _noise(3, 8, 64, 64)
    yield "s3d", get("s3d", weights=None), _noise(3, 16, 224, 224)
    for name in ("mvit_v2_s", "swin3d_t"):
        yield name, get(name, weights=None), _noise(3, 16, 224, 224)
    for name in ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"):
        yield name, get(name, weights=None, weights_backbone=None), _noise(3, 128, 128)
    for name in ("fasterrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_fpn"):
        yield name, partial(_Detector, name), _noise(3, 128, 128)


class _Detector(nn.Module):
    """A detector that is trained on one box in each image."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.detector = _made(
            "torchvision.models", "get_model", name, weights=None, weights_backbone=None
        )

    def forward(self, images: Tensor) -> Any:
        box = torch.tensor([[20.0, 20.0, 90.0, 90.0]], device=images.device)
        target = {"boxes": box, "labels": torch.ones(1, dtype=torch.long, device=images.device)}
        return self.detector(list(images), [target] * len(images))


def _segmentation() -> Iterator[_Row]:
    for name in (
        "Unet", "UnetPlusPlus", "FPN", "PSPNet", "Linknet", "MAnet", "PAN", "DeepLabV3Plus",
        "UPerNet", "Segformer",
    ):  # fmt: skip
        build = partial(
            _made,
            "segmentation_models_pytorch",
            name,
            encoder_name="resnet18",
            encoder_weights=None,
        )
        yield name, build, _noise(3, 128, 128)


def _monai() -> Iterator[_Row]:
    net = partial(partial, _made, "monai.networks.nets")
    volume = _noise(1, 64, 64, 64)
    yield "UNet", net("UNet", 3, 1, 2, (16, 32, 64), (2, 2)), volume
    yield "BasicUNet", net("BasicUNet", 3, 1, 2), volume
    yield "SegResNet", net("SegResNet", in_channels=1, out_channels=2), volume
    yield "VNet", net("VNet"), volume
    yield "AttentionUnet", net("AttentionUnet", 3, 1, 2, (16, 32, 64), (2, 2)), volume
    yield "UNETR", net("UNETR", 1, 2, (64, 64, 64), hidden_size=192, mlp_dim=384), volume
    yield "SwinUNETR", net("SwinUNETR", in_channels=1, out_channels=2, feature_size=24), volume
    yield "DenseNet121", net("DenseNet121", 2, 1, 2), _noise(1, 64, 64)


def _geometric() -> Iterator[_Row]:
    models = "torch_geometric.nn.models"
    ring = torch.stack([torch.arange(12), torch.arange(12).roll(1)])
    for name in ("GCN", "GraphSAGE", "GIN", "GAT", "EdgeCNN"):
        build = partial(_made, models, name, 16, 64, 2, 5)
        yield name, build, lambda _: (torch.randn(12, 16), ring)


def _tables() -> Iterator[_Row]:
    build = partial(partial, _made, "rtdl_revisiting_models")
    mlp = {"d_in": 12, "d_out": 2, "n_blocks": 3, "d_block": 128, "dropout": 0.1}
    yield "MLP", build("MLP", **mlp), _noise(12)
    residual = {"n_blocks": 2, "d_block": 96, "d_hidden": None, "d_hidden_multiplier": 2.0}
    dropouts = {"dropout1": 0.1, "dropout2": 0.0}
    yield "ResNet", build("ResNet", d_in=12, d_out=2, **residual, **dropouts), _noise(12)
    yield (
        "FTTransformer",
        partial(_ft_transformer, 12),
        _in_order(_noise(12), _integers(3, 2)),
    )


def _ft_transformer(n: int) -> nn.Module:
    library: Any = importlib.import_module("rtdl_revisiting_models")
    kind = library.FTTransformer
    settings = {**kind.get_default_kwargs(n_blocks=2), "_is_default": False}
    made: nn.Module = kind(n_cont_features=n, cat_cardinalities=[3, 3], d_out=2, **settings)
    return made


def _tab_transformers() -> Iterator[_Row]:
    sizes = {"categories": (10, 5, 6), "num_continuous": 10, "dim": 32, "dim_out": 1}
    inputs = _in_order(_integers(5, 3), _noise(10))
    for name, more in (("TabTransformer", {"mlp_act": nn.ReLU()}), ("FTTransformer", {})):
        build = partial(_made, "tab_transformer_pytorch", name, depth=2, heads=4, **sizes, **more)
        yield name, build, inputs


def _diffusion() -> Iterator[_Row]:
    widths: Mapping[str, Any] = {"block_out_channels": (64, 128), "sample_size": 32}
    down = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D")}
    up = {"up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    times = _integers(1000)
    build = partial(_made, "diffusers", "UNet2DModel", **widths, **down, **up)
    yield "UNet2DModel", build, _together(sample=_noise(3, 32, 32), timestep=times)
    down = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")}
    up = {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
    build = partial(
        _made, "diffusers", "UNet2DConditionModel", **widths, **down, **up, cross_attention_dim=64
    )
    states = _noise(8, 64)
    sample = _noise(4, 32, 32)
    yield (
        "UNet2DConditionModel",
        build,
        _together(sample=sample, timestep=times, encoder_hidden_states=states),
    )
    build = partial(_made, "diffusers", "AutoencoderKL", block_out_channels=(64,))
    yield "AutoencoderKL", build, _noise(3, 32, 32)


def _control() -> Iterator[_Row]:
    for name, shape in (("ActorCriticPolicy", (8,)), ("ActorCriticCnnPolicy", (3, 64, 64))):
        yield name, partial(_policy, name, shape), _noise(*shape)


def _policy(name: str, shape: tuple[int, ...]) -> nn.Module:
    spaces: Any = importlib.import_module("gymnasium.spaces")
    policies: Any = importlib.import_module("stable_baselines3.common.policies")
    seen = spaces.Box(0, 255, shape, dtype="uint8" if len(shape) > 1 else "float32")
    made: nn.Module = getattr(policies, name)(seen, spaces.Discrete(4), lambda _: 3e-4)
    return made


LIBRARIES: Mapping[str, Callable[[], Iterator[_Row]]] = {
    "transformers": _transformers,
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
