"""Our side of the comparison: the same work as a peer's worker does, in this process, through our engine's own parts.

Knows nothing of peers.
"""

import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from bench.peers.material import TEXT, TOKENS, TOKENS_PER_S, VOICE, Material
from voxswap_server.bench.engines import Driven, engine_over
from voxswap_server.domain import AudioChunk, CutMethod, Language, SamplingParams, StreamStarted, SynthesisRequest
from voxswap_server.engine.voice import Voice
from voxswap_server.nn.decoder import Conditioning
from voxswap_server.nn.noise import PhiloxNoise
from voxswap_server.nn.sampling import SamplerState, Sampling, draw
from voxswap_server.nn.t2s import PrefillRow


@dataclass(frozen=True, slots=True)
class Took:
    """Of this process: on one thread the two differ by what others did on the machine."""

    wall_s: float
    cpu_s: float


class Watch:
    """Both clocks, from now on."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def read(self) -> Took:
        return Took(time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s)


class Ours:
    """One resident voice of an engine."""

    def __init__(self, on: Driven, voice: Voice, material: Material) -> None:
        self._on = on
        self._voice = voice
        self._material = material

    @torch.inference_mode()
    def t2s(self, rows: int, tokens: int, prompt_tokens: int) -> Took:
        """Prefill and so many tokens of each row, drawn as a request draws them.

        Args:
            rows: in one batch.
            tokens: of each.
            prompt_tokens: before them, in each.
        """
        net = self._voice.t2s
        phones = torch.tensor(self._material.prompt_phones + self._material.phones)
        prompt = torch.arange(prompt_tokens) % (net.config.vocab_size - 1)
        sampling = Sampling(top_k=5, top_p=1.0, temperature=1.0, repetition_penalty=1.35)
        caches = [net.new_cache(phones.numel() + prompt_tokens, tokens) for _ in range(rows)]
        states = [SamplerState.from_prompt(prompt, net.config.vocab_size) for _ in range(rows)]
        noises = [PhiloxNoise(1, row) for row in range(rows)]
        watch = Watch()
        logits = net.prefill([PrefillRow(phones, None, prompt, cache) for cache in caches])
        for step in range(tokens):
            drawn = [
                draw(row, state, sampling, noise) for row, state, noise in zip(logits, states, noises, strict=True)
            ]
            if step < tokens - 1:
                logits = net.step(torch.tensor([one.token for one in drawn]), caches)
        took = watch.read()
        if any(len(state.tokens) != tokens for state in states):
            raise ValueError("a row ended before its time: the sides would not have done the same")
        return took

    @torch.inference_mode()
    def decode(self, tokens: int) -> Took:
        """One utterance in one go, for a speaker who is encoded already."""
        conditioning = Conditioning(torch.zeros(1, self._material.speaker_width, 1))
        codes = torch.randint(0, 1024, (tokens,), generator=torch.Generator().manual_seed(1))
        phones = torch.tensor(self._material.phones)
        watch, samples = Watch(), 0
        for piece in self._voice.decoder.synthesize(codes, phones, conditioning, PhiloxNoise(1)):
            samples += piece.numel()
        took = watch.read()
        _require_length(samples / self._voice.decoder.spec.sample_rate_hz, tokens)
        return took

    def request(self) -> Took:
        """One sentence in one go, decoded when all of its tokens are there."""
        return self._on.run(self._whole())

    def first(self) -> Took:
        """The first audio of the same sentence as a stream, which is then broken off."""
        return self._on.run(self._first())

    async def _whole(self) -> Took:
        watch, samples, rate_hz = Watch(), 0, 1
        async for event in self._on.engine.synthesizer.synthesize(_asked(exact=True, unary=True)):
            if isinstance(event, StreamStarted):
                rate_hz = event.sample_rate_hz
            elif isinstance(event, AudioChunk):
                samples += event.samples
        took = watch.read()
        _require_length(samples / rate_hz, TOKENS)
        return took

    async def _first(self) -> Took:
        watch = Watch()
        async with aclosing(self._on.engine.synthesizer.synthesize(_asked(exact=False, unary=False))) as events:
            async for event in events:
                if isinstance(event, AudioChunk) and event.samples:
                    return watch.read()
        raise ValueError("there was no audio")

    def switch(self) -> Took:
        """Lets go of the voice and reads it again, from files in the page cache, until it can speak."""
        return self._on.run(self._switch())

    async def _switch(self) -> Took:
        residency = self._on.engine.residency
        watch = Watch()
        await residency.unload_voice(VOICE, wait=True)
        async with residency.lease(VOICE) as lease:
            took = watch.read()
            self._voice = lease.bundle
            return took


@contextmanager
def ours(material: Material, threads: int, **settings: Any) -> Iterator[Ours]:
    """An engine with the voice in memory and its prompt encoded.

    Args:
        material: what both sides are given.
        threads: of the networks.
        settings: sections of the server's settings.
    """
    with engine_over(material.store, threads, **settings) as on:

        async def leased() -> Voice:
            async with on.engine.residency.lease(VOICE) as lease:
                return lease.bundle

        one = Ours(on, on.run(leased()), material)
        one.request()
        yield one


def _asked(*, exact: bool, unary: bool) -> SynthesisRequest:
    return SynthesisRequest(
        "peers",
        VOICE,
        TEXT,
        Language("en"),
        sampling=SamplingParams(top_k=5, top_p=1.0, temperature=1.0, repetition_penalty=1.35, seed=1),
        pause_s=0.0,
        cut_method=CutMethod.NONE,
        exact=exact,
        unary=unary,
    )


def _require_length(audio_s: float, tokens: int) -> None:
    if abs(audio_s - tokens / TOKENS_PER_S) > 0.5 / TOKENS_PER_S:
        raise ValueError(f"we spoke for {audio_s:.2f} s, which are not {tokens} tokens")
