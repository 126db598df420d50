"""What is asked of a synthesis and what it answers.

Knows nothing of messages. Units end the names; a field without one has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class AudioEncoding(StrEnum):
    """How samples become bytes. PCM, µ-law and A-law have no header in a stream; the others begin with theirs."""

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
    """How strictly a language code is meant; a later member is not an error of a caller who leaves it alone."""

    MIXED = "mixed"
    """The language of the code, with English words spoken as English."""
    ALL = "all"
    """Everything is read as the language of the code."""
    AUTO = "auto"
    """Each stretch is detected; the code stays empty."""
    AUTO_CANTONESE = "auto_cantonese"
    """As AUTO, and Chinese characters are read as Cantonese."""


class CutMethod(StrEnum):
    """Where a text is cut into utterances."""

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


class PhoneticEncoding(StrEnum):
    """In which alphabet a pronunciation is written."""

    PHONES = "phones"
    PINYIN = "pinyin"
    KANA = "kana"
    ARPABET = "arpabet"
    JYUTPING = "jyutping"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How semantic tokens are drawn. None is the voice's default."""

    top_k: int | None = None
    """Keep this many best tokens; 1 is greedy."""
    top_p: float | None = None
    """Keep tokens whose cumulative mass stays within this; 1 keeps all."""
    temperature: float | None = None
    """< 1 is steadier, > 1 is livelier."""
    repetition_penalty: float | None = None
    """> 1 discourages tokens already used; 1 is none."""
    seed: int | None = None
    """The same seed gives the same audio; None draws one, told in StreamStarted."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Reference audio with its transcript: who is heard, and how."""

    reference_audio: bytes
    """A whole file of 3 to 10 s."""
    transcript: str = ""
    language_code: str = ""
    """BCP-47; "" detects."""
    language_mode: LanguageMode | None = None
    auxiliary_audio: tuple[bytes, ...] = ()
    """More clips of the speaker, for the timbre only."""


@dataclass(frozen=True, slots=True)
class Pronunciation:
    """How one word is to be said."""

    phrase: str
    pronunciation: str
    encoding: PhoneticEncoding = PhoneticEncoding.PHONES


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """Everything about a synthesis but its text and its voice. None leaves a choice to the server or the voice."""

    language_code: str = ""
    """BCP-47: zh, en, ja, ko, yue; "" detects."""
    language_mode: LanguageMode | None = None
    encoding: AudioEncoding = AudioEncoding.PCM_S16
    sample_rate_hz: int | None = None
    """None: the voice's own, or the next one that the encoding has."""
    speaking_rate: float = 1.0
    """> 1 is faster; 0.25 to 4."""
    volume_gain_db: float = 0.0
    sampling: Sampling = field(default_factory=Sampling)
    prompt: Prompt | None = None
    """Speak with this reference instead of the voice's own."""
    cut_method: CutMethod | None = None
    pause_ms: int | None = None
    """Silence after each utterance."""
    sample_steps: int | None = None
    """Steps of the flow-matching decoder (v3, v4)."""
    exact: bool = False
    """Decode an utterance jointly, after its last token: later first audio."""
    super_sampling: bool = False
    """Widen a 24 kHz voice (v3) to 48 kHz."""
    pronunciations: Sequence[Pronunciation] = ()
    normalize_text: bool = True
    """Spell out numbers, dates, units and the like."""
    timestamps: Sequence[TimestampKind] = ()


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """Always the first event."""

    request_id: str
    voice_id: str
    encoding: AudioEncoding
    sample_rate_hz: int
    channels: int
    model_generation: int
    cache_state: str
    """Where the voice was: device, host or disk."""
    load_ms: float
    """What making it resident took."""
    seed: int


@dataclass(frozen=True, slots=True)
class AudioChunk:
    data: bytes
    start_sample: int
    samples: int
    """How many samples it stands for; 0 where a codec only flushes."""
    sequence: int


@dataclass(frozen=True, slots=True)
class Timestamp:
    kind: TimestampKind
    label: str
    start_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class Timestamps:
    timestamps: tuple[Timestamp, ...]


@dataclass(frozen=True, slots=True)
class VoiceChanged:
    """From `start_sample` on another voice is heard."""

    voice_id: str
    start_sample: int
    model_generation: int
    cache_state: str
    load_ms: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the caller should know that is not a failure (the protocol's Warning)."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class SynthesisDone:
    """Always the last event of an answer that succeeded."""

    samples: int
    ttfa_ms: float
    """From the acceptance of the request to the first byte of audio, by the server's clock."""
    rtf: float
    """Seconds of synthesis per second of audio; < 1 is faster than real time."""
    underrun_ms: float
    queue_ms: float
    utterances: int
    semantic_tokens: int
    retried_utterances: int = 0
    """Spoken a second time, with another seed, because the first was not fit to be heard."""


SpeechEvent = StreamStarted | AudioChunk | Timestamps | VoiceChanged | Notice | SynthesisDone


@dataclass(frozen=True, slots=True)
class Speech:
    """The whole answer of a unary synthesis."""

    audio: bytes
    started: StreamStarted
    done: SynthesisDone
    notices: tuple[Notice, ...] = ()
    timestamps: tuple[Timestamp, ...] = ()
