"""What is asked for: a text, in whose voice, and how it is to sound.

Knows nothing of limits: who takes a request checks it. What is None here is the voice's to say.
"""

from dataclasses import dataclass, field

from voxswap_server.domain.audio import AudioFormat
from voxswap_server.domain.text import CutMethod, Language, Pronunciation
from voxswap_server.domain.timestamps import TimestampKind


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
