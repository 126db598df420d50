"""The audio half of a prompt: decoded clips through the networks that encode them.

A pure function of clips, phones and weights; knows nothing of caches, files or requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from voxswap_server.audio.decode import Decoded
from voxswap_server.engine.voice import PromptAudio
from voxswap_server.nn.decoder import Decoder
from voxswap_server.nn.reference import Network, ReferenceFeatures, encode_reference


@dataclass(frozen=True, slots=True)
class Encoders:
    """The shared networks that a version needs for a prompt."""

    content: Network
    speaker_vector: Network | None = None


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
    main, *others = clips
    spec = decoder.spec

    def features(clip: Decoded, content: Network | None) -> ReferenceFeatures:
        return encode_reference(
            clip.samples, clip.rate_hz, spec, content=content, speaker_vector=encoders.speaker_vector
        )

    reference = features(main, encoders.content)
    if reference.content is None:
        raise ValueError("the main reference has no content features")
    references = [reference]
    if spec.auxiliary_references:
        references += [features(clip, None) for clip in others]
    tokens = decoder.prompt_tokens(reference.content)
    return PromptAudio(tokens, decoder.conditioning(references, tokens, phones))
