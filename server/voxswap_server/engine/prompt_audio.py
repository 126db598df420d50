"""The audio half of a prompt, piece by piece: what each piece is made of, and how.

Pure functions of clips, phones and weights; knows nothing of caches, files or requests. Every tensor is contiguous, so
that one that was kept and one that was just made are the same to whatever reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from voxswap_server.audio.decode import Decoded
from voxswap_server.engine.voice import PromptAudio
from voxswap_server.nn.decoder import Conditioning, Decoder, FlowPrompt
from voxswap_server.nn.reference import (
    Network,
    ReferenceFeatures,
    content_wave,
    log_mel,
    mix_down,
    require_timbre,
    scale_mel,
    speaker_wave,
    spectrum,
    timbre_wave,
)
from voxswap_server.nn.specs import MelSpec


@dataclass(frozen=True, slots=True)
class Encoders:
    """The shared networks that a version needs for a prompt."""

    content: Network
    speaker_vector: Network | None = None


class Reference:
    """One decoded clip, as the networks want it. Every method may raise `BadReferenceAudio`."""

    def __init__(self, clip: Decoded) -> None:
        self._clip = clip

    def tokens(self, decoder: Decoder, content: Network) -> Tensor:
        """(Y,) long; only of a clip that keeps the rule of 3 to 10 s."""
        features = content(content_wave(self._mono, self._clip.rate_hz))
        return decoder.prompt_tokens(features).contiguous()

    def spectrum(self) -> Tensor:
        """Its shape is (1, 1025, F)."""
        return spectrum(self._timbre).contiguous()

    def speaker_vector(self, network: Network) -> Tensor:
        """Its shape is (1, 20480)."""
        return network(speaker_wave(self._timbre)).contiguous()

    def mel(self, spec: MelSpec) -> Tensor:
        """(1, bands, F), scaled to -1..1."""
        return scale_mel(log_mel(self._mono, self._clip.rate_hz, spec)).contiguous()

    @cached_property
    def _mono(self) -> NDArray[np.float32]:
        return mix_down(self._clip.samples)

    @cached_property
    def _timbre(self) -> Tensor:
        require_timbre(self._mono, self._clip.rate_hz)
        return timbre_wave(self._mono, self._clip.rate_hz)


def encode_conditioning(
    decoder: Decoder, references: Sequence[ReferenceFeatures], tokens: Tensor, phones: Tensor
) -> Conditioning:
    """As `Decoder.conditioning`."""
    made = decoder.conditioning(references, tokens, phones)
    prompt = made.prompt and FlowPrompt(made.prompt.mel.contiguous(), made.prompt.features.contiguous())
    return Conditioning(made.speaker.contiguous(), prompt)


def encode_prompt_audio(decoder: Decoder, clips: Sequence[Decoded], phones: Tensor, encoders: Encoders) -> PromptAudio:
    """Encodes the main reference and, where the version mixes them in, the auxiliary ones.

    Args:
        decoder: of the voice; its weights decide the result.
        clips: the main reference first.
        phones: (P,) ids of the transcript; flow-matching decoders read them.
        encoders: shared networks.

    Raises:
        BadReferenceAudio: a clip breaks a rule of its length.
    """
    spec = decoder.spec
    if spec.speaker_vector and encoders.speaker_vector is None:
        raise ValueError(f"{spec.version} needs a speaker vector network")

    def features(reference: Reference) -> ReferenceFeatures:
        network = encoders.speaker_vector if spec.speaker_vector else None
        return ReferenceFeatures(
            reference.spectrum(),
            speaker_vector=reference.speaker_vector(network) if network else None,
            mel=reference.mel(spec.flow.mel) if spec.flow else None,
        )

    references = [Reference(clip) for clip in (clips if spec.auxiliary_references else clips[:1])]
    tokens = references[0].tokens(decoder, encoders.content)
    conditioning = encode_conditioning(decoder, [features(reference) for reference in references], tokens, phones)
    return PromptAudio(tokens, conditioning)
