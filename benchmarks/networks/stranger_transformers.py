"""Architectures of Hugging Face's transformers with small random configurations."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import nn

from benchmarks.networks.stranger_parts import Row, integers, noise, together

__all__ = ["transformers"]

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
"""Settings of all configurations, because a configuration may have no default for them."""


def _transformer(head: str, kind: str, **changed: Any) -> nn.Module:
    """An architecture with a small configuration: the settings of ``_TINY`` that it has."""
    library: Any = importlib.import_module("transformers")
    known = vars(library.AutoConfig.for_model(kind)) | {"num_labels": 2}
    sizes = {name: value for name, value in _TINY.items() if name in known} | _NEEDED | changed
    config = library.AutoConfig.for_model(kind, **sizes)
    network = getattr(library, head)
    instance: nn.Module = getattr(network, "from_config", network)(config)
    return instance


_IDS = integers(512, 16)


def transformers() -> Iterator[Row]:
    texts = together(input_ids=integers(509, 16), labels=integers(3))
    for kind in (
        "bert", "roberta", "distilbert", "albert", "electra", "deberta-v2", "mpnet", "fnet",
        "squeezebert", "convbert", "modernbert", "nystromformer",
    ):  # fmt: skip
        build = partial(_transformer, "AutoModelForSequenceClassification", kind)
        yield kind, build, texts
    words = together(input_ids=_IDS, labels=_IDS)
    for kind in (
        "gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "opt", "bloom", "falcon", "phi",
        "mamba", "rwkv", "mixtral", "qwen2_moe", "olmo2",
    ):  # fmt: skip
        yield kind, partial(_transformer, "AutoModelForCausalLM", kind), words
    for kind in ("t5", "bart", "marian", "pegasus"):
        yield kind, partial(_transformer, "AutoModelForSeq2SeqLM", kind), words
    pixels = together(pixel_values=noise(3, 64, 64), labels=integers(3))
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
        yield kind, build, together(input_values=noise(4000), labels=integers(3))
    yield (
        "clip",
        partial(
            _transformer,
            "AutoModel",
            "clip",
            text_config=_TINY,
            vision_config={**_TINY, "image_size": 64},
        ),
        together(input_ids=_IDS, pixel_values=noise(3, 64, 64)),
    )
