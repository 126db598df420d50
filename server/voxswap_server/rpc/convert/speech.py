"""SpeechService: requests to `SynthesisRequest`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from voxswap.v1 import audio_pb2, synthesis_pb2, text_pb2
from voxswap_server import limits
from voxswap_server.domain import (
    AudioEncoding,
    AudioFormat,
    CutMethod,
    PhoneticEncoding,
    Prompt,
    Pronunciation,
    SamplingParams,
    SynthesisRequest,
    TimestampKind,
)
from voxswap_server.errors import BadReferenceAudio, RequestError
from voxswap_server.limits import MAX_AUXILIARY
from voxswap_server.rpc.convert.fields import Fields, checked
from voxswap_server.rpc.convert.language import to_language

ENCODINGS: Mapping[int, AudioEncoding] = {
    audio_pb2.AUDIO_ENCODING_UNSPECIFIED: AudioEncoding.PCM_S16,
    audio_pb2.AUDIO_ENCODING_PCM_S16: AudioEncoding.PCM_S16,
    audio_pb2.AUDIO_ENCODING_PCM_F32: AudioEncoding.PCM_F32,
    audio_pb2.AUDIO_ENCODING_WAV: AudioEncoding.WAV,
    audio_pb2.AUDIO_ENCODING_FLAC: AudioEncoding.FLAC,
    audio_pb2.AUDIO_ENCODING_OGG_OPUS: AudioEncoding.OGG_OPUS,
    audio_pb2.AUDIO_ENCODING_MP3: AudioEncoding.MP3,
    audio_pb2.AUDIO_ENCODING_MULAW: AudioEncoding.MULAW,
    audio_pb2.AUDIO_ENCODING_ALAW: AudioEncoding.ALAW,
    audio_pb2.AUDIO_ENCODING_AAC: AudioEncoding.AAC,
}
CUT_METHODS: Mapping[int, CutMethod | None] = {
    text_pb2.CUT_METHOD_UNSPECIFIED: None,
    text_pb2.CUT_METHOD_NONE: CutMethod.NONE,
    text_pb2.CUT_METHOD_FOUR_SENTENCES: CutMethod.FOUR_SENTENCES,
    text_pb2.CUT_METHOD_FIFTY_CHARACTERS: CutMethod.FIFTY_CHARACTERS,
    text_pb2.CUT_METHOD_CHINESE_STOP: CutMethod.CHINESE_STOP,
    text_pb2.CUT_METHOD_ENGLISH_STOP: CutMethod.ENGLISH_STOP,
    text_pb2.CUT_METHOD_PUNCTUATION: CutMethod.PUNCTUATION,
}

NORMALIZATIONS: Mapping[int, bool] = {
    text_pb2.TEXT_NORMALIZATION_UNSPECIFIED: True,
    text_pb2.TEXT_NORMALIZATION_ON: True,
    text_pb2.TEXT_NORMALIZATION_OFF: False,
}

PHONETIC_ENCODINGS: Mapping[int, PhoneticEncoding] = {
    text_pb2.PHONETIC_ENCODING_UNSPECIFIED: PhoneticEncoding.PHONES,
    text_pb2.PHONETIC_ENCODING_PHONES: PhoneticEncoding.PHONES,
    text_pb2.PHONETIC_ENCODING_PINYIN: PhoneticEncoding.PINYIN,
    text_pb2.PHONETIC_ENCODING_KANA: PhoneticEncoding.KANA,
    text_pb2.PHONETIC_ENCODING_ARPABET: PhoneticEncoding.ARPABET,
    text_pb2.PHONETIC_ENCODING_JYUTPING: PhoneticEncoding.JYUTPING,
}

TIMESTAMP_TYPES: Mapping[int, TimestampKind] = {
    synthesis_pb2.TIMESTAMP_TYPE_WORD: TimestampKind.WORD,
    synthesis_pb2.TIMESTAMP_TYPE_PHONE: TimestampKind.PHONE,
    synthesis_pb2.TIMESTAMP_TYPE_VISEME: TimestampKind.VISEME,
}

FIELD_PATHS: Mapping[str, str] = {
    "voice_id": "config.voice_id",
    "language_code": "config.language_code",
    "sample_rate_hz": "config.audio_config.sample_rate_hertz",
    "sample_steps": "config.sample_steps",
    "speaking_rate": "config.audio_config.speaking_rate",
    "super_sampling": "config.super_sampling",
    "prompt": "config.prompt",
    "prompt.audio": "config.prompt.reference_audio",
    "prompt.auxiliary": "config.prompt.auxiliary_audio",
    "prompt.language_code": "config.prompt.language_code",
    "prompt.transcript": "config.prompt.transcript",
}
"""From the names that the engine gives fields to those of a request."""

MAX_PRONUNCIATIONS = 200
MAX_PHRASE_CHARACTERS = 100
MAX_PRONUNCIATION_CHARACTERS = 500


def field_path(error: RequestError) -> str:
    """The field of a request that an error of the engine is about."""
    unnamed = "prompt.audio" if isinstance(error, BadReferenceAudio) else ""
    field = error.field or unnamed
    if field.startswith("custom_pronunciations["):
        return f"config.{field}"
    return FIELD_PATHS.get(field, field)


def to_synthesis(
    text: str, config: synthesis_pb2.SpeechConfig, *, request_id: str, deadline_s: float | None, unary: bool
) -> SynthesisRequest:
    """The request that a text and its config stand for.

    Raises:
        InvalidFields: lists everything that is wrong.
    """
    with checked() as fields:
        if not text.strip():
            fields.reject("text", "holds nothing that could be spoken")
        asked = to_speech(fields, config)
    return replace(asked, request_id=request_id, text=text, deadline_s=deadline_s, unary=unary)


def to_speech(fields: Fields, config: synthesis_pb2.SpeechConfig) -> SynthesisRequest:
    """How a config wants a text spoken; the text is ""."""
    return SynthesisRequest(
        request_id="",
        voice_id=fields.voice_id("config.voice_id", config.voice_id),
        text="",
        language=to_language(fields, "config.", config.language_code, config.language_mode),
        audio=_to_format(fields, config.audio_config),
        sampling=to_sampling(fields, "config.sampling_config", config.sampling_config),
        prompt=to_prompt(fields, "config.prompt", config.prompt) if config.HasField("prompt") else None,
        speaking_rate=_to_rate(fields, config.audio_config.speaking_rate),
        pause_s=_to_pause(fields, config),
        cut_method=fields.choice("config.cut_method", config.cut_method, text_pb2.CutMethod.DESCRIPTOR, CUT_METHODS),
        sample_steps=_to_steps(fields, config),
        pronunciations=to_pronunciations(fields, "config.custom_pronunciations", config.custom_pronunciations),
        spell_out=fields.choice(
            "config.text_normalization",
            config.text_normalization,
            text_pb2.TextNormalization.DESCRIPTOR,
            NORMALIZATIONS,
        ),
        timestamps=frozenset(
            fields.choice(
                f"config.timestamp_types[{index}]", kind, synthesis_pb2.TimestampType.DESCRIPTOR, TIMESTAMP_TYPES
            )
            for index, kind in enumerate(config.timestamp_types)
        ),
        exact=config.exact,
        super_sampling=config.super_sampling,
    )


def to_pronunciations(
    fields: Fields, name: str, given: Sequence[text_pb2.CustomPronunciation]
) -> tuple[Pronunciation, ...]:
    fields.at_most(name, len(given), MAX_PRONUNCIATIONS, "pronunciations")
    first: dict[str, int] = {}
    found = []
    for index, one in enumerate(given[:MAX_PRONUNCIATIONS]):
        at = f"{name}[{index}]"
        phrase, said = one.phrase.strip(), one.pronunciation.strip()
        fields.require(f"{at}.phrase", given=bool(phrase))
        fields.at_most(f"{at}.phrase", len(phrase), MAX_PHRASE_CHARACTERS, "characters")
        fields.require(f"{at}.pronunciation", given=bool(said))
        fields.at_most(f"{at}.pronunciation", len(said), MAX_PRONUNCIATION_CHARACTERS, "characters")
        if first.setdefault(phrase.casefold(), index) != index:
            fields.reject(f"{at}.phrase", f"{phrase[:80]!r} has a pronunciation already, at {first[phrase.casefold()]}")
        encoding = fields.choice(
            f"{at}.phonetic_encoding",
            one.phonetic_encoding,
            text_pb2.PhoneticEncoding.DESCRIPTOR,
            PHONETIC_ENCODINGS,
        )
        found.append(Pronunciation(phrase, said, encoding))
    return tuple(found)


def _to_format(fields: Fields, audio: audio_pb2.AudioConfig) -> AudioFormat:
    name = "config.audio_config"
    rate_hz = audio.sample_rate_hertz
    if rate_hz:
        fields.between(f"{name}.sample_rate_hertz", rate_hz, *limits.SAMPLE_RATE_HZ)
    return AudioFormat(
        encoding=fields.choice(
            f"{name}.audio_encoding", audio.audio_encoding, audio_pb2.AudioEncoding.DESCRIPTOR, ENCODINGS
        ),
        sample_rate_hz=rate_hz or None,
        volume_gain_db=fields.between(f"{name}.volume_gain_db", audio.volume_gain_db, *limits.VOLUME_GAIN_DB),
    )


def _to_rate(fields: Fields, speaking_rate: float) -> float:
    if speaking_rate == 0:
        return 1.0
    return fields.between("config.audio_config.speaking_rate", speaking_rate, *limits.SPEAKING_RATE)


def _to_pause(fields: Fields, config: synthesis_pb2.SpeechConfig) -> float | None:
    if not config.HasField("pause_ms"):
        return None
    return fields.between("config.pause_ms", config.pause_ms, *limits.PAUSE_MS) / 1000


def _to_steps(fields: Fields, config: synthesis_pb2.SpeechConfig) -> int | None:
    if not config.HasField("sample_steps"):
        return None
    return fields.between("config.sample_steps", config.sample_steps, *limits.SAMPLE_STEPS)


def to_sampling(fields: Fields, name: str, sampling: synthesis_pb2.SamplingConfig) -> SamplingParams:
    """Sampling parameters; those that are not set stay None."""
    given = sampling.HasField
    return SamplingParams(
        top_k=fields.between(f"{name}.top_k", sampling.top_k, *limits.TOP_K) if given("top_k") else None,
        top_p=fields.above(f"{name}.top_p", sampling.top_p, 0, limits.MOST_TOP_P) if given("top_p") else None,
        temperature=fields.above(f"{name}.temperature", sampling.temperature, 0, limits.MOST_TEMPERATURE)
        if given("temperature")
        else None,
        repetition_penalty=fields.above(
            f"{name}.repetition_penalty", sampling.repetition_penalty, 0, limits.MOST_REPETITION_PENALTY
        )
        if given("repetition_penalty")
        else None,
        seed=sampling.seed if given("seed") else None,
    )


def to_prompt(fields: Fields, name: str, prompt: synthesis_pb2.Prompt) -> Prompt:
    """A prompt that brings its own audio."""
    fields.require(f"{name}.reference_audio", given=bool(prompt.reference_audio))
    fields.at_most(f"{name}.auxiliary_audio", len(prompt.auxiliary_audio), MAX_AUXILIARY, "clips")
    for index, clip in enumerate(prompt.auxiliary_audio):
        fields.require(f"{name}.auxiliary_audio[{index}]", given=bool(clip))
    return Prompt(
        audio=prompt.reference_audio,
        transcript=prompt.transcript,
        language=to_language(fields, f"{name}.", prompt.language_code, prompt.language_mode),
        auxiliary=tuple(prompt.auxiliary_audio),
    )
