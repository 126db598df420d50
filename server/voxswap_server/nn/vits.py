"""The SoVITS decoder of v1, v2, v2Pro and v2ProPlus (upstream models.SynthesizerTrn).

Top-down: config, network, the Decoder of the engine. Knows nothing of text, of audio files or of T2S. Tensors whose
names begin with "reference." are needed only to encode a prompt.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_server.nn.adopt import adopt_again, parse_config
from voxswap_server.nn.decoder import DEFAULT_STEPS, Conditioning
from voxswap_server.nn.flow import Flow, FlowConfig
from voxswap_server.nn.frozen import FADE_FRAMES, HOLD_FRAMES, FrozenLatents
from voxswap_server.nn.hifigan import Generator, GeneratorConfig
from voxswap_server.nn.latents import decode_in_pieces
from voxswap_server.nn.mel_style import StyleConfig
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.noise import NoiseSource
from voxswap_server.nn.prior import FRAMES_PER_TOKEN, PriorConfig, PriorEncoder, stretched
from voxswap_server.nn.reference import ReferenceFeatures
from voxswap_server.nn.specs import VersionSpec, spec_of
from voxswap_server.nn.token_side import ReferenceSide, TokenSide

NOISE_SCALE = 0.5
"""Upstream never speaks with another."""
FLOW_AHEAD_FRAMES = 10
"""Of what a stream's flow sees on the right, at most: what lies further away moved no sample by more than rounding in
any network that was measured (docs/STREAMING.md)."""


@dataclass(frozen=True, slots=True)
class VitsConfig:
    version: str
    tokens: int
    """Entries of the codebook."""
    content_width: int
    """Of HuBERT's features and of a codebook vector."""
    style: StyleConfig
    speaker_vector_width: int | None
    """Of ERes2NetV2's vector, where the version takes one."""
    prior: PriorConfig
    flow: FlowConfig
    generator: GeneratorConfig

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        return parse_config(cls, config)


class SpeakerFusion(nn.Module):
    """Adds ERes2NetV2's vector to the style vector (v2Pro, v2ProPlus)."""

    def __init__(self, vector_width: int, width: int) -> None:
        super().__init__()
        self.vector_in = nn.Linear(vector_width, width)
        self.slope = nn.Parameter(torch.empty(width))

    def forward(self, style: Tensor, vector: Tensor) -> Tensor:
        """(1, C, 1) and (1, vector_width) -> (1, C, 1)."""
        return F.prelu(style + self.vector_in(vector).unsqueeze(-1), self.slope)


class FusedReferenceSide(ReferenceSide):
    """With the vector of a speaker, where the version takes one."""

    def __init__(self, config: VitsConfig) -> None:
        super().__init__(config.content_width, config.style)
        self.fusion = (
            SpeakerFusion(config.speaker_vector_width, config.style.out_width)
            if config.speaker_vector_width is not None
            else None
        )


class Vits(TokenSide):
    """Implements `decoder.Decoder`."""

    def __init__(self, config: VitsConfig) -> None:
        super().__init__()
        self.config = config
        self.spec: VersionSpec = spec_of(config.version)
        self.codebook = nn.Parameter(torch.empty(config.tokens, config.content_width))
        self.prior = PriorEncoder(config.prior)
        self.flow = Flow(config.flow)
        self.generator = Generator(config.generator)
        self.reference: FusedReferenceSide = FusedReferenceSide(config)
        self.team: Team | None = None
        """Runs our kernels, where they compute a part of this."""

    @classmethod
    def from_tensors(
        cls,
        config: VitsConfig,
        tensors: Mapping[str, Tensor],
        *,
        dtype: torch.dtype | None = torch.float32,
        device: torch.device | str = "cpu",
        team: Team | None = None,
    ) -> Self:
        """Adopts stored tensors (see `adopt_again`); where no dtype is asked for, the generator may have its own."""
        network = adopt_again(cls, config, tensors, dtype=dtype, device=device)
        if team is not None:
            network.team = team
            network.generator.prepare()
        return network

    # The reference

    def speaker(self, spectra: Sequence[Tensor], speaker_vectors: Sequence[Tensor] | None = None) -> Tensor:
        """Mean over the references of their speaker vectors: (1, gin, 1).

        Args:
            spectra: each (1, bins, F).
            speaker_vectors: each (1, 20480), one a spectrum, where the version takes them.
        """
        fusion = self.reference.fusion
        if (fusion is None) != (speaker_vectors is None):
            raise ValueError(f"{self.spec.version} takes {'no ' if fusion is None else ''}speaker vectors")
        speakers = [self.reference.style(spectrum.to(self.codebook)) for spectrum in spectra]
        if fusion is not None and speaker_vectors is not None:
            pairs = zip(speakers, speaker_vectors, strict=True)
            speakers = [fusion(speaker, vector.to(self.codebook)) for speaker, vector in pairs]
        return torch.stack(speakers).mean(0)

    def conditioning(
        self,
        references: Sequence[ReferenceFeatures],
        prompt_tokens: Tensor | None = None,  # noqa: ARG002  (the engine treats every decoder alike)
        prompt_phones: Tensor | None = None,  # noqa: ARG002
    ) -> Conditioning:
        """As `Decoder.conditioning`; only the sound of the references matters here."""
        vectors = [_vector(reference) for reference in references] if self.spec.speaker_vector else None
        return Conditioning(self.speaker([reference.spectrum for reference in references], vectors))

    # The utterance

    def encode(self, tokens: Tensor, phones: Tensor, speaker: Tensor, speed: float = 1.0) -> tuple[Tensor, Tensor]:
        """Tokens (T,), phones (P,), speaker (1, gin, 1) -> mean and log deviation, each (1, C, 2T or by speed)."""
        device = self.codebook.device
        return self.prior(self.codebook[tokens.to(device)][None], phones.to(device)[None], speaker, speed)

    def latent(self, mean: Tensor, log_std: Tensor, noise: Tensor) -> Tensor:
        """A sample of the prior, all (1, C, F)."""
        return mean + noise.to(mean) * log_std.exp() * NOISE_SCALE

    @property
    def flow_reach(self) -> int:
        """Latent frames on either side that a frame behind the flow depends on."""
        return self.config.flow.reach_frames

    @property
    def generator_reach(self) -> int:
        """Frames behind the flow on either side that the samples of a frame depend on."""
        return self.config.generator.reach_frames

    @property
    def samples_per_frame(self) -> int:
        return self.config.generator.samples_per_frame

    def generate(self, frames: Tensor, speaker: Tensor, begin: int = 0, end: int | None = None) -> Tensor:
        """Frames behind the flow (1, C, F) -> (samples,) float32 of those from `begin` to `end`."""
        samples: Tensor = self.generator(frames, speaker, self.team, begin=begin, end=end)
        return samples[0].float()

    def decode(self, mean: Tensor, log_std: Tensor, noise: Tensor, speaker: Tensor) -> Tensor:
        """Mean, log deviation and noise (1, C, F) -> (samples,) float32."""
        return self.generate(self.flow(self.latent(mean, log_std, noise), speaker), speaker)

    def synthesize(
        self,
        tokens: Tensor,
        phones: Tensor,
        conditioning: Conditioning,
        noise: NoiseSource,
        *,
        speed: float = 1.0,
        steps: int = DEFAULT_STEPS,  # noqa: ARG002
        piece_tokens: Sequence[int] = (),
    ) -> Iterator[Tensor]:
        """As `Decoder.synthesize`."""
        speaker = conditioning.speaker.to(self.codebook)
        mean, log_std = self.encode(tokens, phones, speaker, speed)
        frames = self.latent(mean, log_std, noise.latent(mean.shape[1], 0, mean.shape[2]))
        yield from decode_in_pieces(self, frames, speaker, [FRAMES_PER_TOKEN * size for size in piece_tokens])

    def stream(
        self, phones: Tensor, conditioning: Conditioning, noise: NoiseSource, *, speed: float = 1.0
    ) -> "VitsStream":
        """As `Decoder.stream`."""
        return VitsStream(self, phones, conditioning.speaker.to(self.codebook), noise, speed=speed)


