"""The flow-matching decoder of v3 and v4 (upstream models.SynthesizerTrnV3 and CFM).

Top-down: config, network, the Decoder of the engine. Knows nothing of text, of audio files or of T2S; the vocoder is
given. Tensors whose names begin with "reference." are needed only to encode a prompt.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_server.errors import RequestError
from voxswap_server.nn.adopt import adopt, parse_config
from voxswap_server.nn.condition import ConditionConfig, ConditionEncoder
from voxswap_server.nn.decoder import DEFAULT_STEPS, Conditioning, FlowPrompt
from voxswap_server.nn.dit import Dit, DitConfig, Modulation
from voxswap_server.nn.mel_style import StyleConfig
from voxswap_server.nn.noise import NoiseSource
from voxswap_server.nn.prior import FRAMES_PER_TOKEN, PriorConfig, PriorEncoder
from voxswap_server.nn.reference import ReferenceFeatures, unscale_mel
from voxswap_server.nn.specs import FlowSpec, VersionSpec, spec_of
from voxswap_server.nn.token_side import ReferenceSide, TokenSide
from voxswap_server.nn.vocoder import VocodedStream, Vocoder


@dataclass(frozen=True, slots=True)
class CfmConfig:
    version: str
    tokens: int
    """Entries of the codebook."""
    content_width: int
    style: StyleConfig
    prior: PriorConfig
    condition: ConditionConfig
    dit: DitConfig

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        return parse_config(cls, config)


class Cfm(TokenSide):
    """Implements `decoder.Decoder`."""

    def __init__(self, config: CfmConfig, vocoder: Vocoder | None = None) -> None:
        """Without a vocoder it encodes prompts, but makes no samples."""
        super().__init__()
        self.config = config
        self.spec: VersionSpec = spec_of(config.version)
        if self.spec.flow is None:
            raise ValueError(f"{config.version} is not decoded by flow matching")
        self.layout: FlowSpec = self.spec.flow
        self._vocoder = vocoder
        self.codebook = nn.Parameter(torch.empty(config.tokens, config.content_width))
        self.prior = PriorEncoder(config.prior)
        self.condition = ConditionEncoder(config.condition)
        self.dit = Dit(config.dit)
        self.reference = ReferenceSide(config.content_width, config.style)

    @classmethod
    def from_tensors(
        cls,
        config: CfmConfig,
        tensors: Mapping[str, Tensor],
        *,
        vocoder: Vocoder | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Adopts stored tensors (see `adopt`); of a LoRA, the base's and its own over them."""
        return adopt(lambda: cls(config, vocoder), tensors, dtype=dtype, device=device)

    @property
    def vocoder(self) -> Vocoder:
        """What makes samples of mel frames.

        Raises:
            ValueError: none was given.
        """
        if self._vocoder is None:
            raise ValueError(f"{self.spec.version} speaks through a vocoder, and none was given")
        return self._vocoder

    # The reference

    def speaker(self, spectrum: Tensor) -> Tensor:
        """Spectrum (1, bins, F) -> (1, gin, 1)."""
        return self.reference.style(spectrum.to(self.codebook))

    def conditioning(
        self,
        references: Sequence[ReferenceFeatures],
        prompt_tokens: Tensor | None = None,
        prompt_phones: Tensor | None = None,
    ) -> Conditioning:
        """As `Decoder.conditioning`; auxiliary references are ignored."""
        if prompt_tokens is None or prompt_phones is None or not prompt_phones.numel():
            raise RequestError(f"version {self.spec.version} needs the transcript of the reference audio")
        mel = references[0].mel
        if mel is None:
            raise ValueError("the reference was encoded without its mel")
        speaker = self.speaker(references[0].spectrum)
        features = self.features(prompt_tokens, prompt_phones, speaker)
        return Conditioning(speaker, self.prompt(mel, features))

    def prompt(self, mel: Tensor, features: Tensor) -> FlowPrompt:
        """The same frames of both: as many as both have, of those the last that fit."""
        frames = min(mel.shape[-1], features.shape[-1])
        first = max(0, frames - self.layout.prompt_frames)
        return FlowPrompt(mel[..., first:frames].to(self.codebook), features[..., first:frames])

    # The utterance

    def features(self, tokens: Tensor, phones: Tensor, speaker: Tensor, speed: float = 1.0) -> Tensor:
        """Tokens (T,), phones (P,), speaker (1, gin, 1) -> condition (1, C, frames)."""
        device = self.codebook.device
        hidden = self.prior.hidden(self.codebook[tokens.to(device)][None], phones.to(device)[None], speaker, speed)
        told = float(self.layout.told_frames_per_token * len(tokens))
        frames = int(told) if speed == 1 else int(told / speed) + 1
        return self.condition(hidden, speaker, self.layout.frames_per_latent, frames)

    def integrate(
        self, condition: Tensor, prompt_mel: Tensor, noise: Tensor, modulation: Modulation
    ) -> Generator[None, None, Tensor]:
        """Euler's method from noise to mel; yields after each step but the last.

        Args:
            condition: (B, C, F), the prompt's frames first.
            prompt_mel: (1, bands, at most F).
            noise: (B, bands, F), the state at time 0.
            modulation: of the network, for as many steps as there shall be.

        Returns:
            (B, bands, what is left of F behind the prompt)
        """
        text = self.dit.text(condition.transpose(1, 2))
        known = prompt_mel.shape[-1]
        prompt = F.pad(prompt_mel, (0, condition.shape[-1] - known)).transpose(1, 2).expand(len(condition), -1, -1)
        around = self.dit.surroundings(text, prompt, known)
        x = noise[..., known:].to(condition).transpose(1, 2)
        for step in range(modulation.steps):
            if step:
                yield
            x = x + self.dit(x, around, modulation, step) / modulation.steps
        return x.transpose(1, 2)

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
        """As `Decoder.synthesize`: every step of the integration is a step of the iterator."""
        features = self.features(tokens, phones, conditioning.speaker.to(self.codebook), speed)
        frames_per_token = FRAMES_PER_TOKEN * self.layout.frames_per_latent
        sizes = [max(1, int(frames_per_token * size)) for size in piece_tokens]
        speech = VocodedStream(self.vocoder, features.shape[-1], sizes)
        for mel in self.mels(features, self._prompt_of(conditioning), noise, steps):
            if mel is None:
                yield features.new_empty(0, dtype=torch.float32)
            else:
                yield from speech.push(unscale_mel(mel))

    def stream(
        self,
        phones: Tensor,  # noqa: ARG002  (the engine treats every decoder alike)
        conditioning: Conditioning,  # noqa: ARG002
        noise: NoiseSource,  # noqa: ARG002
        *,
        speed: float = 1.0,  # noqa: ARG002
    ) -> None:
        """As `Decoder.stream`: this decoder streams by its own chunks."""
        return

    def mels(self, features: Tensor, prompt: FlowPrompt, noise: NoiseSource, steps: int) -> Iterator[Tensor | None]:
        """Mel (1, bands, F) of chunk after chunk, each prompted by the one before it; None after every other step."""
        prompt_frames = prompt.mel.shape[-1]
        size = self.layout.chunk_frames - prompt_frames
        modulation = self.dit.modulations(steps)
        for call, first in enumerate(range(0, features.shape[-1], size)):
            chunk = features[..., first : first + size]
            condition = torch.cat((prompt.features, chunk), -1)
            start = noise.cfm(call, (1, self.config.dit.bands, condition.shape[-1]))
            mel = yield from self.integrate(condition, prompt.mel, start, modulation)
            yield mel
            prompt = FlowPrompt(mel[..., -prompt_frames:], chunk[..., -prompt_frames:])

    def _prompt_of(self, conditioning: Conditioning) -> FlowPrompt:
        if conditioning.prompt is None:
            raise ValueError("the conditioning is not of a flow-matching decoder")
        return FlowPrompt(conditioning.prompt.mel.to(self.codebook), conditioning.prompt.features.to(self.codebook))
