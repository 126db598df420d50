"""The built-in voices straight from their checkpoints, without a server: importer, front-end, networks.

Reads a folder of stage `export`: `t2s.ckpt`, `sovits.pth`, `content/`, `voices.toml` and reference clips. Knows
nothing of how speech is judged.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxswap_server.nn.decoder import Conditioning
from voxswap_server.nn.hubert import ContentEncoder
from voxswap_server.nn.noise import PhiloxNoise
from voxswap_server.nn.reference import encode_reference
from voxswap_server.nn.sampling import SamplerState, Sampling, draw, token_limit
from voxswap_server.nn.specs import spec_of
from voxswap_server.nn.t2s import T2S, PrefillRow, T2SConfig
from voxswap_server.nn.t2s_backends import TokenModel
from voxswap_server.nn.vits import Vits, VitsConfig
from voxswap_server.text.frontend import TextFrontend
from voxswap_store.built_in import read_table
from voxswap_store.checkpoint import read_checkpoint
from voxswap_store.layout_sovits import convert_sovits
from voxswap_store.layout_t2s import convert_t2s

VERSION = "v2"

LoadT2S = Callable[[T2SConfig, Mapping[str, Tensor]], TokenModel]
LoadDecoder = Callable[[VitsConfig, Mapping[str, Tensor]], Vits]


@dataclass(frozen=True, slots=True)
class Reference:
    """Who is to be heard."""

    phones: Tensor
    """(P,) of the transcript."""
    tokens: Tensor
    """(Y,)"""
    conditioning: Conditioning


@dataclass(frozen=True, slots=True)
class Spoken:
    samples: NDArray[np.float32]
    """(n,)"""
    rate_hz: int
    t2s_s: float
    decoder_s: float
    tokens: int

    @property
    def audio_s(self) -> float:
        return len(self.samples) / self.rate_hz


class BuiltIn:
    """The voices, their halves computed in a way of one's choice."""

    def __init__(
        self, folder: Path, t2s_of: LoadT2S = T2S.from_tensors, decoder_of: LoadDecoder = Vits.from_tensors
    ) -> None:
        t2s, sovits = read_checkpoint(folder / "t2s.ckpt"), read_checkpoint(folder / "sovits.pth")
        text_half = convert_t2s(t2s.weight, t2s.config)
        sound_half = convert_sovits(sovits.weight, sovits.config, VERSION)
        self._t2s = t2s_of(T2SConfig.from_dict(text_half.config), text_half.tensors)
        self._decoder = decoder_of(VitsConfig.from_dict(sound_half.config), sound_half.tensors)
        self._content = ContentEncoder.from_directory(folder / "content")
        self._frontend = TextFrontend()
        table = read_table(folder)
        drawn = ("top_k", "top_p", "temperature", "repetition_penalty")
        self._sampling = Sampling(**{name: getattr(table.sampling, name) for name in drawn})
        self.voices: dict[str, tuple[Path, str]] = {
            voice.id: (folder / "references" / voice.reference, voice.transcript) for voice in table.voices
        }
        self._prompts = {voice.id: torch.tensor(voice.prompt_tokens) for voice in table.voices if voice.prompt_tokens}

    def voice(self, voice_id: str) -> Reference:
        """As the importer stores it."""
        return self.reference(*self.voices[voice_id], self._prompts.get(voice_id))

    @torch.inference_mode()
    def reference(self, clip: Path, transcript: str, tokens: Tensor | None = None) -> Reference:
        """A clip as reference; `tokens`: what is said in it, where that is known."""
        samples, rate_hz = soundfile.read(clip, dtype="float32", always_2d=True)
        features = encode_reference(samples, rate_hz, spec_of(VERSION), content=self._content.features)
        if features.content is None:
            raise ValueError(f"{clip.name} was encoded without its content")
        if tokens is None:
            tokens = self._decoder.prompt_tokens(features.content)
        phones = torch.tensor(self._frontend.prompt(transcript, "en", VERSION).phones)
        return Reference(phones, tokens, self._decoder.conditioning([features], tokens, phones))

    @torch.inference_mode()
    def speak(self, text: str, reference: Reference, seed: int) -> Spoken:
        phones = self._phones(text)
        noise = PhiloxNoise(seed)
        started = time.perf_counter()
        tokens = self._tokens(phones, reference, noise)
        drawn = time.perf_counter()
        pieces = list(self._decoder.synthesize(tokens, phones, reference.conditioning, noise))
        done = time.perf_counter()
        samples = torch.cat(pieces).numpy()
        rate_hz = spec_of(VERSION).sample_rate_hz
        return Spoken(samples, rate_hz, drawn - started, done - drawn, len(tokens))

    @torch.inference_mode()
    def tokens(self, text: str, reference: Reference, seed: int) -> list[int]:
        """What is drawn for a text."""
        drawn: list[int] = self._tokens(self._phones(text), reference, PhiloxNoise(seed)).tolist()
        return drawn

    @torch.inference_mode()
    def best(self, text: str, reference: Reference, tokens: Sequence[int]) -> list[int]:
        """The likeliest token at each place of `tokens` and behind them, where all before it are as they say."""
        phones = torch.cat([reference.phones, self._phones(text)])
        cache = self._t2s.new_cache(len(phones) + len(reference.tokens), len(tokens) + 1)
        steps = [self._t2s.prefill([PrefillRow(phones, None, reference.tokens, cache)])]
        steps += [self._t2s.step(torch.tensor([token]), [cache]) for token in tokens]
        return [int(logits.argmax()) for logits in steps]

    def _phones(self, text: str) -> Tensor:
        return torch.tensor(self._frontend.prompt(text, "en", VERSION).phones)

    def _tokens(self, phones: Tensor, reference: Reference, noise: PhiloxNoise) -> Tensor:
        joined = torch.cat([reference.phones, phones])
        limit = min(token_limit(self._t2s.config.max_s), 8 * len(phones) + 25)
        cache = self._t2s.new_cache(len(joined) + len(reference.tokens), limit)
        logits = self._t2s.prefill([PrefillRow(joined, None, reference.tokens, cache)])
        state = SamplerState.from_prompt(reference.tokens, self._t2s.config.vocab_size)
        for _ in range(limit):
            drawn = draw(logits[0], state, self._sampling, noise)
            if drawn.stop:
                break
            logits = self._t2s.step(torch.tensor([drawn.token]), [cache])
        return torch.tensor(state.tokens)
