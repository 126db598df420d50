"""Reference audio to an encoded prompt, cached by content.

The audio half of a prompt depends on the audio and on the decoder's weights only, so it is kept under both hashes;
the cache knows no voice, no path and no request. Used by routines, so on the device thread alone.
"""

import hashlib
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from cachetools import LRUCache
from torch import Tensor

from voxswap_server.audio.decode import Decoded, decode
from voxswap_server.domain import Prompt
from voxswap_server.engine.job import Await, DeviceCall, Work
from voxswap_server.engine.networks import SharedNetworks
from voxswap_server.engine.prompt_audio import Encoders, encode_prompt_audio
from voxswap_server.engine.text_encoder import EncodedText, TextEncoding
from voxswap_server.engine.voice import PromptAudio, Voice
from voxswap_server.errors import RequestError
from voxswap_server.nn.decoder import Conditioning
from voxswap_server.text.languages import upstream_code


class PromptMetrics(Protocol):
    """Look-ups of the cache."""

    def lookup(self, cache: str, *, hit: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """What an utterance continues."""

    tokens: Tensor
    """(Y,) long"""
    conditioning: Conditioning
    phones: Tensor
    """(P,) long, of the transcript."""
    bert: Tensor | None
    """(bert_dim, P); None stands for zeros."""


@dataclass(frozen=True, slots=True)
class PromptConfig:
    cache_bytes: int = 256 * 2**20
    """Encoded reference audio held in memory."""
    max_audio_bytes: int = 8 * 2**20
    """Of one reference, as it is sent."""
    max_audio_s: float = 60.0
    """Longer ones are refused before they are decoded whole; the rule of 3 to 10 s comes after that."""


PromptRoutine = Generator[Work, Any, EncodedPrompt]
_Key = tuple[object, ...]


class Prompts:
    """Encodes prompts; each distinct one once, however many requests ask for it at the same time.

    Args:
        text: for transcripts.
        networks: has "hubert" and "eres2net".
        executor: where audio is decoded.
        metrics: told of each look-up.
        config: limits.
    """

    def __init__(
        self,
        text: TextEncoding,
        networks: SharedNetworks,
        executor: Executor,
        metrics: PromptMetrics,
        config: PromptConfig,
    ) -> None:
        self._text = text
        self._networks = networks
        self._executor = executor
        self._metrics = metrics
        self._config = config
        self._cache: LRUCache[_Key, PromptAudio] = LRUCache(config.cache_bytes, getsizeof=lambda audio: audio.nbytes)
        self._underway: dict[_Key, Future[None]] = {}

    def encode(self, voice: Voice, override: Prompt | None) -> PromptRoutine:
        """The prompt of a request: its own, or else the voice's.

        Raises:
            RequestError: there is none, or the version needs a transcript and there is none.
            BadReferenceAudio, AssetMissing: as their names say.
        """
        prompt = override or voice.prompt
        if prompt is None:
            raise RequestError(
                f"voice {voice.manifest.voice_id!r} has no reference audio of its own; send a prompt", field="prompt"
            )
        spec, transcript = voice.spec, prompt.transcript.strip()
        text = EncodedText(torch.empty(0, dtype=torch.long), None)
        if transcript:
            code = upstream_code(prompt.language, spec.symbols)
            text = yield from self._text.transcript(transcript, code, spec.symbols)
        elif not spec.no_prompt:
            raise RequestError(
                f"version {spec.version} needs the transcript of the reference audio", field="prompt.transcript"
            )
        audio = voice.stored_prompt if override is None else None
        if audio is None:
            audio = yield from self._audio(voice, prompt, text)
        tokens = audio.tokens if transcript else audio.tokens[:0]
        return EncodedPrompt(tokens, audio.conditioning, text.phones, text.bert)

    def _audio(self, voice: Voice, prompt: Prompt, text: EncodedText) -> Generator[Work, Any, PromptAudio]:
        """From the cache, or from whoever is computing it, or computed."""
        key = _key(voice, prompt, text)
        while (cached := self._cache.get(key)) is None and (other := self._underway.get(key)) is not None:
            yield Await(other)  # if the other one fails or is cancelled, this one computes it
        self._metrics.lookup("prompts", hit=cached is not None)
        if cached is not None:
            return cached
        done = self._underway[key] = Future()
        try:
            audio = yield from self._computed(voice, prompt, text)
            if audio.nbytes <= self._cache.maxsize:
                self._cache[key] = audio
            return audio
        finally:
            del self._underway[key]
            done.set_result(None)

    def _computed(self, voice: Voice, prompt: Prompt, text: EncodedText) -> Generator[Work, Any, PromptAudio]:
        clips: list[Decoded] = []
        for data in (prompt.audio, *prompt.auxiliary):
            work = partial(decode, data, max_s=self._config.max_audio_s, max_bytes=self._config.max_audio_bytes)
            clips.append((yield Await(self._executor.submit(work))))
        content = yield Await(self._networks.get("hubert"))
        speaker_vector = (yield Await(self._networks.get("eres2net"))) if voice.spec.speaker_vector else None
        encoders = Encoders(content.features, speaker_vector.vector if speaker_vector else None)
        encoding = partial(encode_prompt_audio, voice.decoder, clips, text.phones, encoders)
        audio: PromptAudio = yield DeviceCall("prompt", _run_encoding, encoding)
        return audio


def _run_encoding(calls: list[Callable[[], PromptAudio]]) -> list[PromptAudio]:
    return [call() for call in calls]


def _key(voice: Voice, prompt: Prompt, text: EncodedText) -> _Key:
    """Content addresses of all that the audio half depends on: a flow-matching decoder reads the phones too."""
    clips = (prompt.audio, *prompt.auxiliary) if voice.spec.auxiliary_references else (prompt.audio,)
    phones = tuple(text.phones.tolist()) if voice.spec.flow else ()
    return (voice.decoder_key, phones, *(hashlib.sha256(clip).digest() for clip in clips))
