"""The audio half of one prompt as a routine: every piece is found, or made and kept.

Knows nothing of where pieces are kept or of what a request wants. Runs on the device thread; whatever blocks (files,
hashes, layers of the cache, networks that load) is awaited.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from voxswap_server.audio.decode import decode
from voxswap_server.engine.addressed import NetworkLeases, computed_by
from voxswap_server.engine.conditioning import ConditioningCache, Tensors, ValueRoutine
from voxswap_server.engine.job import Await, DeviceCall, Work
from voxswap_server.engine.prompt_audio import Reference, encode_conditioning
from voxswap_server.engine.prompt_keys import Limits, PromptKeys
from voxswap_server.engine.stored_prompt import conditioning_of, conditioning_tensors, on_host
from voxswap_server.engine.voice import PromptAudio, Voice
from voxswap_server.errors import BadReferenceAudio
from voxswap_server.nn.reference import ReferenceFeatures


@dataclass(frozen=True, slots=True)
class Means:
    """What every encoding uses."""

    cache: ConditioningCache
    networks: NetworkLeases
    executor: Executor
    """Where audio is decoded and hashed."""
    device: torch.device
    limits: Limits


class PromptEncoding:
    """One prompt on its way.

    Args:
        means: what it uses.
        voice: whose decoder encodes it.
        clips: the main reference, then those that the version mixes in.
        phones: (P,) ids of the transcript.
        on_miss: called before the first piece that has to be made.
    """

    def __init__(
        self, means: Means, voice: Voice, clips: Sequence[bytes], phones: Tensor, on_miss: Callable[[], None]
    ) -> None:
        self._means = means
        self._voice = voice
        self._clips = clips
        self._phones = phones
        self._on_miss = on_miss
        self._references: dict[int, Reference] = {}
        self.made_something = False

    def audio(self, keys: PromptKeys) -> Generator[Work, Any, PromptAudio]:
        """All of it.

        Raises:
            OtherNetwork: these keys are of another network.
            BadReferenceAudio, AssetMissing: as their names say.
        """
        value, device = self._means.cache.value, self._means.device
        tokens = (yield from value(keys.tokens(), partial(self._tokens, keys)))["tokens"]
        kept = yield from value(keys.conditioning(), partial(self._conditioning, keys, tokens))
        return PromptAudio(tokens.to(device), conditioning_of(kept, device))

    # --- how a piece is made -----------------------------------------------------------------------------------

    def _tokens(self, keys: PromptKeys) -> ValueRoutine:
        reference = yield from self._reference(0)
        name = keys.inputs.content
        return (yield from self._by_network(name, keys, lambda network: self._tokens_by(reference, network)))

    def _tokens_by(self, reference: Reference, network: Any) -> Tensors:
        return {"tokens": reference.tokens(self._voice.decoder, network.features)}

    def _conditioning(self, keys: PromptKeys, tokens: Tensor) -> ValueRoutine:
        references: list[ReferenceFeatures] = []
        for index in range(len(self._clips)):
            features = yield from self._features(keys, index)
            references.append(features)

        def made() -> Tensors:
            return conditioning_tensors(encode_conditioning(self._voice.decoder, references, tokens, self._phones))

        return (yield from self._made(made))

    def _features(self, keys: PromptKeys, index: int) -> Generator[Work, Any, ReferenceFeatures]:
        """Of one clip, as far as its sound counts."""
        value, spec, clip = self._means.cache.value, self._voice.spec, keys.inputs.clips[index]
        spectrum = yield from value(keys.spectrum(clip), partial(self._spectrum, index))
        vector: Tensors = {}
        if spec.speaker_vector:
            vector = yield from value(keys.speaker_vector(clip), partial(self._speaker_vector, keys, index))
        mel: Tensors = {}
        if spec.flow is not None:
            mel = yield from value(keys.mel(clip), partial(self._mel, index))
        return ReferenceFeatures(spectrum["spectrum"], speaker_vector=vector.get("speaker_vector"), mel=mel.get("mel"))

    def _spectrum(self, index: int) -> ValueRoutine:
        reference = yield from self._reference(index)
        return (yield from self._made(lambda: {"spectrum": reference.spectrum()}))

    def _mel(self, index: int) -> ValueRoutine:
        flow, reference = self._voice.spec.flow, (yield from self._reference(index))
        return (yield from self._made(lambda: {"mel": reference.mel(flow.mel)} if flow else {}))

    def _speaker_vector(self, keys: PromptKeys, index: int) -> ValueRoutine:
        reference = yield from self._reference(index)

        def made(network: Any) -> Tensors:
            return {"speaker_vector": reference.speaker_vector(network.vector)}

        return (yield from self._by_network("eres2net", keys, made))

    # --- what it takes -----------------------------------------------------------------------------------------

    def _reference(self, index: int) -> Generator[Work, Any, Reference]:
        """A clip, decoded once."""
        if index not in self._references:
            limits = self._means.limits
            work = partial(decode, self._clips[index], max_s=limits.max_s, max_bytes=limits.max_bytes)
            try:
                clip = yield Await(self._means.executor.submit(work))
            except BadReferenceAudio as error:
                error.field = "prompt.auxiliary" if index else "prompt.audio"
                raise
            self._references[index] = Reference(clip)
        return self._references[index]

    def _by_network(self, name: str, keys: PromptKeys, make: Callable[[Any], Tensors]) -> ValueRoutine:
        def call(network: Any) -> DeviceCall:
            return self._call(partial(make, network))

        address = keys.inputs.networks[name]
        tensors: Tensors = yield from computed_by(self._means.networks, name, address, call)
        return tensors

    def _made(self, make: Callable[[], Tensors]) -> ValueRoutine:
        tensors: Tensors = yield self._call(make)
        return tensors

    def _call(self, make: Callable[[], Tensors]) -> DeviceCall:
        if not self.made_something:
            self.made_something = True
            self._on_miss()
        return DeviceCall("prompt", _run, make)


def _run(calls: list[Callable[[], Tensors]]) -> list[Tensors]:
    return [{name: on_host(tensor) for name, tensor in call().items()} for call in calls]
