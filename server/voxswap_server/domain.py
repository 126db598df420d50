"""What crosses the layers: frozen values and small protocols.

Knows nothing of torch, gRPC or files. The transports speak to the engine only through the protocols here, so either
side can be replaced by a fake in a test. Units end the name; a field without one has none.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class AudioEncoding(StrEnum):
    """How samples become bytes. PCM, µ-law and A-law have no header; the others have one, in the first chunk."""

    PCM_S16 = "pcm_s16"
    PCM_F32 = "pcm_f32"
    WAV = "wav"
    FLAC = "flac"
    OGG_OPUS = "ogg_opus"
    MP3 = "mp3"
    MULAW = "mulaw"
    ALAW = "alaw"
    AAC = "aac"


class LanguageMode(StrEnum):
    """How a text of several languages is read; see docs/LANGUAGES.md for the table to upstream's codes."""

    MIXED = "mixed"
    ALL = "all"
    AUTO = "auto"
    AUTO_CANTONESE = "auto_cantonese"


class CutMethod(StrEnum):
    """Where a text is cut into utterances (upstream's cut0 to cut5)."""

    NONE = "none"
    FOUR_SENTENCES = "four_sentences"
    FIFTY_CHARACTERS = "fifty_characters"
    CHINESE_STOP = "chinese_stop"
    ENGLISH_STOP = "english_stop"
    PUNCTUATION = "punctuation"


class TimestampKind(StrEnum):
    """What a timestamp marks."""

    WORD = "word"
    PHONE = "phone"
    VISEME = "viseme"
    """A shape of the mouth, for lip-sync."""


class CacheState(StrEnum):
    """Where a voice was when its request came."""

    DEVICE = "device"
    HOST = "host"
    DISK = "disk"


class PhoneticEncoding(StrEnum):
    """In which alphabet a pronunciation is written."""

    PHONES = "phones"
    PINYIN = "pinyin"
    KANA = "kana"
    ARPABET = "arpabet"
    JYUTPING = "jyutping"


@dataclass(frozen=True, slots=True)
class Pronunciation:
    """How one word or phrase is to be said."""

    phrase: str
    """As it is written in the text; letter case does not matter."""
    pronunciation: str
    encoding: PhoneticEncoding = PhoneticEncoding.PHONES


@dataclass(frozen=True, slots=True)
class Language:
    """A language and how strictly it is meant. An empty code means: detect."""

    code: str = ""
    mode: LanguageMode = LanguageMode.MIXED


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How semantic tokens are drawn (SPEC §5). None means: the voice's default."""

    top_k: int | None = None
    """Keep this many best tokens; 1 is greedy."""
    top_p: float | None = None
    """Keep the tokens whose cumulative mass stays within this, before the temperature; 1 keeps all."""
    temperature: float | None = None
    """< 1 is steadier, > 1 is livelier."""
    repetition_penalty: float | None = None
    """> 1 discourages tokens already present, the prompt's included; 1 is none."""
    seed: int | None = None
    """The same seed gives the same audio under any load; None draws one and reports it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Reference audio with its transcript: who is heard, and how."""

    audio: bytes
    """A whole file in any container that libsndfile or FFmpeg reads, 3 to 10 s."""
    transcript: str = ""
    """What is said in it; "" means no-prompt mode where the version allows it."""
    language: Language = field(default_factory=Language)
    auxiliary: tuple[bytes, ...] = ()
    """More clips of the speaker, for the timbre only."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    encoding: AudioEncoding = AudioEncoding.PCM_S16
    sample_rate_hz: int | None = None
    """None: the voice's own rate."""
    volume_gain_db: float = 0.0


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    request_id: str
    voice_id: str
    text: str
    language: Language = field(default_factory=Language)
    audio: AudioFormat = field(default_factory=AudioFormat)
    sampling: SamplingParams = field(default_factory=SamplingParams)
    prompt: Prompt | None = None
    """Overrides the voice's own prompt."""
    speaking_rate: float = 1.0
    """> 1 is faster; 0.25 to 4."""
    pause_s: float | None = None
    """Silence after each utterance; None is the voice's default (0.3)."""
    cut_method: CutMethod | None = None
    """None is the voice's default."""
    sample_steps: int | None = None
    """Steps of the flow-matching decoder (v3, v4); None is the voice's default."""
    pronunciations: tuple[Pronunciation, ...] = ()
    """Before those of the voice."""
    spell_out: bool = True
    """Write numbers, dates, units and the like in words before they are spoken."""
    deadline_s: float | None = None
    """Reading of the monotonic clock after which the answer is worth nothing."""
    timestamps: frozenset[TimestampKind] = frozenset()
    """Kinds that are sent along; empty: none."""
    exact: bool = False
    """Decode no token of an utterance before all of them are there: later first audio, one joint decode."""
    super_sampling: bool = False
    """Raise the rate of the voice and add the band above it; only voices that speak at 24 kHz (v3)."""
    unary: bool = False
    """The whole audio goes into one message, so its size is limited."""


