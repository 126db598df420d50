"""How wide the decoder is, in upstream's words. Knows nothing of networks."""

from dataclasses import asdict, dataclass
from typing import Any

from voxswap_training.channels import CHANNELS


@dataclass(frozen=True, slots=True)
class SovitsShape:
    content_width: int = 256
    tokens: int = 1024
    phones: int = 732
    hidden_channels: int = 192
    filter_channels: int = 256
    n_heads: int = 2
    n_layers: int = 4
    """Of the phones' encoder; half as many before they are heard, and after."""
    kernel_size: int = 3
    inter_channels: int = CHANNELS
    """Of the generator's input."""
    gin_channels: int = 256
    """Also the width of the MRTE."""
    style_width: int = 128
    couplings: int = 4
    flow_width: int = 128
    flow_layers: int = 3
    upsample_initial_channel: int = 256
    upsample_rates: tuple[int, ...] = (10, 8, 8)
    upsample_kernel_sizes: tuple[int, ...] = (20, 16, 16)
    resblock_kernel_sizes: tuple[int, ...] = (3,)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 9),)

    def upstream(self) -> dict[str, Any]:
        """The `config` of a checkpoint."""
        model = asdict(self)
        for ours in ("content_width", "tokens", "phones", "style_width", "couplings", "flow_width", "flow_layers"):
            del model[ours]
        model |= {name: [list(x) if isinstance(x, tuple) else x for x in value] for name, value in model.items()
                  if isinstance(value, tuple)}  # fmt: skip
        model |= {"resblock": "1", "p_dropout": 0.0, "use_spectral_norm": False, "semantic_frame_rate": "25hz"}
        data = {
            "filter_length": 2048,
            "sampling_rate": 32_000,
            "hop_length": 640,
            "win_length": 2048,
            "n_speakers": 300,
        }
        return {"data": data, "train": {"segment_size": 20_480}, "model": model | {"version": "v2"}}
