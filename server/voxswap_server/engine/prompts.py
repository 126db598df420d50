"""Reference audio to an encoded prompt, each piece of which is kept by content.

Knows no paths and nothing of where pieces are kept. Used by routines, so on the device thread alone.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import torch
from cachetools import LRUCache
from torch import Tensor

from voxswap_server.domain import Notice, Prompt
from voxswap_server.engine.addressed import NetworkLeases, OtherNetwork
from voxswap_server.engine.conditioning import ConditioningCache, Lookups
from voxswap_server.engine.job import Await, DeviceCall, Tell, Work
from voxswap_server.engine.prompt_encoding import Means, PromptEncoding
from voxswap_server.engine.prompt_keys import (
    Ground,
    Inputs,
    Limits,
    PromptKeys,
    address_of_clip,
    address_of_weights,
)
from voxswap_server.engine.stored_prompt import on_host
from voxswap_server.engine.text_encoder import EncodedText, TextEncoding
from voxswap_server.engine.voice import PromptAudio, Voice
from voxswap_server.errors import RequestError, VoiceUnusable
from voxswap_server.nn.decoder import Conditioning
from voxswap_server.text.languages import prompt_code

_QUANTIZERS = 4096
"""Addresses of decoders' quantizers that are remembered."""


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
    max_audio_bytes: int = 8 * 2**20
    """Of one reference, as it is sent."""
    max_audio_s: float = 60.0
    """Longer ones are refused before they are decoded whole; the rule of 3 to 10 s comes after that."""


PromptRoutine = Generator[Work, Any, EncodedPrompt]


class Prompts:
    """Encodes prompts; each distinct one once, however many requests ask for it at the same time.

    Args:
        text: for transcripts.
        networks: leases content encoders and "eres2net".
        address_of: content address of a shared network as the store has it now; raises `AssetMissing`.
        executor: where audio is decoded and hashed.
        cache: keeps what is made of audio.
        device: where it is used.
        ground: what everything that is made depends on.
        lookups: counts prompts: a miss is one of which anything had to be made.
        config: limits.
    """

    def __init__(
        self,
        text: TextEncoding,
        networks: NetworkLeases,
        address_of: Callable[[str], str],
        executor: Executor,
        cache: ConditioningCache,
        device: torch.device,
        ground: Ground,
        lookups: Lookups,
        config: PromptConfig,
    ) -> None:
        self._text = text
        self._address_of = address_of
        limits = Limits(config.max_audio_s, config.max_audio_bytes)
        self._means = Means(cache, networks, executor, device, limits)
        self._ground = ground
        self._lookups = lookups
        self._quantizers: LRUCache[str, str] = LRUCache(_QUANTIZERS)

    def encode(self, voice: Voice, override: Prompt | None) -> PromptRoutine:
        """The prompt of a request: its own, or else the voice's.

        Raises:
            RequestError: there is none, or the version needs a transcript and there is none.
            BadReferenceAudio, AssetMissing: as their names say.
            VoiceUnusable: the voice's own transcript cannot be read.
        """
        prompt = override or voice.prompt
        if prompt is None:
            raise RequestError(
                f"voice {voice.manifest.voice_id!r} has no reference audio of its own; send a prompt", field="prompt"
            )
        spec, transcript = voice.spec, prompt.transcript.strip()
        if override is not None and override.auxiliary and not spec.auxiliary_references:
            told = f"version {spec.version} cannot mix auxiliary references in: the main one alone is heard"
            yield Tell(Notice("AUXILIARY_NOT_HEARD", told))
        text = EncodedText(torch.empty(0, dtype=torch.long), None)
        if transcript:
            try:
                code = prompt_code(prompt.language, spec.symbols)
                text = yield from self._text.transcript(transcript, code, spec.symbols)
            except RequestError as error:
                if override is not None:
                    raise
                why = f"the transcript of its reference audio: {error.message}"
                raise VoiceUnusable(voice.manifest.voice_id, why) from error
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
        """Found, or made and kept, piece by piece."""
        clips = (prompt.audio, *(prompt.auxiliary if voice.spec.auxiliary_references else ()))
        encoding = PromptEncoding(self._means, voice, clips, text.phones, lambda: self._lookups.found(hit=False))
        keys = PromptKeys(voice.spec, self._ground, (yield from self._inputs(voice, clips, text)))
        while True:
            try:
                audio = yield from encoding.audio(keys)
            except OtherNetwork as other:
                networks = {**keys.inputs.networks, other.name: other.address}
                keys = replace(keys, inputs=replace(keys.inputs, networks=networks))
            else:
                break
        if not encoding.made_something:
            self._lookups.found(hit=True)
        return audio

    def _inputs(self, voice: Voice, clips: Sequence[bytes], text: EncodedText) -> Generator[Work, Any, Inputs]:
        """Addresses of everything, worked out off the device thread."""
        means, content = self._means, voice.content_encoder

        def addresses() -> tuple[list[str], dict[str, str]]:
            names = (content, "eres2net") if voice.spec.speaker_vector else (content,)
            networks = {name: self._address_of(name) for name in names}
            return [address_of_clip(clip, means.limits) for clip in clips], networks

        hashed, networks = yield Await(means.executor.submit(addresses))
        quantizer = self._quantizers.get(voice.decoder_key)
        if quantizer is None:
            weights = yield DeviceCall("prompt", _run_on_host, voice.decoder.token_weights)
            quantizer = yield Await(means.executor.submit(address_of_weights, weights))
            self._quantizers[voice.decoder_key] = quantizer
        return Inputs(hashed, networks, voice.decoder_key, quantizer, text.phones.tolist(), content)


def _run_on_host(calls: list[Sequence[Tensor]]) -> list[list[Tensor]]:
    return [[on_host(tensor) for tensor in tensors] for tensors in calls]
