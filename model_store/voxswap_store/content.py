"""Which content encoder a voice of the store hears references through, told without loading it.

Knows nothing of networks: the width of the codebook, which the header of the decoder tells, is that of the features.
"""

from typing import Final

from voxswap_server.errors import VoiceUnusable
from voxswap_store.assets import content_encoder
from voxswap_store.entries import VoiceEntry
from voxswap_store.safetensors_header import BadHeader, read_header

_CODEBOOK: Final = "codebook"
_USUAL: Final = "hubert"
"""Of a LoRA that keeps its base's codebook: upstream's bases have no other."""


def content_encoder_of(entry: VoiceEntry) -> str:
    """Name of the shared network.

    Raises:
        VoiceUnusable: the decoder's file is damaged.
        RequestError: no encoder has this width.
    """
    try:
        with entry.path(entry.manifest.files.decoder).open("rb") as file:
            header = read_header(file)
    except (OSError, BadHeader) as error:
        raise VoiceUnusable(entry.voice_id, f"{entry.manifest.files.decoder.name} cannot be read") from error
    if _CODEBOOK not in header.tensors:
        return _USUAL
    codebook, _ = header.tensors[_CODEBOOK]
    return content_encoder(codebook.shape[1])
