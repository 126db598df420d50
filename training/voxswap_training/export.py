"""Stage `export`: trained networks as the files that upstream's trainers write.

`t2s.ckpt` and `sovits.pth` are zips of torch.save with fp16 tensors under upstream's names, weight norm included, so
the ordinary importer reads them; `content/` is a directory in the layout of HuBERT. Knows nothing of the store.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor

from voxswap_training.sovits import TrainableSovits
from voxswap_training.t2s import TrainableT2S

_NORMED: Final = (".in_layers.", ".res_skip_layers.", ".cond_layer", "dec.ups.", "dec.resblocks.")
"""What upstream keeps under weight norm."""
_CODEBOOK: Final = "quantizer.vq.layers.0._codebook.embed"


def write_t2s(network: TrainableT2S, file: Path, info: str) -> None:
    """The `.ckpt`."""
    weight = {f"model.{name}": _half(name, tensor) for name, tensor in network.state_dict().items()}
    torch.save({"weight": weight, "config": network.shape.upstream(), "info": info}, file)


def write_sovits(network: TrainableSovits, projection: tuple[Tensor, Tensor], file: Path, info: str) -> None:
    """The `.pth`.

    Args:
        network: the decoder.
        projection: weight and bias of `ssl_proj` (stage `content`).
        file: to write.
        info: what the checkpoint says of itself.
    """
    weight = weight_normed(network.state_dict())
    weight["ssl_proj.weight"], weight["ssl_proj.bias"] = projection
    weight[_CODEBOOK] = network.codebook
    halves = {name: _half(name, tensor) for name, tensor in weight.items()}
    torch.save({"weight": halves, "config": network.shape.upstream(), "info": info}, file)


def write_content(state: Mapping[str, Tensor], config: str, folder: Path) -> None:
    """The content encoder: `config.json` and `model.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(config, "utf-8")
    save_file(
        {name: _half(name, tensor) for name, tensor in state.items()}, folder / "model.safetensors", {"format": "pt"}
    )


def weight_normed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights as lengths and directions where upstream has them so; norms are over all axes but the first."""
    normed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.endswith(".weight") and any(part in f".{name}" or name.startswith(part) for part in _NORMED):
            stem = name.removesuffix(".weight")
            axes = tuple(range(1, tensor.ndim))
            length = torch.linalg.vector_norm(tensor, dim=axes, keepdim=True)
            normed[f"{stem}.weight_g"] = length
            normed[f"{stem}.weight_v"] = torch.where(length == 0, 1.0, tensor)  # nothing needs a direction too
        else:
            normed[name] = tensor
    return normed


def _half(name: str, tensor: Tensor) -> Tensor:
    half = tensor.detach().cpu().half().contiguous()
    if not torch.isfinite(half).all():
        raise ValueError(f"{name} does not fit half precision: its largest value is {float(tensor.abs().max())}")
    return half
