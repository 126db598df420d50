"""From semantic tokens and phones to the distribution of the latent frames (upstream models.TextEncoder, "enc_p").

Knows nothing of the codebook that its content vectors come from, nor of what is made of its answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_server.nn.mrte import Mrte, MrteConfig
from voxswap_server.nn.relative_attention import EncoderConfig, RelativeEncoder

FRAMES_PER_TOKEN = 2
"""Latent frames (50 Hz) for one semantic token."""


@dataclass(frozen=True, slots=True)
class PriorConfig:
    content_width: int
    """Of a codebook vector."""
    phones: int
    """Entries of the symbol table."""
    latent_width: int
    content_encoder: EncoderConfig
    phone_encoder: EncoderConfig
    joint_encoder: EncoderConfig
    mrte: MrteConfig
    speaker_width: int
    projected_speaker: bool
    """The speaker vector is mapped to the width of the MRTE first (v2Pro, v2ProPlus)."""
    statistics: bool = True
    """False: the hidden frames are the answer, there is no mean and no deviation (v3, v4)."""


class PriorEncoder(nn.Module):
    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        width = config.content_encoder.width
        self.content_in = nn.Linear(config.content_width, width)
        self.content_encoder = RelativeEncoder(config.content_encoder)
        self.phone_embedding = nn.Embedding(config.phones, width)
        self.phone_encoder = RelativeEncoder(config.phone_encoder)
        self.speaker_in = nn.Linear(config.speaker_width, config.mrte.width) if config.projected_speaker else None
        self.mrte = Mrte(config.mrte)
        self.joint_encoder = RelativeEncoder(config.joint_encoder)
        self.statistics = nn.Linear(width, 2 * config.latent_width) if config.statistics else None

    def hidden(self, content: Tensor, phones: Tensor, speaker: Tensor, speed: float = 1.0) -> Tensor:
        """Frames before the statistics.

        Args:
            content: (B, T, content_width), one codebook vector a token.
            phones: (B, P) ids.
            speaker: (B, speaker_width, 1).
            speed: > 1 is faster: the frames are interpolated to int(2T / speed) + 1 of them; 1 leaves them alone.

        Returns:
            (B, frames, width)
        """
        x = self.joined(content, self.text(phones), speaker)
        if speed != 1:
            x = F.interpolate(x.transpose(1, 2), int(x.shape[1] / speed) + 1, mode="linear").transpose(1, 2)
        return x

    def text(self, phones: Tensor) -> Tensor:
        """The half that does not depend on tokens: ids (B, P) -> (B, P, width)."""
        encoded: Tensor = self.phone_encoder(self.phone_embedding(phones))
        return encoded

    def joined(self, content: Tensor, text: Tensor, speaker: Tensor) -> Tensor:
        """Content (B, T, content_width), what `text` returned, speaker (B, speaker_width, 1) -> (B, 2T, width)."""
        x = self._frames(content)
        speaker = speaker.transpose(1, 2)
        x = self.mrte(x, text, self.speaker_in(speaker) if self.speaker_in else speaker)
        hidden: Tensor = self.joint_encoder(x)
        return hidden

    def joined_beginnings(self, content: Tensor, counts: Sequence[int], text: Tensor, speaker: Tensor) -> list[Tensor]:
        """As `joined` of so many first tokens, for each of `counts`, in one pass: each (B, 2 * count, width)."""
        if list(counts) == [content.shape[1]]:
            return [self.joined(content, text, speaker)]
        lengths, speaker = [FRAMES_PER_TOKEN * count for count in counts], speaker.transpose(1, 2)
        x = self.content_in(content).repeat_interleave(FRAMES_PER_TOKEN, 1)
        x = self.content_encoder(torch.cat([x[:, :length] for length in lengths], 1), lengths)
        x = self.mrte(x, text, self.speaker_in(speaker) if self.speaker_in else speaker)
        return list(self.joint_encoder(x, lengths).split(lengths, 1))

    def attention(self, content: Tensor, phones: Tensor) -> Tensor:
        """Which phones each frame asks: as `hidden` -> (B, 2T, P), each row a distribution."""
        return self.mrte.attention(self._frames(content), self.text(phones))

    def _frames(self, content: Tensor) -> Tensor:
        """(B, T, content_width) -> (B, 2T, width)."""
        # Each token stands for two equal frames; the map before the repetition costs half of the map after it.
        encoded: Tensor = self.content_encoder(self.content_in(content).repeat_interleave(FRAMES_PER_TOKEN, 1))
        return encoded

    def forward(self, content: Tensor, phones: Tensor, speaker: Tensor, speed: float = 1.0) -> tuple[Tensor, Tensor]:
        """As `hidden`; returns mean and logarithm of the deviation, each (B, latent_width, frames)."""
        return self.moments(self.hidden(content, phones, speaker, speed))

    def moments(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden frames (B, frames, width) -> mean and logarithm of the deviation, each (B, latent_width, frames)."""
        if self.statistics is None:
            raise ValueError("this prior has no statistics")
        mean, log_std = self.statistics(hidden).transpose(1, 2).chunk(2, 1)
        return mean, log_std


def stretched(hidden: Tensor, speed: float) -> Tensor:
    """Frames (B, T, width) at another speed, (B, int(T / speed) + 1, width).

    As `PriorEncoder.hidden` does it, except that the step from frame to frame does not depend on how many there are:
    frames that are appended leave the places of those before them alone.
    """
    if speed == 1:
        return hidden
    last = hidden.shape[1] - 1
    frames = torch.arange(int(hidden.shape[1] / speed) + 1, dtype=torch.float64, device=hidden.device)
    places = ((frames + 0.5) * speed - 0.5).clamp(0, last)
    left = places.long()
    share = (places - left).to(hidden)[:, None]
    return torch.lerp(hidden[:, left], hidden[:, (left + 1).clamp(max=last)], share)