@dataclass(frozen=True, slots=True)
class StreamStarted:
    request_id: str
    voice_id: str
    encoding: AudioEncoding
    sample_rate_hz: int
    channels: int
    model_generation: int
    cache_state: CacheState
    load_ms: float
    seed: int


@dataclass(frozen=True, slots=True)
class AudioChunk:
    data: bytes
    start_sample: int
    """Offset in output samples of the first sample of this chunk."""
    samples: int
    """How many output samples it stands for; 0 where a codec only flushes."""
    sequence: int


@dataclass(frozen=True, slots=True)
class Timestamp:
    """One stretch of the audio with a name."""

    kind: TimestampKind
    label: str
    """The word as written, the phone of the alphabet, or the name of the viseme."""
    start_sample: int
    end_sample: int
    """The first sample after it."""


@dataclass(frozen=True, slots=True)
class Timestamps:
    """Of one utterance, by rising start within each kind."""

    timestamps: tuple[Timestamp, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the caller should know that is not a failure (the proto's Warning)."""

    code: str
    """Stable name for programs, such as "ASSET_MISSING"."""
    message: str


@dataclass(frozen=True, slots=True)
class SynthesisDone:
    samples: int
    ttfa_ms: float
    rtf: float
    """Synthesis seconds per second of audio; below 1 is faster than real time."""
    underrun_ms: float
    queue_ms: float
    utterances: int = 0
    semantic_tokens: int = 0
    retried_utterances: int = 0
    """Spoken a second time, with another seed, because the first was not fit to be heard."""


SynthesisEvent = StreamStarted | AudioChunk | Timestamps | Notice | SynthesisDone


class Synthesizer(Protocol):
    """Speaks a request."""

    def synthesize(self, request: SynthesisRequest) -> AsyncGenerator[SynthesisEvent, None]:
        """Yields StreamStarted, then chunks, timestamps and notices, then SynthesisDone.

        Closing the iterator (`aclose`, or cancelling the task that reads it) frees the job's slot at its next step.

        Raises:
            VoxswapError: any class of `errors`; never silence, never another voice.
        """
        ...


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """A servable entry of the store."""

    voice_id: str
    version: str
    """Model version: v1, v2, v2Pro, v2ProPlus, v3, v4."""
    languages: tuple[str, ...]
    """BCP-47 codes."""
    sample_rate_hz: int
    display_name: str = ""
    description: str = ""
    licence: str = ""
    consent: str = ""
    tags: tuple[str, ...] = ()
    has_prompt: bool = True
    state: str = "cold"
    """cold, loading, resident, draining, broken."""
    problem: str = ""
    """Why the voice is broken, "" when it is not."""
    bytes_total: int = 0
    revision: str = ""
    """Content hash of the manifest; changes with every update."""


@dataclass(frozen=True, slots=True)
class VoiceUpload:
    """What CreateVoice brings, already joined from its stream."""

    voice_id: str
    t2s_checkpoint: bytes
    sovits_checkpoint: bytes
    prompt: Prompt | None
    version: str = ""
    """Overrides detection where the files cannot tell (a full v4 fine-tune)."""
    languages: tuple[str, ...] = ()
    display_name: str = ""
    description: str = ""
    licence: str = ""
    consent: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VoiceChanges:
    """What UpdateVoice may change; None leaves a field as it is."""

    display_name: str | None = None
    description: str | None = None
    licence: str | None = None
    consent: str | None = None
    tags: tuple[str, ...] | None = None
    prompt: Prompt | None = None
    sampling: SamplingParams | None = None
    pronunciations: tuple[Pronunciation, ...] | None = None
    """Replaces all of them."""


class VoiceLibrary(Protocol):
    """The voices that there are. Every method raises `VoxswapError` classes only."""

    async def list_voices(self) -> Sequence[VoiceInfo]: ...
    async def get_voice(self, voice_id: str) -> VoiceInfo: ...
    async def create_voice(self, upload: VoiceUpload) -> VoiceInfo: ...
    async def update_voice(self, voice_id: str, changes: VoiceChanges) -> VoiceInfo: ...
    async def delete_voice(self, voice_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Resident:
    """A voice in memory."""

    voice_id: str
    tier: str
    """device or host."""
    state: str
    """loading, resident, draining."""
    bytes_own: int
    """Bytes that go if this voice goes."""
    bytes_shared: int
    """Bytes it uses that other resident voices use too."""
    leases: int
    pinned: bool
    generation: int
    idle_s: float
    loads: int
    load_ms: float


@dataclass(frozen=True, slots=True)
class ResidentEvent:
    """One change of residency."""

    kind: str
    """loaded, evicted, load_failed, pinned, unpinned, draining; missed where a slow watcher lost events."""
    voice_id: str
    tier: str
    reason: str
    """lru, ttl, memory, admin, reload for evictions; the error's reason for failures; how many were missed; else ""."""
    bytes: int
    duration_ms: float
    at_unix_s: float


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counters and levels of every cache of the process."""

    bytes_used: Mapping[str, int]
    """By tier."""
    bytes_budget: Mapping[str, int]
    """By tier."""
    residents: Mapping[str, int]
    """By tier."""
    hits: Mapping[str, int]
    """By cache name (voices, networks, prompts, embeddings)."""
    misses: Mapping[str, int]
    loads: int
    load_failures: int
    evictions: Mapping[str, int]
    """By reason."""
    networks: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the shared networks that are on the device, by name; part of what is used there."""


class ModelAdmin(Protocol):
    """Residency, for operators. Every method raises `VoxswapError` classes only."""

    async def load_voice(self, voice_id: str) -> Resident: ...
    async def unload_voice(self, voice_id: str, *, wait: bool = False) -> None: ...
    async def pin_voice(self, voice_id: str) -> Resident: ...
    async def unpin_voice(self, voice_id: str) -> Resident: ...
    async def list_residents(self) -> Sequence[Resident]: ...
    def watch_residents(self) -> AsyncGenerator[ResidentEvent, None]: ...
    async def cache_stats(self) -> CacheStats: ...


@dataclass(frozen=True, slots=True)
class SpeakerMatch:
    voice_id: str
    similarity: float
    """Cosine, -1 to 1."""


class SpeakerEmbedder(Protocol):
    """Who is heard: ECAPA speaker embeddings. Audio is a whole file as bytes."""

    async def embed(self, audio: bytes) -> Sequence[float]:
        """Unit-length speaker embedding.

        Raises:
            AssetMissing: no ECAPA weights are installed.
            BadReferenceAudio: not readable, or shorter than half a second.
        """
        ...

    async def compare(self, first: bytes, second: bytes) -> float:
        """Cosine similarity of the two speakers."""
        ...

    async def find_voices(self, audio: bytes, *, limit: int) -> Sequence[SpeakerMatch]:
        """Voices of the store by falling similarity of their reference audio."""
        ...
