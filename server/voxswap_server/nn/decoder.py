"""What the engine knows of a decoder: six things it can do, the same for every version.

    spec                                                                  -> VersionSpec
    content_width                                                         -> int
    token_weights                                                         -> what prompt_tokens depends on
    prompt_tokens(content)                                                -> (Y,) long
    conditioning(references, prompt_tokens, prompt_phones)                -> Conditioning (frozen, cacheable)
    synthesize(tokens, phones, conditioning, noise, *, speed, steps, piece_tokens) -> Iterator of (samples,) float32
    stream(phones, conditioning, noise, *, speed)                         -> TokenStream, where the version has one

Knows nothing of how either family (VITS, flow matching) does it; `decoders.py` holds the table that loads them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from voxswap_server.nn.noise import NoiseSource
from voxswap_server.nn.reference import ReferenceFeatures
from voxswap_server.nn.specs import VersionSpec

DEFAULT_STEPS = 32
"""Of a flow-matching decoder, as upstream's."""


@dataclass(frozen=True, slots=True)
class FlowPrompt:
    """What a flow-matching decoder continues: the same frames as sound and as condition."""

    mel: Tensor
    """(1, bands, F), scaled to -1..1."""
    features: Tensor
    """(1, width, F)."""


@dataclass(frozen=True, slots=True)
class Conditioning:
    """All that a decoder keeps of a prompt. Depends on the decoder's weights: cache it under their hash."""

    speaker: Tensor
    """(1, speaker_width, 1); upstream's "ge"."""
    prompt: FlowPrompt | None = None

    @property
    def nbytes(self) -> int:
        extra = self.prompt.mel.nbytes + self.prompt.features.nbytes if self.prompt else 0
        return self.speaker.nbytes + extra


class TokenStream(Protocol):
    """An utterance that is spoken while its tokens are still being drawn. Holds the state of that utterance."""

    @property
    def delay_tokens(self) -> int:
        """How many tokens must be known beyond those that are heard, before the end is known."""
        ...

    def push(self, tokens: Tensor, *, final: bool, before: Sequence[int] = ()) -> None:
        """Makes up its mind about as many frames as can now be certain: the smaller part of the work.

        Which numbers of tokens are pushed is part of what is heard; whether one by one or together is not.

        Args:
            tokens: (T,) all tokens so far, at least one.
            final: these are all.
            before: so many first tokens are pushed before, rising.
        """
        ...

    def speak(self, piece_tokens: Sequence[int] = ()) -> Iterator[Tensor]:
        """Yields what is certain and was not said yet, each piece (samples,) float32 in -1..1; exhaust it.

        After which pushes that is, and how it is cut, is no part of what is heard: what is said at once costs less.

        Args:
            piece_tokens: as of `Decoder.synthesize`.
        """
        ...


class Decoder(Protocol):
    """Semantic tokens to a waveform, for one voice. Immutable after loading; every state is an argument."""

    @property
    def spec(self) -> VersionSpec: ...

    @property
    def content_width(self) -> int:
        """Of the features that `prompt_tokens` takes: which content encoder the voice was trained on."""
        ...

    @property
    def token_weights(self) -> Sequence[Tensor]:
        """All weights that `prompt_tokens` reads. Voices that were tuned from one base often have the same."""
        ...

    def prompt_tokens(self, content: Tensor) -> Tensor:
        """Semantic tokens (Y,) of content features (1, content_width, T) of the reference audio."""
        ...

    def conditioning(
        self,
        references: Sequence[ReferenceFeatures],
        prompt_tokens: Tensor | None = None,
        prompt_phones: Tensor | None = None,
    ) -> Conditioning:
        """Encodes the prompt.

        Args:
            references: the main reference, then auxiliary ones, which versions without them ignore.
            prompt_tokens: (Y,) of the main reference; flow-matching decoders need them.
            prompt_phones: (P,) ids of its transcript; likewise.

        Raises:
            RequestError: the version needs a transcript (`spec.no_prompt` is False) and there is none.
        """
        ...

    def attention(self, tokens: Tensor, phones: Tensor) -> Tensor:
        """Which phones each frame (two a token) is about, as the decoder sees it.

        Args:
            tokens: (T,) of an utterance.
            phones: (P,) of it.

        Returns:
            (2T, P) float32, each row a distribution.
        """
        ...

    def synthesize(
        self,
        tokens: Tensor,
        phones: Tensor,
        conditioning: Conditioning,
        noise: NoiseSource,
        *,
        speed: float = 1.0,
        steps: int = DEFAULT_STEPS,
        piece_tokens: Sequence[int] = (),
    ) -> Iterator[Tensor]:
        """Yields consecutive pieces of the utterance's waveform, each (samples,) float32 in -1..1.

        The joined pieces are the same whatever `piece_tokens` is, up to rounding. Each step of the iterator is one
        bounded stretch of work after which a job may be left alone or dropped; a piece may be empty, where a step of
        the work made no samples yet.

        Args:
            tokens: (T,) semantic tokens of this utterance only, the prompt's not included.
            phones: (P,) ids of this utterance only.
            conditioning: of this decoder's weights.
            noise: all randomness.
            speed: > 1 is faster.
            steps: of the flow-matching decoder; others ignore it.
            piece_tokens: how much each piece holds, in tokens' worth of audio (40 ms); the last number repeats. Small
                first pieces are heard early and cost more in all. Empty: one piece. Flow-matching decoders cut each of
                their own chunks so.
        """
        ...

    def stream(
        self, phones: Tensor, conditioning: Conditioning, noise: NoiseSource, *, speed: float = 1.0
    ) -> TokenStream | None:
        """Begins an utterance whose tokens are still being drawn; arguments as of `synthesize`.

        None where the version decodes all tokens of an utterance at once (v3, v4).
        """
        ...
