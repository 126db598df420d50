"""A voice in memory: the immutable bundle that a lease gives out.

Knows nothing of how it was loaded or when it will go. Nothing in it changes after loading; whatever a request changes
lives in that request.
"""

from dataclasses import dataclass

from torch import Tensor

from voxswap_server.domain import Prompt
from voxswap_server.nn.decoder import Conditioning, Decoder
from voxswap_server.nn.specs import VersionSpec
from voxswap_server.nn.t2s_backends import TokenModel
from voxswap_store.assets import content_encoder
from voxswap_store.manifest import VoiceManifest


@dataclass(frozen=True, slots=True)
class PromptAudio:
    """The audio half of an encoded prompt."""

    tokens: Tensor
    """(Y,) long"""
    conditioning: Conditioning

    @property
    def nbytes(self) -> int:
        return self.tokens.nbytes + self.conditioning.nbytes


@dataclass(frozen=True, slots=True)
class Voice:
    """T2S, decoder and what the manifest says of them."""

    manifest: VoiceManifest
    spec: VersionSpec
    t2s: TokenModel
    t2s_key: str
    """Content address of the T2S weights: rows of equal keys share a step."""
    decoder: Decoder
    decoder_key: str
    """Content address of the decoder weights: conditioning is cached under it."""
    prompt: Prompt | None
    """The voice's own reference audio; None where the store has none."""
    stored_prompt: PromptAudio | None
    """The audio half of it, encoded when the voice was imported; None: it is encoded at first use."""

    @property
    def content_encoder(self) -> str:
        """Name of the shared network through which it hears a reference.

        Raises:
            RequestError: there is none of the width that it was trained on.
        """
        return content_encoder(self.decoder.content_width)
