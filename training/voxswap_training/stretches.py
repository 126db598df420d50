"""What the generator learns from: stretches of frames, and the sound that they stand for.

True frames are measured on the sound; said ones are what the acoustic half makes of tokens, phones and a reference, at
the true pitch and the true time: otherwise no sound would match the truth. Their phase is the true one too, but as far
off as one that the couplings make. Knows nothing of losses.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxswap_training.channels import SPOKEN_CHANNELS
from voxswap_training.loop import autocast
from voxswap_training.mel_frames import MelFrames, pitch_of, with_pitch
from voxswap_training.oscillator import Misses, missed
from voxswap_training.pack import Lines
from voxswap_training.phases import Phases
from voxswap_training.pitch import Pitch
from voxswap_training.ragged import Rows
from voxswap_training.sound import Sound
from voxswap_training.source import spoken_of, with_source
from voxswap_training.train_acoustic import Acoustic
from voxswap_training.utterances import FRAME_SAMPLES, Utterances

EDGE_FRAMES: Final = 3
"""Of a stretch, on either side, where the generator lacks context: made, not judged."""
_SAID_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Stretch:
    frames: Tensor
    """(B, CHANNELS, frames + 2 EDGE_FRAMES), with the phase of the sound itself."""
    speaker: Tensor
    """(B, gin, 1)"""
    samples: Tensor
    """(B, frames * FRAME_SAMPLES): what is to be made of the frames between the edges."""


class Stretches(Protocol):
    """Draws stretches of utterances."""

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> Stretch: ...


class TrueStretches:
    """Frames as they are, of any row and nobody in particular; noise on them teaches the generator to forgive."""

    def __init__(
        self,
        rows: NDArray[np.int64],
        sound: Sound,
        pitch: Pitch,
        phases: Phases,
        mel: MelFrames,
        *,
        gin: int,
        noise: float,
    ) -> None:
        """`noise`: the largest standard deviation of what is added to spectra, on their own scale."""
        self._rows, self._sound, self._pitch, self._phases, self._mel = rows, sound, pitch, phases, mel
        self._gin, self._noise = gin, noise

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> Stretch:
        device = self._mel.filter.window.device
        rows = torch.from_numpy(rng.choice(self._rows, count))
        whole = frames + 2 * EDGE_FRAMES
        room = (self._sound.counts[rows] // FRAME_SAMPLES - whole).clamp_min(0).numpy()
        first = torch.from_numpy(rng.integers(0, room + 1))
        samples = self._sound.rows(rows, first * FRAME_SAMPLES, whole * FRAME_SAMPLES).to(device)
        with torch.no_grad():
            made = self._mel(samples, self._pitch.rows(rows, first, whole).to(device))
            noise = torch.randn_like(made) * self._noise * torch.rand(count, 1, 1, device=device)
            made = with_pitch(made + noise, pitch_of(made))
            made = with_source(made, self._phases.rows(rows, first, whole).to(device))
        edge = EDGE_FRAMES * FRAME_SAMPLES
        nobody = torch.zeros(count, self._gin, 1, device=device)
        return Stretch(made, nobody, samples[:, edge:-edge])


class SaidStretches:
    """Frames as the acoustic half says them, each utterance once."""

    def __init__(
        self,
        acoustic: Acoustic,
        utterances: Utterances,
        lines: Lines,
        sound: Sound,
        phases: Phases,
        misses: Misses,
        *,
        corrupted_share: float,
    ) -> None:
        """Says all utterances: about a minute of one core for an hour of speech."""
        self._sound, self._phases, self._misses = sound, phases, misses
        self._rows, self._odds = utterances.rows, utterances.odds
        self._device = next(acoustic.parameters()).device
        self._said = Rows.of(torch.from_numpy(2 * lines.tokens.lengths[self._rows]))
        shape = acoustic.decoder.shape
        self._frames = torch.empty(int(self._said.ends[-1]), SPOKEN_CHANNELS, dtype=torch.half)
        self._speakers = torch.empty(len(self._rows), shape.gin_channels, 1)
        for places in np.array_split(np.argsort(self._said.counts.numpy()), -(-len(self._rows) // _SAID_AT_ONCE)):
            batch = utterances.batch(self._rows[places])
            with torch.no_grad(), autocast(self._device):
                z, mask, speaker = acoustic(batch, corrupted_share=corrupted_share)
            said = acoustic.in_time(spoken_of(z).float(), mask, batch).half().cpu()
            self._speakers[places] = speaker.float().cpu()
            for place, row in zip(places, said, strict=True):
                count, end = self._said.counts[place], self._said.ends[place]
                self._frames[end - count : end] = row[:, :count].T

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> Stretch:
        places = torch.from_numpy(rng.choice(len(self._rows), count, p=self._odds))
        room = (self._said.counts[places] - frames).clamp_min(0).numpy()
        first = torch.from_numpy(rng.integers(0, room + 1))
        index, inside = self._said.stretches(places, first - EDGE_FRAMES, frames + 2 * EDGE_FRAMES)
        said = (self._frames[index] * inside[..., None]).transpose(1, 2).float()
        rows = torch.from_numpy(self._rows)[places]
        samples = self._sound.rows(rows, first * FRAME_SAMPLES, frames * FRAME_SAMPLES)
        around = (rows, first - EDGE_FRAMES, frames + 2 * EDGE_FRAMES)
        whole = with_source(said, missed(self._phases.rows(*around), self._misses.draw(*around)))
        return Stretch(*(x.to(self._device) for x in (whole, self._speakers[places], samples)))
