"""Who is heard: ECAPA speaker embeddings of clips and of the store's voices. Implements `domain.SpeakerEmbedder`.

Runs on the CPU in a pool of its own: the device belongs to speech. Knows nothing of SpeechBrain and of transports. The
weights are looked for at each call, so they may be installed or replaced while the server runs.
"""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import soxr
import structlog
import torch

from voxswap_server.audio.decode import decode
from voxswap_server.domain import SpeakerMatch
from voxswap_server.engine.embeddings import EmbeddingCache, EmbeddingMetrics, Vector
from voxswap_server.engine.networks import load_network
from voxswap_server.errors import BadReferenceAudio, EngineError
from voxswap_server.nn.ecapa import RATE_HZ, SpeakerEncoder
from voxswap_server.nn.reference import mix_down
from voxswap_store.assets import asset_manifest
from voxswap_store.catalogue import Catalogue, VoiceEntry
from voxswap_store.manifest import StoredFile

log = structlog.get_logger(__name__)

ASSET = "ecapa"
SHORTEST_S = 0.5
_SILENCE = 2**-15
"""Peak of what 16 bits cannot tell from nothing."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SpeakersConfig:
    hub: str = "speechbrain/spkrec-ecapa-voxceleb"
    """Where `voxswap assets fetch ecapa` gets the weights, a name on the Hugging Face Hub; the server fetches none."""
    cache_entries: int = 4096
    """Embeddings kept in memory, 768 bytes each; more than there are voices, or finding one computes them anew."""
    max_audio_bytes: int = 8 * 2**20
    """Of one clip, as it is sent."""
    max_audio_s: float = 60.0
    """Longer clips are refused."""
    threads: int = 1
    """Clips that are embedded at the same time."""


@dataclass(frozen=True, slots=True)
class _Weights:
    address: str
    """sha256 of each file, settings included."""
    encoder: SpeakerEncoder


class Speakers:
    """Embeds, compares and finds speakers.

    Args:
        catalogue: of the voices among which `find_voices` looks; its store holds the weights.
        executor: where files are read and clips embedded.
        metrics: told of each look-up of an embedding.
        config: limits.
    """

    def __init__(
        self, catalogue: Catalogue, executor: Executor, metrics: EmbeddingMetrics, config: SpeakersConfig
    ) -> None:
        self._catalogue = catalogue
        self._executor = executor
        self._config = config
        self._loading = threading.Lock()
        self._weights: _Weights | None = None
        self.cache = EmbeddingCache(config.cache_entries, executor, metrics)

    async def embed(self, audio: bytes) -> Sequence[float]:
        """Unit-length speaker embedding, as `domain.SpeakerEmbedder` says.

        Raises:
            AssetMissing: no weights are installed.
            BadReferenceAudio: not readable, shorter than 0.5 s or longer than the limit, or silent.
        """
        return [float(value) for value in await self._embedding(await self._run(self._current), audio)]

    async def compare(self, first: bytes, second: bytes) -> float:
        """Cosine similarity of the two speakers. Raises as `embed`."""
        weights = await self._run(self._current)
        return _cosine(await self._embedding(weights, first), await self._embedding(weights, second))

    async def find_voices(self, audio: bytes, *, limit: int) -> Sequence[SpeakerMatch]:
        """Voices of the store by falling similarity of their reference audio, those alike in the order of their ids.

        A voice that is broken or has no reference audio is not found. Raises as `embed`.
        """
        weights = await self._run(self._current)
        heard = await self._embedding(weights, audio)
        matches = []
        for entry in await self._run(self._catalogue.entries):
            if isinstance(entry, VoiceEntry) and entry.manifest.files.reference is not None:
                voice = await self._reference(weights, entry, entry.manifest.files.reference)
                if voice is not None:
                    matches.append(SpeakerMatch(entry.voice_id, _cosine(heard, voice)))
        return sorted(matches, key=lambda match: (-match.similarity, match.voice_id))[:limit]

    async def _embedding(self, weights: _Weights, audio: bytes) -> Vector:
        sha256 = await self._run(lambda: hashlib.sha256(audio).hexdigest())
        return await _shared(self.cache.get((sha256, weights.address), partial(self._compute, weights.encoder, audio)))

    async def _reference(self, weights: _Weights, entry: VoiceEntry, file: StoredFile) -> Vector | None:
        """The embedding of a voice; None where its file cannot be used, which must not hide the other voices."""
        try:
            compute = partial(self._compute_stored, weights.encoder, entry, file)
            return await _shared(self.cache.get((file.sha256, weights.address), compute))
        except BadReferenceAudio as error:
            problem = error.message
        except OSError as error:
            problem = error.strerror or "it cannot be read"
        log.warning("reference audio left out", voice=entry.voice_id, file=file.name, problem=problem)
        return None

    # --- in the pool -------------------------------------------------------------------------------------------

    def _current(self) -> _Weights:
        """The weights that are installed now, loaded once.

        Raises:
            AssetMissing: there are none, or they are broken.
        """
        root = self._catalogue.root
        with self._loading:
            address = "/".join(file.sha256 for file in asset_manifest(root, ASSET).files)
            if self._weights is None or self._weights.address != address:
                self._weights = _Weights(address, load_network(root, ASSET))
            return self._weights

    def _compute_stored(self, encoder: SpeakerEncoder, entry: VoiceEntry, file: StoredFile) -> Vector:
        audio = entry.path(file).read_bytes()
        if hashlib.sha256(audio).hexdigest() != file.sha256:
            raise BadReferenceAudio("it is not the file that the manifest describes")
        return self._compute(encoder, audio)

    def _compute(self, encoder: SpeakerEncoder, audio: bytes) -> Vector:
        clip = decode(audio, max_s=self._config.max_audio_s, max_bytes=self._config.max_audio_bytes)
        length_s = len(clip.samples) / clip.rate_hz
        if length_s < SHORTEST_S:
            raise BadReferenceAudio(f"the audio is {length_s:.2f} s long; it must be at least {SHORTEST_S:g} s")
        mono = mix_down(clip.samples)
        if np.abs(mono).max() < _SILENCE:
            raise BadReferenceAudio("nobody is heard: the audio is silent")
        wave = soxr.resample(mono, clip.rate_hz, RATE_HZ, quality="HQ") if clip.rate_hz != RATE_HZ else mono
        try:
            vector: Vector = encoder.embedding(torch.from_numpy(wave)[None]).numpy()
        except ValueError as error:
            raise EngineError(str(error)) from error
        return vector

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


async def _shared(future: "Future[Vector]") -> Vector:
    """Waits for a computation that others wait for too: who goes away leaves it to them."""
    return await asyncio.shield(asyncio.wrap_future(future))


def _cosine(first: Vector, second: Vector) -> float:
    """Of two vectors of length 1; rounding does not carry it past its ends."""
    return float(np.clip(np.dot(first.astype(np.float64), second.astype(np.float64)), -1.0, 1.0))
