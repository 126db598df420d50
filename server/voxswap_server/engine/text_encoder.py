"""Text to what the networks take: phones from the front-end, features from BERT where a run is Chinese.

The front-end runs in a pool of its own; BERT on the device. Knows nothing of voices beyond their symbol table.
"""

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from voxswap_server.domain import CutMethod, Notice, SynthesisRequest
from voxswap_server.engine.job import Await, DeviceCall, Tell, Work
from voxswap_server.engine.networks import Networks
from voxswap_server.engine.transcript_features import TranscriptFeatures
from voxswap_server.engine.voice import Voice
from voxswap_server.errors import AssetMissing, RequestError, VoiceUnusable
from voxswap_server.nn.bert import TextEncoder
from voxswap_server.text.frontend import TextFrontend
from voxswap_server.text.pronunciations import lexicon
from voxswap_server.text.utterances import Manner, Script, Utterance


@dataclass(frozen=True, slots=True)
class EncodedText:
    """An utterance as the networks take it."""

    phones: Tensor
    """(P,) long."""
    bert: Tensor | None
    """(bert_dim, P); None stands for zeros."""
    utterance: Utterance | None = None
    """What it was made of; None where there is no text."""


TextRoutine = Generator[Work, Any, EncodedText]

FRONT_END = "front-end"
"""The stage of reading text, as traces have it."""
_WITH_FEATURES = "zh"
"""The one language whose runs have BERT features; all others have zeros (SPEC §2)."""


class TextEncoding:
    """The text half of a request.

    Args:
        frontend: text to phones.
        executor: where the front-end runs.
        networks: has "bert".
        transcripts: keeps the features of transcripts.
    """

    def __init__(
        self, frontend: TextFrontend, executor: Executor, networks: Networks, transcripts: TranscriptFeatures
    ) -> None:
        self._frontend = frontend
        self._executor = executor
        self._networks = networks
        self._transcripts = transcripts

    async def warm(self, language: str) -> None:
        """Loads the front-end of en, zh, ja, ko or yue, so that its first request does not wait for it."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._frontend.warm_up, (language,))

    async def script(self, text: str, code: str, cut: CutMethod) -> Script:
        """Cuts a text into utterances, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._frontend.script, text, code, cut)

    async def manner(self, request: SynthesisRequest, voice: Voice) -> Manner:
        """How a request wants its text read: its own pronunciations come before the voice's.

        Raises:
            RequestError: a pronunciation of the request cannot be read.
            VoiceUnusable: one of the voice cannot.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, _manner, request, voice)

    def utterance(self, segment: str, code: str, symbols: str, manner: Manner) -> TextRoutine:
        """Starts the front-end on one utterance at once; the routine collects the result."""
        pending = self._executor.submit(self._frontend.analyse, segment, code, symbols, manner)
        return self._encoded(pending, self._features)

    def transcript(self, text: str, code: str, symbols: str) -> TextRoutine:
        """The same for the transcript of reference audio, which has rules of its own (SPEC §3)."""
        pending = self._executor.submit(self._frontend.prompt, text, code, symbols)
        return self._encoded(pending, lambda transcript: self._transcripts.of(transcript, _joined_features))

    def _encoded(
        self, pending: "Future[Utterance]", features: Callable[[Utterance], Generator[Work, Any, Tensor]]
    ) -> TextRoutine:
        utterance: Utterance = yield Await(pending, FRONT_END)
        for notice in utterance.notices:
            yield Tell(notice)
        bert = None
        if any(run.language == _WITH_FEATURES and run.word2ph for run in utterance.runs):
            try:
                bert = yield from features(utterance)
            except AssetMissing as missing:
                told = f"Chinese is spoken without text features: {missing.lasting_message}"
                yield Tell(Notice(missing.reason, told))
        return EncodedText(torch.tensor(utterance.phones, dtype=torch.long), bert, utterance)

    def _features(self, utterance: Utterance) -> Generator[Work, Any, Tensor]:
        """(bert_dim, P), zeros where a run is not Chinese.

        Raises:
            AssetMissing: BERT is not installed.
        """
        with self._networks.lease("bert") as pending:
            encoder: TextEncoder = yield Await(pending)
            features: Tensor = yield DeviceCall("bert", _run_bert, (encoder, utterance))
            return features


def _manner(request: SynthesisRequest, voice: Voice) -> Manner:
    symbols, manifest = voice.spec.symbols, voice.manifest
    try:
        own = lexicon([entry.spoken for entry in manifest.pronunciations], symbols)
    except RequestError as error:
        raise VoiceUnusable(manifest.voice_id, f"a pronunciation of its manifest: {error.message}") from error
    return Manner(lexicon(request.pronunciations, symbols, below=own), request.spell_out)


def _run_bert(calls: list[tuple[TextEncoder, Utterance]]) -> list[Tensor]:
    return [_joined_features(encoder, utterance) for encoder, utterance in calls]


def _joined_features(encoder: TextEncoder, utterance: Utterance) -> Tensor:
    """(bert_dim, P): one call for each Chinese run, zeros for the phones of all others (SPEC §11.3)."""
    covered = sum(len(run.phones) for run in utterance.runs)
    if covered != len(utterance.phones):
        raise ValueError(f"the runs have {covered} phones, the utterance {len(utterance.phones)}")
    parts = [
        encoder.features(run.norm_text, run.word2ph) if run.language == _WITH_FEATURES and run.word2ph else None
        for run in utterance.runs
    ]
    width = next(part.shape[0] for part in parts if part is not None)
    return torch.cat(
        [
            torch.zeros(width, len(run.phones)) if part is None else part.cpu()
            for run, part in zip(utterance.runs, parts, strict=True)
        ],
        dim=1,
    )
