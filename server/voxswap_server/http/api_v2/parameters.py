"""The parameters of upstream's `/tts` (SPEC §8), and the request that they stand for.

Knows nothing of clients and their state. What upstream needs only because of how it batches and streams is checked and
has no effect; what a request leaves open is the voice's default, then upstream's.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator

from voxswap_server import limits
from voxswap_server.domain import (
    AudioEncoding,
    AudioFormat,
    CutMethod,
    Language,
    LanguageMode,
    Prompt,
    SamplingParams,
    SynthesisRequest,
)
from voxswap_server.http.bodies import Asked
from voxswap_server.http.calls import Call

LANGUAGES: Mapping[str, Language] = {
    "auto": Language("", LanguageMode.AUTO),
    "auto_yue": Language("", LanguageMode.AUTO_CANTONESE),
    "en": Language("en"),
    "zh": Language("zh"),
    "ja": Language("ja"),
    "ko": Language("ko"),
    "yue": Language("yue"),
    "all_zh": Language("zh", LanguageMode.ALL),
    "all_ja": Language("ja", LanguageMode.ALL),
    "all_ko": Language("ko", LanguageMode.ALL),
    "all_yue": Language("yue", LanguageMode.ALL),
}
"""Upstream's eleven codes; docs/LANGUAGES.md has the same table the other way round."""

CUTS: Mapping[str, CutMethod] = {
    "cut0": CutMethod.NONE,
    "cut1": CutMethod.FOUR_SENTENCES,
    "cut2": CutMethod.FIFTY_CHARACTERS,
    "cut3": CutMethod.CHINESE_STOP,
    "cut4": CutMethod.ENGLISH_STOP,
    "cut5": CutMethod.PUNCTUATION,
}

ENCODINGS: Mapping[str, AudioEncoding] = {
    "wav": AudioEncoding.WAV,
    "raw": AudioEncoding.PCM_S16,
    "ogg": AudioEncoding.OGG_OPUS,
    "aac": AudioEncoding.AAC,
}

STREAMED = {0: False, 1: True, 2: True, 3: True}
"""By `streaming_mode`. There is one way of streaming here, so the modes that stream are alike."""

Positive = Annotated[float, Field(gt=0)]


class TtsAsked(Asked):
    """Query or body of `/tts`. `voice_id` is ours: the voice itself, whatever was set before."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    text: Annotated[str, Field(min_length=1)]
    text_lang: str
    ref_audio_path: str = ""
    aux_ref_audio_paths: Annotated[tuple[str, ...], Field(max_length=limits.MAX_AUXILIARY)] = ()
    prompt_lang: str = ""
    prompt_text: str = ""
    top_k: Annotated[int | None, Field(ge=limits.TOP_K[0], le=limits.TOP_K[1])] = None
    top_p: Annotated[float | None, Field(gt=0, le=limits.MOST_TOP_P)] = None
    temperature: Annotated[float | None, Field(gt=0, le=limits.MOST_TEMPERATURE)] = None
    text_split_method: str = "cut5"
    batch_size: Annotated[int, Field(ge=1)] = 1
    batch_threshold: Positive = 0.75
    split_bucket: bool = True
    speed_factor: Annotated[float, Field(ge=limits.SPEAKING_RATE[0], le=limits.SPEAKING_RATE[1])] = 1.0
    fragment_interval: Annotated[float | None, Field(ge=limits.PAUSE_MS[0] / 1e3, le=limits.PAUSE_MS[1] / 1e3)] = None
    seed: Annotated[int, Field(ge=-1, lt=2**63)] = -1
    media_type: Literal["wav", "raw", "ogg", "aac"] = "wav"
    streaming_mode: bool | Annotated[int, Field(ge=0, le=3)] = False
    parallel_infer: bool = True
    repetition_penalty: Annotated[float | None, Field(gt=0, le=limits.MOST_REPETITION_PENALTY)] = None
    sample_steps: Annotated[int | None, Field(ge=limits.SAMPLE_STEPS[0], le=limits.SAMPLE_STEPS[1])] = None
    super_sampling: bool = False
    overlap_length: Annotated[int, Field(ge=0)] = 2
    min_chunk_length: Annotated[int, Field(ge=1)] = 16
    voice_id: str = ""

    @field_validator("text_lang", "prompt_lang")
    @classmethod
    def _is_a_language(cls, value: str) -> str:
        code = value.lower()
        if code and code not in LANGUAGES:
            raise ValueError(f"must be one of {', '.join(LANGUAGES)}")
        return code

    @field_validator("text_split_method")
    @classmethod
    def _is_a_cut(cls, value: str) -> str:
        if value not in CUTS:
            raise ValueError(f"must be one of {', '.join(CUTS)}")
        return value

    @field_validator("aux_ref_audio_paths", mode="before")
    @classmethod
    def _null_is_none(cls, value: object) -> object:
        return () if value is None else value

    @property
    def streams(self) -> bool:
        return STREAMED[int(self.streaming_mode)]


def to_synthesis(asked: TtsAsked, call: Call, voice_id: str, prompt: Prompt | None) -> SynthesisRequest:
    """The request that the parameters stand for."""
    return SynthesisRequest(
        request_id=call.request_id,
        voice_id=voice_id,
        text=asked.text,
        language=LANGUAGES[asked.text_lang or "auto"],
        audio=AudioFormat(ENCODINGS[asked.media_type]),
        sampling=SamplingParams(
            top_k=asked.top_k,
            top_p=asked.top_p,
            temperature=asked.temperature,
            repetition_penalty=asked.repetition_penalty,
            seed=None if asked.seed == -1 else asked.seed,
        ),
        prompt=prompt,
        speaking_rate=asked.speed_factor,
        pause_s=asked.fragment_interval,
        cut_method=CUTS[asked.text_split_method],
        sample_steps=asked.sample_steps,
        super_sampling=asked.super_sampling,
        deadline_s=call.deadline_s,
        unary=not asked.streams,
    )
