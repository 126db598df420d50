"""A seeded speaker encoder, tiny, in the layout of SpeechBrain's `spkrec-ecapa-voxceleb`.

Knows nothing of voices.
"""

from pathlib import Path
from typing import Any, Final

import torch

from voxswap_server.demo.tiny_weights import Weights

BANDS: Final = 80
SHAPE: Final[dict[str, Any]] = {
    "channels": [16, 16, 16, 48],
    "kernel_sizes": [5, 3, 3, 1],
    "dilations": [1, 2, 3, 1],
    "attention_channels": 8,
    "res2net_scale": 4,
    "se_channels": 8,
    "lin_neurons": 192,
}
HYPERPARAMETERS: Final = """\
# A seeded speaker encoder that knows nobody.
n_mels: {bands}

compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>

mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False

embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
{shape}

mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
    std_norm: False

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
"""


def write_ecapa(directory: Path, seed: int) -> None:
    """Writes `hyperparams.yaml` and `embedding_model.ckpt`."""
    directory.mkdir(parents=True, exist_ok=True)
    shape = "\n".join(f"    {name}: {value}" for name, value in SHAPE.items())
    (directory / "hyperparams.yaml").write_text(HYPERPARAMETERS.format(bands=BANDS, shape=shape), encoding="utf-8")
    torch.save(ecapa_state(seed), directory / "embedding_model.ckpt")


def ecapa_state(seed: int) -> dict[str, torch.Tensor]:
    """The state dict of SpeechBrain's ECAPA_TDNN of this `SHAPE`."""
    state = _State(seed)
    *channels, wide = SHAPE["channels"]
    scale, squeezed, attention = SHAPE["res2net_scale"], SHAPE["se_channels"], SHAPE["attention_channels"]
    state.tdnn("blocks.0", channels[0], BANDS, SHAPE["kernel_sizes"][0])
    for number in range(1, len(channels)):
        name, width, kernel = f"blocks.{number}", channels[number], SHAPE["kernel_sizes"][number]
        state.tdnn(f"{name}.tdnn1", width, channels[number - 1], 1)
        for branch in range(scale - 1):
            state.tdnn(f"{name}.res2net_block.blocks.{branch}", width // scale, width // scale, kernel)
        state.tdnn(f"{name}.tdnn2", width, width, 1)
        state.layer(f"{name}.se_block.conv1.conv", squeezed, width, 1)
        state.layer(f"{name}.se_block.conv2.conv", width, squeezed, 1)
    state.tdnn("mfa", wide, sum(channels[1:]), SHAPE["kernel_sizes"][-1])
    state.tdnn("asp.tdnn", attention, 3 * wide, 1)
    state.layer("asp.conv.conv", wide, attention, 1)
    state.batch_norm("asp_bn.norm", 2 * wide)
    state.layer("fc.conv", SHAPE["lin_neurons"], 2 * wide, 1)
    return state.tensors


class _State(Weights):
    def tdnn(self, name: str, out: int, wide: int, kernel: int) -> None:
        self.layer(f"{name}.conv.conv", out, wide, kernel)
        self.batch_norm(f"{name}.norm.norm", out)

    def batch_norm(self, name: str, width: int) -> None:
        self.norm(f"{name}.", width)
        self.add(f"{name}.running_mean", width, scale=0.1)
        self.add(f"{name}.running_var", width, scale=0.2, centre=1.0)
        self.tensors[f"{name}.num_batches_tracked"] = torch.tensor(1)
