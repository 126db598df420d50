"""Seeded weights of the shared networks, tiny: HuBERT, BERT, ERes2NetV2, in the layout of a `pretrained_models` folder.

Knows nothing of voices. Widths that a voice depends on are the real ones (768, 1024, 20480), everything else is small.
"""

import json
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from voxswap_server.demo.tiny_weights import Weights

_HUBERT: Final[dict[str, Any]] = {
    "model_type": "hubert",
    "architectures": ["HubertModel"],
    "hidden_size": 768,
    "num_hidden_layers": 1,
    "num_attention_heads": 12,
    "intermediate_size": 64,
    "conv_dim": [16] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_feat_extract_layers": 7,
    "conv_bias": False,
    "feat_extract_norm": "group",
    "feat_proj_layer_norm": True,
    "do_stable_layer_norm": False,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 16,
}
_BERT: Final[dict[str, Any]] = {
    "model_type": "bert",
    "architectures": ["BertForMaskedLM"],
    "hidden_size": 1024,
    "num_hidden_layers": 3,
    "num_attention_heads": 16,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
_SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ERES2NET: Final = ((1, 4, 2, 16, None), (1, 4, 2, 16, None), (1, 4, 2, 16, 4), (1, 4, 2, 2048, 4))
"""Of each layer: blocks, width and number of branches, output width, inner width of the fusion."""


def write_hubert(directory: Path, seed: int, width: int = 768) -> None:
    """Writes `chinese-hubert-base` as transformers lays it out, or a content encoder of another width."""
    conv = 16
    weights = Weights(seed)
    weights.add("masked_spec_embed", width, scale=0.3)
    for index, kernel in enumerate(_HUBERT["conv_kernel"]):
        wide = conv if index else 1
        weights.layer(f"feature_extractor.conv_layers.{index}.conv", conv, wide, kernel, bias=False, gain=1.5)
    weights.norm("feature_extractor.conv_layers.0.layer_norm.", conv)
    weights.norm("feature_projection.layer_norm.", conv)
    weights.layer("feature_projection.projection", width, conv)
    weights.add("encoder.pos_conv_embed.conv.bias", width, scale=0.05)
    weights.add("encoder.pos_conv_embed.conv.weight_g", 1, 1, 16, scale=0.5, centre=3.0)
    weights.add("encoder.pos_conv_embed.conv.weight_v", width, width // 16, 16, scale=0.06)
    weights.norm("encoder.layer_norm.", width)
    for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
        weights.layer(f"encoder.layers.0.attention.{part}", width, width)
    weights.norm("encoder.layers.0.layer_norm.", width)
    weights.layer("encoder.layers.0.feed_forward.intermediate_dense", 64, width)
    weights.layer("encoder.layers.0.feed_forward.output_dense", width, 64)
    weights.norm("encoder.layers.0.final_layer_norm.", width)
    features = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1, "sampling_rate": 16_000}
    config = _HUBERT | {"hidden_size": width, "num_attention_heads": width // 64}
    _write(directory, weights.tensors, {"config.json": config, "preprocessor_config.json": features})


def write_bert(directory: Path, seed: int) -> None:
    """Writes `chinese-roberta-wwm-ext-large` as transformers lays it out."""
    vocabulary = [*_SPECIAL, *_characters()]
    width, weights = 1024, Weights(seed)
    weights.add("bert.embeddings.word_embeddings.weight", len(vocabulary), width, scale=0.5)
    weights.add("bert.embeddings.position_embeddings.weight", 512, width, scale=0.5)
    weights.add("bert.embeddings.token_type_embeddings.weight", 2, width, scale=0.5)
    weights.norm("bert.embeddings.LayerNorm.", width)
    for index in range(_BERT["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{index}"
        for part in ("query", "key", "value"):
            weights.layer(f"{layer}.attention.self.{part}", width, width)
        weights.layer(f"{layer}.attention.output.dense", width, width)
        weights.norm(f"{layer}.attention.output.LayerNorm.", width)
        weights.layer(f"{layer}.intermediate.dense", 64, width)
        weights.layer(f"{layer}.output.dense", width, 64)
        weights.norm(f"{layer}.output.LayerNorm.", width)
    tokenizer = {"do_lower_case": True, "tokenizer_class": "BertTokenizer"}
    config = {**_BERT, "vocab_size": len(vocabulary)}
    _write(directory, weights.tensors, {"config.json": config, "tokenizer_config.json": tokenizer})
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")


def write_eres2net(file: Path, seed: int) -> None:
    """Writes the plain state dict of ERes2NetV2."""
    state, wide = _State(seed), 16
    state.conv("conv1", wide, 1, 3)
    state.norm("bn1", wide)
    for number, (blocks, width, branches, out, inner) in enumerate(_ERES2NET, 1):
        for index in range(blocks):
            state.block(f"layer{number}.{index}", wide, width, branches, out, inner, shortcut=index == 0)
            wide = out
    state.conv("layer3_ds", wide, _ERES2NET[2][3], 3)
    state.fusion("fuse34", wide, 4)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state.tensors, file)


class _State(Weights):
    """Convolutions followed by batch norms."""

    def conv(self, name: str, out: int, wide: int, kernel: int, *, bias: bool = False) -> None:
        self.layer(name, out, wide, kernel, kernel, bias=bias)

    def norm(self, name: str, width: int, parts: tuple[str, str] = ("weight", "bias")) -> None:
        super().norm(f"{name}.", width, parts)
        self.add(f"{name}.running_mean", width, scale=0.1)
        self.add(f"{name}.running_var", width, scale=0.4, centre=1.0)
        self.tensors[f"{name}.num_batches_tracked"] = torch.tensor(1)

    def fusion(self, name: str, width: int, inner: int) -> None:
        self.conv(f"{name}.local_att.0", inner, 2 * width, 1, bias=True)
        self.norm(f"{name}.local_att.1", inner)
        self.conv(f"{name}.local_att.3", width, inner, 1, bias=True)
        self.norm(f"{name}.local_att.4", width)

    def block(
        self, name: str, wide: int, width: int, branches: int, out: int, inner: int | None, *, shortcut: bool
    ) -> None:
        self.conv(f"{name}.conv1", width * branches, wide, 1)
        self.norm(f"{name}.bn1", width * branches)
        for branch in range(branches):
            self.conv(f"{name}.convs.{branch}", width, width, 3)
            self.norm(f"{name}.bns.{branch}", width)
        for fusion in range(branches - 1 if inner else 0):
            self.fusion(f"{name}.fuse_models.{fusion}", width, inner or 0)
        self.conv(f"{name}.conv3", out, width * branches, 1)
        self.norm(f"{name}.bn3", out)
        if shortcut:
            self.conv(f"{name}.shortcut.0", out, wide, 1)
            self.norm(f"{name}.shortcut.1", out)


def _characters() -> list[str]:
    """The 3,755 common characters of GB 2312, in its order, and punctuation."""
    rows = (bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    common = (code.decode("gb2312", errors="ignore") for code in rows)
    return [*"，。？！、：；…—,.?!", *filter(None, common)]


def _write(directory: Path, tensors: dict[str, Tensor], texts: dict[str, dict[str, Any]]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, directory / "pytorch_model.bin")
    for name, content in texts.items():
        (directory / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
