"""Requests and events of SpeechService: what is accepted, what is refused and how, what comes back."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap.v1 import audio_pb2, synthesis_pb2, text_pb2
from voxswap_server.domain import (
    AudioChunk,
    AudioEncoding,
    CutMethod,
    Language,
    LanguageMode,
    PhoneticEncoding,
    Pronunciation,
    SynthesisDone,
)
from voxswap_server.errors import InvalidFields, RequestError
from voxswap_server.rpc.convert import events, speech
from voxswap_server.rpc.convert.fields import ID_PATTERN


def convert(text="hello", **config):
    message = synthesis_pb2.SpeechConfig(**({"voice_id": "narrator"} | config))
    return speech.to_synthesis(text, message, request_id="r-1", deadline_s=12.5, unary=True)


def violations(text="hello", **config):
    with pytest.raises(InvalidFields) as caught:
        convert(text, **config)
    return dict(caught.value.violations)


def sampling(**values):
    return {"sampling_config": synthesis_pb2.SamplingConfig(**values)}


def audio(**values):
    return {"audio_config": audio_pb2.AudioConfig(**values)}


def test_defaults_leave_the_choice_to_the_voice():
    asked = convert()
    assert (asked.request_id, asked.voice_id, asked.text, asked.unary) == ("r-1", "narrator", "hello", True)
    assert asked.deadline_s == 12.5
    assert asked.language == Language("", LanguageMode.AUTO)
    assert (asked.audio.encoding, asked.audio.sample_rate_hz, asked.audio.volume_gain_db) == ("pcm_s16", None, 0.0)
    assert (asked.speaking_rate, asked.pause_s, asked.cut_method, asked.sample_steps) == (1.0, None, None, None)
    assert asked.prompt is None
    assert {getattr(asked.sampling, name) for name in asked.sampling.__slots__} == {None}


def test_every_value_of_every_enum_is_known():
    for table, enum in (
        (speech.ENCODINGS, audio_pb2.AudioEncoding),
        (speech.CUT_METHODS, text_pb2.CutMethod),
        (speech.NORMALIZATIONS, text_pb2.TextNormalization),
        (speech.PHONETIC_ENCODINGS, text_pb2.PhoneticEncoding),
        ({0: None} | speech.TIMESTAMP_TYPES, synthesis_pb2.TimestampType),
    ):
        assert set(table) == set(enum.values())
    assert set(speech.ENCODINGS.values()) == set(AudioEncoding) == set(events.ENCODING_VALUES)
    assert set(speech.CUT_METHODS.values()) == {None, *CutMethod}


@pytest.mark.parametrize("zero", [{"pause_ms": 0}, sampling(seed=0)], ids=["pause", "seed"])
def test_a_zero_that_is_set_is_not_a_default(zero):
    asked = convert(**zero)
    assert asked.pause_s == 0.0 or asked.sampling.seed == 0


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        (audio(speaking_rate=0.2), "config.audio_config.speaking_rate"),
        (audio(speaking_rate=4.01), "config.audio_config.speaking_rate"),
        (audio(speaking_rate=-1), "config.audio_config.speaking_rate"),
        (audio(speaking_rate=math.nan), "config.audio_config.speaking_rate"),
        (audio(volume_gain_db=17), "config.audio_config.volume_gain_db"),
        (audio(volume_gain_db=-math.inf), "config.audio_config.volume_gain_db"),
        (audio(sample_rate_hertz=7999), "config.audio_config.sample_rate_hertz"),
        (audio(sample_rate_hertz=48001), "config.audio_config.sample_rate_hertz"),
        (audio(sample_rate_hertz=-8000), "config.audio_config.sample_rate_hertz"),
        (audio(audio_encoding=77), "config.audio_config.audio_encoding"),
        (sampling(top_k=0), "config.sampling_config.top_k"),
        (sampling(top_k=1026), "config.sampling_config.top_k"),
        (sampling(top_p=0), "config.sampling_config.top_p"),
        (sampling(top_p=1.01), "config.sampling_config.top_p"),
        (sampling(temperature=0), "config.sampling_config.temperature"),
        (sampling(temperature=math.nan), "config.sampling_config.temperature"),
        (sampling(repetition_penalty=0), "config.sampling_config.repetition_penalty"),
        ({"pause_ms": -1}, "config.pause_ms"),
        ({"pause_ms": 5001}, "config.pause_ms"),
        ({"sample_steps": 0}, "config.sample_steps"),
        ({"sample_steps": 129}, "config.sample_steps"),
        ({"cut_method": 42}, "config.cut_method"),
        ({"text_normalization": 42}, "config.text_normalization"),
        ({"timestamp_types": [1, 0]}, "config.timestamp_types[1]"),
        ({"language_mode": 42}, "config.language_mode"),
        ({"language_code": "xx"}, "config.language_code"),
        ({"language_mode": text_pb2.LANGUAGE_MODE_ALL}, "config.language_code"),
        ({"language_code": "en", "language_mode": text_pb2.LANGUAGE_MODE_AUTO}, "config.language_code"),
        ({"prompt": synthesis_pb2.Prompt()}, "config.prompt.reference_audio"),
        (
            {"prompt": synthesis_pb2.Prompt(reference_audio=b"a", auxiliary_audio=[b"b", b""])},
            "config.prompt.auxiliary_audio[1]",
        ),
        (
            {"prompt": synthesis_pb2.Prompt(reference_audio=b"a", auxiliary_audio=[b"b"] * 9)},
            "config.prompt.auxiliary_audio",
        ),
        ({"prompt": synthesis_pb2.Prompt(reference_audio=b"a", language_code="xx")}, "config.prompt.language_code"),
        ({"voice_id": ""}, "config.voice_id"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(given_, field):
    assert list(violations(**given_)) == [field]


@pytest.mark.parametrize(
    "fine",
    [
        audio(speaking_rate=0.25),
        audio(speaking_rate=4),
        audio(sample_rate_hertz=8000),
        sampling(top_k=1025, top_p=1, temperature=10, repetition_penalty=10),
        {"pause_ms": 5000, "sample_steps": 128},
        {"language_code": "yue", "language_mode": text_pb2.LANGUAGE_MODE_AUTO_CANTONESE},
        {"language_code": "zh-Hans-CN"},
    ],
)
def test_bounds_themselves_are_fine(fine):
    convert(**fine)


def test_an_unknown_enum_value_lists_the_choices():
    what = violations(cut_method=42)["config.cut_method"]
    assert what.startswith("42 is not a value of CutMethod; choices: CUT_METHOD_UNSPECIFIED, CUT_METHOD_NONE")


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_a_text_must_hold_something(text):
    assert list(violations(text)) == ["text"]


def test_super_sampling_reaches_the_engine():
    assert convert(super_sampling=True).super_sampling
    assert not convert().super_sampling
    error = RequestError("cannot", field="super_sampling")
    assert speech.field_path(error) == "config.super_sampling"


def test_exact_reaches_the_engine():
    assert convert(exact=True).exact
    assert not convert().exact


def said(phrase="word", pronunciation="N", **more):
    return text_pb2.CustomPronunciation(phrase=phrase, pronunciation=pronunciation, **more)


def test_pronunciations_and_the_normaliser_reach_the_engine():
    asked = convert(
        custom_pronunciations=[said(" Nikki ", "N IH1", phonetic_encoding=text_pb2.PHONETIC_ENCODING_ARPABET), said()],
        text_normalization=text_pb2.TEXT_NORMALIZATION_OFF,
    )
    assert asked.pronunciations == (
        Pronunciation("Nikki", "N IH1", PhoneticEncoding.ARPABET),
        Pronunciation("word", "N", PhoneticEncoding.PHONES),
    )
    assert not asked.spell_out
    assert convert().spell_out
    assert convert(text_normalization=text_pb2.TEXT_NORMALIZATION_ON).spell_out


@pytest.mark.parametrize(
    ("given_", "fields"),
    [
        ([said(phrase="  ")], ["[0].phrase"]),
        ([said(), said("other", "")], ["[1].pronunciation"]),
        ([said("x" * 101, "N" * 501)], ["[0].phrase", "[0].pronunciation"]),
        ([said("Word"), said("wORD")], ["[1].phrase"]),
        ([said(phonetic_encoding=9)], ["[0].phonetic_encoding"]),
        ([said(str(number)) for number in range(201)], [""]),
    ],
    ids=["blank phrase", "no phones", "too long", "twice", "unknown alphabet", "too many"],
)
def test_a_bad_pronunciation_is_refused_by_its_place(given_, fields):
    assert list(violations(custom_pronunciations=given_)) == [f"config.custom_pronunciations{name}" for name in fields]


def test_the_engines_word_on_a_pronunciation_names_its_place():
    error = RequestError("no phone", field="custom_pronunciations[3].pronunciation")
    assert speech.field_path(error) == "config.custom_pronunciations[3].pronunciation"


@given(st.text(max_size=80))
def test_ids_match_the_pattern_or_are_refused(voice_id):
    if re.fullmatch(ID_PATTERN, voice_id) and not voice_id.endswith("\n"):
        assert convert(voice_id=voice_id).voice_id == voice_id
    else:
        assert list(violations(voice_id=voice_id)) == ["config.voice_id"]


@pytest.mark.parametrize("voice_id", ["narrator\n", "../etc/passwd", "a/b", "UPPER", "-first", "x" * 65, "é"])
def test_ids_that_could_leave_the_store_are_refused(voice_id):
    assert list(violations(voice_id=voice_id)) == ["config.voice_id"]


@given(
    st.sampled_from(list(AudioEncoding)),
    st.integers(1, 5000),
    st.integers(16, 999),
    st.integers(0, 10**9),
)
def test_pieces_are_the_chunk(encoding, samples, max_bytes, start):
    width = events.SAMPLE_BYTES.get(encoding, 1)
    data = np.random.default_rng(samples).bytes(samples * width)
    parts = list(events.pieces(AudioChunk(data, start, samples, 0), encoding, max_bytes))
    assert b"".join(part.data for part in parts) == data
    assert max(len(part.data) for part in parts) <= max_bytes
    assert sum(part.samples for part in parts) == samples
    position = start
    for part in parts:
        assert part.start_sample == position
        position += part.samples


def test_a_chunk_without_bytes_stays_one_piece():
    chunk = AudioChunk(b"", 100, 0, 3)
    assert list(events.pieces(chunk, AudioEncoding.PCM_S16, 1000)) == [chunk]


def test_figures_that_are_not_finite_become_zero():
    done = events.from_done(SynthesisDone(samples=0, ttfa_ms=math.inf, rtf=math.nan, underrun_ms=1.5, queue_ms=0.0))
    assert (done.ttfa_ms, done.rtf, done.underrun_ms) == (0.0, 0.0, 1.5)