class VitsStream:
    """Implements `decoder.TokenStream`: every push runs the prior again, and freezes what it says of new frames.

    Args:
        decoder: speaks.
        phones: (P,) ids of the utterance; their half of the prior runs once, at the first push.
        speaker: (1, gin, 1)
        noise: of the latent frames.
        speed: > 1 is faster.
        flow_ahead_frames: as of `FrozenLatents`. None is half of the flow's reach, or `FLOW_AHEAD_FRAMES`.
    """

    def __init__(
        self,
        decoder: Vits,
        phones: Tensor,
        speaker: Tensor,
        noise: NoiseSource,
        *,
        speed: float = 1.0,
        flow_ahead_frames: int | None = None,
    ) -> None:
        self._decoder = decoder
        self._phones = phones
        self._speaker = speaker
        self._noise = noise
        self._speed = speed
        self._text: Tensor | None = None
        # Slow speech has more frames a token; what is held back is counted in tokens.
        hold = max(FADE_FRAMES, ceil(HOLD_FRAMES / speed))
        usual = min(decoder.flow_reach // 2, FLOW_AHEAD_FRAMES)
        ahead = usual if flow_ahead_frames is None else flow_ahead_frames
        self.latents = FrozenLatents(decoder, speaker, hold_frames=hold, flow_ahead_frames=ahead)

    @property
    def delay_tokens(self) -> int:
        return ceil(self.latents.delay_frames * self._speed / FRAMES_PER_TOKEN)

    def push(self, tokens: Tensor, *, final: bool, before: Sequence[int] = ()) -> None:
        """As `TokenStream.push`."""
        prior, codebook = self._decoder.prior, self._decoder.codebook
        if self._text is None:
            self._text = prior.text(self._phones.to(codebook.device)[None])
        content, counts = codebook[tokens.to(codebook.device)][None], [*before, tokens.numel()]
        runs = prior.joined_beginnings(content, counts, self._text, self._speaker)
        for number, hidden in enumerate(runs, 1):
            self._freeze(hidden, final=final and number == len(runs))

    def _freeze(self, hidden: Tensor, *, final: bool) -> None:
        """What a run of the prior says, (1, F, width)."""
        first = self.latents.frozen
        mean, log_std = self._decoder.prior.moments(stretched(hidden, self._speed)[:, first:])
        noise = self._noise.latent(mean.shape[1], first, mean.shape[2])
        self.latents.freeze(self._decoder.latent(mean, log_std, noise), final=final)

    def speak(self, piece_tokens: Sequence[int] = ()) -> Iterator[Tensor]:
        """As `TokenStream.speak`."""
        return self.latents.speak([max(1, int(FRAMES_PER_TOKEN * size / self._speed)) for size in piece_tokens])


def _vector(reference: ReferenceFeatures) -> Tensor:
    if reference.speaker_vector is None:
        raise ValueError("the reference was encoded without its speaker vector")
    return reference.speaker_vector
