"""SpeechService: what the engine says, as messages."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from voxswap.v1 import audio_pb2, synthesis_pb2
from voxswap_server.domain import (
    AudioChunk,
    AudioEncoding,
    CacheState,
    Notice,
    StreamStarted,
    SynthesisDone,
    Timestamps,
)
from voxswap_server.rpc.convert.fields import finite_or_zero
from voxswap_server.rpc.convert.speech import ENCODINGS, TIMESTAMP_TYPES

ENCODING_VALUES = {encoding: audio_pb2.AudioEncoding.ValueType(value) for value, encoding in ENCODINGS.items() if value}

TIMESTAMP_VALUES = {kind: synthesis_pb2.TimestampType.ValueType(value) for value, kind in TIMESTAMP_TYPES.items()}

CACHE_STATE_VALUES: Mapping[CacheState, synthesis_pb2.CacheState.ValueType] = {
    CacheState.DEVICE: synthesis_pb2.CACHE_STATE_DEVICE,
    CacheState.HOST: synthesis_pb2.CACHE_STATE_HOST,
    CacheState.DISK: synthesis_pb2.CACHE_STATE_DISK,
}

SAMPLE_BYTES: Mapping[AudioEncoding, int] = {
    AudioEncoding.PCM_S16: 2,
    AudioEncoding.PCM_F32: 4,
    AudioEncoding.MULAW: 1,
    AudioEncoding.ALAW: 1,
}
"""Of the encodings whose stream may be cut anywhere between samples."""


def from_started(started: StreamStarted) -> synthesis_pb2.StreamStarted:
    return synthesis_pb2.StreamStarted(
        request_id=started.request_id,
        audio_encoding=ENCODING_VALUES[started.encoding],
        sample_rate_hertz=started.sample_rate_hz,
        channels=started.channels,
        voice_id=started.voice_id,
        model_generation=started.model_generation,
        cache_state=CACHE_STATE_VALUES[started.cache_state],
        load_ms=started.load_ms,
        seed=started.seed,
    )


def from_chunk(chunk: AudioChunk) -> synthesis_pb2.AudioChunk:
    return synthesis_pb2.AudioChunk(
        audio_content=chunk.data,
        start_sample=chunk.start_sample,
        sequence=chunk.sequence,
        samples=chunk.samples,
    )


def from_timestamps(stamps: Timestamps) -> synthesis_pb2.Timestamps:
    return synthesis_pb2.Timestamps(
        timestamps=[
            synthesis_pb2.Timestamp(
                type=TIMESTAMP_VALUES[stamp.kind],
                label=stamp.label,
                start_sample=stamp.start_sample,
                end_sample=stamp.end_sample,
            )
            for stamp in stamps.timestamps
        ]
    )


def from_notice(notice: Notice) -> synthesis_pb2.Warning:
    return synthesis_pb2.Warning(code=notice.code, message=notice.message)


def from_done(done: SynthesisDone) -> synthesis_pb2.SynthesisDone:
    return synthesis_pb2.SynthesisDone(
        samples=done.samples,
        ttfa_ms=finite_or_zero(done.ttfa_ms),
        rtf=finite_or_zero(done.rtf),
        underrun_ms=finite_or_zero(done.underrun_ms),
        queue_ms=finite_or_zero(done.queue_ms),
        utterances=done.utterances,
        semantic_tokens=done.semantic_tokens,
        retried_utterances=done.retried_utterances,
    )


def pieces(chunk: AudioChunk, encoding: AudioEncoding, max_bytes: int) -> Iterator[AudioChunk]:
    """A chunk in messages that a client takes by default. Of a container, the first piece stands for all samples."""
    width = SAMPLE_BYTES.get(encoding)
    step = max_bytes - max_bytes % (width or 1)
    for offset in range(0, max(len(chunk.data), 1), step):
        data = chunk.data[offset : offset + step]
        if width:
            start, samples = chunk.start_sample + offset // width, len(data) // width
        else:
            start, samples = chunk.start_sample + (chunk.samples if offset else 0), 0 if offset else chunk.samples
        yield replace(chunk, data=data, start_sample=start, samples=samples)
