"""Who is heard: ECAPA speaker embeddings of clips and of the store's voices. Implements `domain.SpeakerEmbedder`.

Runs in a pool of its own, beside the device thread. Knows nothing of SpeechBrain and of transports. The weights are
looked for at each call, so they may be installed or replaced while the server runs; they are leased like voices, and
only while a clip is embedded that was not heard before.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import soxr
import structlog
import torch
from numpy.typing import NDArray

from voxswap_server.audio.decode import decode
from voxswap_server.domain import SpeakerMatch
from voxswap_server.engine.embeddings import EmbeddingCache, Vector
from voxswap_server.engine.residency.contract import Lease, network_id
from voxswap_server.errors import AssetMissing, BadReferenceAudio, EngineError
from voxswap_server.nn.ecapa import RATE_HZ, SpeakerEncoder
from voxswap_server.nn.reference import mix_down
from voxswap_store.assets import asset_manifest, asset_state
from voxswap_store.catalogue import Catalogue
from voxswap_store.entries import VoiceEntry
from voxswap_store.manifest import StoredFile

log = structlog.get_logger(__name__)

BUILT_IN, FROM_THE_HUB = "ecapa_small", "ecapa"
"""Assets that can do it."""
SHORTEST_S = 0.5
_SILENCE = 2**-15
"""Peak of what 16 bits cannot tell from nothing."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SpeakersConfig:
    network: Literal["", "ecapa_small", "ecapa"] = ""
    """Who tells speakers apart: ecapa_small (built in) or ecapa (fetched from the Hub). Empty: the built-in one where
    it is installed, else the other one."""
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


class Residency(Protocol):
    """What the speakers ask of the model manager."""

    def lease_blocking(self, voice_id: str) -> AbstractContextManager[Lease[Any]]: ...
    def refresh_blocking(self, voice_id: str) -> None: ...


class Speakers:
    """Embeds, compares and finds speakers.

    Args:
        catalogue: of the voices among which `find_voices` looks; its store holds the weights.
        residency: who has them in memory.
        executor: where files are read and clips embedded.
        cache: of embeddings.
        config: limits.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        residency: Residency,
        executor: Executor,
        cache: EmbeddingCache,
        config: SpeakersConfig,
    ) -> None:
        self._catalogue = catalogue
        self._residency = residency
        self._executor = executor
        self._config = config
        self._cache = cache

    async def embed(self, audio: bytes) -> Sequence[float]:
        """Unit-length speaker embedding, as `domain.SpeakerEmbedder` says.

        Raises:
            AssetMissing: no weights are installed.
            BadReferenceAudio: not readable, shorter than 0.5 s or longer than the limit, or silent.
        """
        return [float(value) for value in await self._embedding(await self._run(self._address), audio)]

    async def compare(self, first: bytes, second: bytes) -> float:
        """Cosine similarity of the two speakers. Raises as `embed`."""
        address = await self._run(self._address)
        return _cosine(await self._embedding(address, first), await self._embedding(address, second))

    async def find_voices(self, audio: bytes, *, limit: int) -> Sequence[SpeakerMatch]:
        """Voices of the store by falling similarity of their reference audio, those alike in the order of their ids.

        A voice that is broken or has no reference audio is not found. Raises as `embed`.
        """
        address = await self._run(self._address)
        heard = await self._embedding(address, audio)
        matches = []
        for entry in await self._run(self._catalogue.entries):
            if isinstance(entry, VoiceEntry) and entry.manifest.files.reference is not None:
                voice = await self._reference(address, entry, entry.manifest.files.reference)
                if voice is not None:
                    matches.append(SpeakerMatch(entry.voice_id, _cosine(heard, voice)))
        return sorted(matches, key=lambda match: (-match.similarity, match.voice_id))[:limit]

    async def _embedding(self, address: str, audio: bytes) -> Vector:
        sha256 = await self._run(lambda: hashlib.sha256(audio).hexdigest())
        return await _shared(self._cache.get((sha256, address), partial(self._compute, address, audio)))

    async def _reference(self, address: str, entry: VoiceEntry, file: StoredFile) -> Vector | None:
        """The embedding of a voice; None where its file cannot be used, which must not hide the other voices."""
        try:
            compute = partial(self._compute_stored, address, entry, file)
            return await _shared(self._cache.get((file.sha256, address), compute))
        except BadReferenceAudio as error:
            problem = error.message
        except OSError as error:
            problem = error.strerror or "it cannot be read"
        log.warning("reference audio left out", voice=entry.voice_id, file=file.name, problem=problem)
        return None

    # --- in the pool -------------------------------------------------------------------------------------------

    def _address(self) -> str:
        """Of the weights that are installed now.

        Raises:
            AssetMissing: there are none, or they are broken.
        """
        return asset_manifest(self._catalogue.root, self._network()).address

    def _network(self) -> str:
        """The asset that is asked."""
        if self._config.network:
            return self._config.network
        return BUILT_IN if asset_state(self._catalogue.root, BUILT_IN).manifest else FROM_THE_HUB

    def _compute_stored(self, address: str, entry: VoiceEntry, file: StoredFile) -> Vector:
        audio = entry.path(file).read_bytes()
        if hashlib.sha256(audio).hexdigest() != file.sha256:
            raise BadReferenceAudio("it is not the file that the manifest describes")
        return self._compute(address, audio)

    def _compute(self, address: str, audio: bytes) -> Vector:
        clip = decode(audio, max_s=self._config.max_audio_s, max_bytes=self._config.max_audio_bytes)
        length_s = len(clip.samples) / clip.rate_hz
        if length_s < SHORTEST_S:
            raise BadReferenceAudio(f"the audio is {length_s:.2f} s long; it must be at least {SHORTEST_S:g} s")
        mono = mix_down(clip.samples)
        if np.abs(mono).max() < _SILENCE:
            raise BadReferenceAudio("nobody is heard: the audio is silent")
        wave = soxr.resample(mono, clip.rate_hz, RATE_HZ, quality="HQ") if clip.rate_hz != RATE_HZ else mono
        network = network_id(self._network())
        with self._residency.lease_blocking(network) as lease:
            if lease.revision == address:
                return _embedded(lease.bundle, wave)
        self._residency.refresh_blocking(network)  # others were installed meanwhile
        with self._residency.lease_blocking(network) as lease:
            if lease.revision == address:
                return _embedded(lease.bundle, wave)
        raise AssetMissing("the network of speakers", "it is being replaced; try again")

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _embedded(encoder: SpeakerEncoder, wave: NDArray[np.float32]) -> Vector:
    try:
        vector: Vector = encoder.embedding(torch.from_numpy(wave)[None]).cpu().numpy()
    except ValueError as error:
        raise EngineError(str(error)) from error
    return vector


async def _shared(future: "Future[Vector]") -> Vector:
    """Waits for a computation that others wait for too: who goes away leaves it to them."""
    return await asyncio.shield(asyncio.wrap_future(future))


def _cosine(first: Vector, second: Vector) -> float:
    """Of two vectors of length 1; rounding does not carry it past its ends."""
    return float(np.clip(np.dot(first.astype(np.float64), second.astype(np.float64)), -1.0, 1.0))
