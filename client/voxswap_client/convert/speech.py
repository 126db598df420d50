"""Synthesis: options to messages, messages to events."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from voxswap.v1 import audio_pb2, speech_service_pb2, synthesis_pb2, text_pb2
from voxswap_client.convert import enums
from voxswap_client.speech import (
    AudioChunk,
    AudioEncoding,
    LanguageMode,
    Notice,
    Prompt,
    Pronunciation,
    Sampling,
    Speech,
    SpeechEvent,
    SpeechOptions,
    StreamStarted,
    SynthesisDone,
    Timestamp,
    TimestampKind,
    Timestamps,
    VoiceChanged,
)

_NORMALIZATION = {True: None, False: "off"}


def to_mode(mode: LanguageMode | None) -> Any:
    return enums.number(text_pb2.LanguageMode.DESCRIPTOR, "LANGUAGE_MODE", mode)


def to_sampling(sampling: Sampling) -> synthesis_pb2.SamplingConfig:
    # None leaves an optional field unset.
    return synthesis_pb2.SamplingConfig(
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        temperature=sampling.temperature,
        repetition_penalty=sampling.repetition_penalty,
        seed=sampling.seed,
    )


def to_prompt(prompt: Prompt) -> synthesis_pb2.Prompt:
    return synthesis_pb2.Prompt(
        reference_audio=prompt.reference_audio,
        transcript=prompt.transcript,
        language_code=prompt.language_code,
        language_mode=to_mode(prompt.language_mode),
        auxiliary_audio=prompt.auxiliary_audio,
    )


def to_config(voice_id: str, options: SpeechOptions) -> synthesis_pb2.SpeechConfig:
    """Raises: ValueError, a name is not one of its enum."""
    number: Callable[..., Any] = enums.number
    return synthesis_pb2.SpeechConfig(
        voice_id=voice_id,
        language_code=options.language_code,
        language_mode=to_mode(options.language_mode),
        audio_config=audio_pb2.AudioConfig(
            audio_encoding=number(audio_pb2.AudioEncoding.DESCRIPTOR, "AUDIO_ENCODING", options.encoding),
            sample_rate_hertz=options.sample_rate_hz or 0,
            speaking_rate=options.speaking_rate,
            volume_gain_db=options.volume_gain_db,
        ),
        sampling_config=to_sampling(options.sampling),
        prompt=to_prompt(options.prompt) if options.prompt else None,
        cut_method=number(text_pb2.CutMethod.DESCRIPTOR, "CUT_METHOD", options.cut_method),
        pause_ms=options.pause_ms,
        sample_steps=options.sample_steps,
        exact=options.exact,
        super_sampling=options.super_sampling,
        custom_pronunciations=to_pronunciations(options.pronunciations),
        text_normalization=number(
            text_pb2.TextNormalization.DESCRIPTOR, "TEXT_NORMALIZATION", _NORMALIZATION[options.normalize_text]
        ),
        timestamp_types=[
            number(synthesis_pb2.TimestampType.DESCRIPTOR, "TIMESTAMP_TYPE", kind) for kind in options.timestamps
        ],
    )


def tier_name(value: int) -> str:
    return enums.name(synthesis_pb2.CacheState.DESCRIPTOR, "CACHE_STATE", value)


def from_started(started: synthesis_pb2.StreamStarted) -> StreamStarted:
    encoding = enums.name(audio_pb2.AudioEncoding.DESCRIPTOR, "AUDIO_ENCODING", started.audio_encoding)
    return StreamStarted(
        request_id=started.request_id,
        voice_id=started.voice_id,
        encoding=AudioEncoding(encoding),
        sample_rate_hz=started.sample_rate_hertz,
        channels=started.channels,
        model_generation=started.model_generation,
        cache_state=tier_name(started.cache_state),
        load_ms=started.load_ms,
        seed=started.seed,
    )


def from_chunk(chunk: synthesis_pb2.AudioChunk) -> AudioChunk:
    return AudioChunk(chunk.audio_content, chunk.start_sample, chunk.samples, chunk.sequence)


def from_timestamp(stamp: synthesis_pb2.Timestamp) -> Timestamp:
    kind = enums.name(synthesis_pb2.TimestampType.DESCRIPTOR, "TIMESTAMP_TYPE", stamp.type)
    return Timestamp(TimestampKind(kind), stamp.label, stamp.start_sample, stamp.end_sample)


def from_timestamps(message: synthesis_pb2.Timestamps) -> Timestamps:
    return Timestamps(tuple(from_timestamp(stamp) for stamp in message.timestamps))


def from_changed(changed: synthesis_pb2.VoiceChanged) -> VoiceChanged:
    return VoiceChanged(
        voice_id=changed.voice_id,
        start_sample=changed.start_sample,
        model_generation=changed.model_generation,
        cache_state=tier_name(changed.cache_state),
        load_ms=changed.load_ms,
    )


def from_warning(warning: synthesis_pb2.Warning) -> Notice:
    return Notice(warning.code, warning.message)


def from_done(done: synthesis_pb2.SynthesisDone) -> SynthesisDone:
    return SynthesisDone(
        samples=done.samples,
        ttfa_ms=done.ttfa_ms,
        rtf=done.rtf,
        underrun_ms=done.underrun_ms,
        queue_ms=done.queue_ms,
        utterances=done.utterances,
        semantic_tokens=done.semantic_tokens,
        retried_utterances=done.retried_utterances,
    )


EVENTS: Mapping[str, Callable[[Any], SpeechEvent]] = {
    "started": from_started,
    "audio_chunk": from_chunk,
    "timestamps": from_timestamps,
    "voice_changed": from_changed,
    "warning": from_warning,
    "done": from_done,
}


def from_event(response: speech_service_pb2.SynthesizeStreamResponse) -> Sequence[SpeechEvent]:
    """One event; none where only a newer server knows what it is."""
    field = response.WhichOneof("event")
    return (EVENTS[field](getattr(response, field)),) if field else ()


def from_synthesize(response: speech_service_pb2.SynthesizeResponse) -> Speech:
    return Speech(
        audio=response.audio_content,
        started=from_started(response.started),
        done=from_done(response.done),
        notices=tuple(from_warning(warning) for warning in response.warnings),
        timestamps=tuple(from_timestamp(stamp) for stamp in response.timestamps),
    )


def to_pronunciations(words: Sequence[Pronunciation]) -> list[text_pb2.CustomPronunciation]:
    number: Callable[..., Any] = enums.number
    return [
        text_pb2.CustomPronunciation(
            phrase=word.phrase,
            pronunciation=word.pronunciation,
            phonetic_encoding=number(text_pb2.PhoneticEncoding.DESCRIPTOR, "PHONETIC_ENCODING", word.encoding),
        )
        for word in words
    ]
