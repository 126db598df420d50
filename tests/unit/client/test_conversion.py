"""Options and changes as messages, down to what is left unset."""

import hashlib

import pytest

from voxswap.v1 import audio_pb2, speech_service_pb2, synthesis_pb2, text_pb2, voice_service_pb2
from voxswap_client import (
    AudioEncoding,
    CutMethod,
    LanguageMode,
    NewVoice,
    PhoneticEncoding,
    Prompt,
    Pronunciation,
    Sampling,
    SpeechOptions,
    SwitchPoint,
    TimestampKind,
    VoiceChanges,
)
from voxswap_client.convert import enums
from voxswap_client.convert.speech import EVENTS, from_event, to_config
from voxswap_client.convert.voices import VERSIONS, to_update
from voxswap_client.uploads import PIECE_BYTES, Upload

ENUMS = [
    (AudioEncoding, audio_pb2.AudioEncoding, "AUDIO_ENCODING"),
    (LanguageMode, text_pb2.LanguageMode, "LANGUAGE_MODE"),
    (CutMethod, text_pb2.CutMethod, "CUT_METHOD"),
    (PhoneticEncoding, text_pb2.PhoneticEncoding, "PHONETIC_ENCODING"),
    (TimestampKind, synthesis_pb2.TimestampType, "TIMESTAMP_TYPE"),
    (SwitchPoint, speech_service_pb2.SwitchPoint, "SWITCH_POINT"),
]


@pytest.mark.parametrize(("ours", "wire", "prefix"), ENUMS, ids=lambda value: getattr(value, "__name__", ""))
def test_our_enums_are_those_of_the_protocol(ours, wire, prefix):
    values = {value.name: value.number for value in wire.DESCRIPTOR.values if value.number}
    assert {enums.number(wire.DESCRIPTOR, prefix, member) for member in ours} == set(values.values())
    for member in ours:
        assert enums.name(wire.DESCRIPTOR, prefix, enums.number(wire.DESCRIPTOR, prefix, member)) == member


def test_unspecified_and_unknown_values():
    assert enums.number(audio_pb2.AudioEncoding.DESCRIPTOR, "AUDIO_ENCODING", None) == 0
    assert enums.name(audio_pb2.AudioEncoding.DESCRIPTOR, "AUDIO_ENCODING", 0) == ""
    assert enums.name(audio_pb2.AudioEncoding.DESCRIPTOR, "AUDIO_ENCODING", 99) == "99"


def test_every_version_has_a_name():
    assert set(VERSIONS.values()) == set(voice_service_pb2.ModelVersion.values())


def test_every_event_of_the_protocol_is_read():
    fields = speech_service_pb2.SynthesizeStreamResponse.DESCRIPTOR.oneofs_by_name["event"].fields
    assert {field.name for field in fields} == set(EVENTS)
    assert from_event(speech_service_pb2.SynthesizeStreamResponse()) == ()


def test_defaults_leave_everything_to_the_server():
    config = to_config("narrator", SpeechOptions())
    set_fields = {field.name for field, _ in config.ListFields()}
    assert set_fields == {"voice_id", "audio_config", "sampling_config"}
    assert config.audio_config == audio_pb2.AudioConfig(
        audio_encoding=audio_pb2.AUDIO_ENCODING_PCM_S16, speaking_rate=1.0
    )
    assert config.sampling_config == synthesis_pb2.SamplingConfig()


def test_every_option_reaches_the_message():
    options = SpeechOptions(
        language_code="ja",
        language_mode=LanguageMode.ALL,
        encoding=AudioEncoding.OGG_OPUS,
        sample_rate_hz=48000,
        speaking_rate=1.5,
        volume_gain_db=-3.0,
        sampling=Sampling(5, 0.9, 0.8, 1.2, 11),
        prompt=Prompt(b"clip", "Hi.", "en", LanguageMode.MIXED, (b"more",)),
        cut_method=CutMethod.PUNCTUATION,
        pause_ms=0,
        sample_steps=8,
        exact=True,
        super_sampling=True,
        pronunciations=[Pronunciation("Nikki", "N IH1 K IY0", PhoneticEncoding.ARPABET)],
        normalize_text=False,
        timestamps=[TimestampKind.WORD],
    )
    config = to_config("narrator", options)
    assert {field.name for field, _ in config.ListFields()} == set(config.DESCRIPTOR.fields_by_name)
    assert {field.name for field, _ in config.sampling_config.ListFields()} == {
        "top_k", "top_p", "temperature", "repetition_penalty", "seed",
    }  # fmt: skip
    assert config.pause_ms == 0
    assert config.HasField("pause_ms")
    assert config.prompt.auxiliary_audio == [b"more"]
    assert config.text_normalization == text_pb2.TEXT_NORMALIZATION_OFF
    assert config.custom_pronunciations[0].phonetic_encoding == text_pb2.PHONETIC_ENCODING_ARPABET


def test_every_change_reaches_the_message():
    changes = VoiceChanges("n", "d", "l", "c", ("t",), Prompt(b"clip"), Sampling(top_k=3), (Pronunciation("a", "AH0"),))
    message = to_update("narrator", changes)
    assert {field.name for field, _ in message.ListFields()} == set(message.DESCRIPTOR.fields_by_name)
    assert not message.sampling_config.HasField("seed")
    assert not to_update("narrator", VoiceChanges("n")).HasField("pronunciations")
    assert to_update("narrator", VoiceChanges(pronunciations=())).HasField("pronunciations")  # takes all away


def test_a_file_is_announced_with_its_size_and_hash_and_sent_in_pieces(tmp_path):
    content = bytes(range(256)) * (PIECE_BYTES // 128) + b"tail"
    (tmp_path / "s2.pth").write_bytes(content)
    upload = Upload(NewVoice("nova", b"t2s", tmp_path / "s2.pth", auxiliary_audio=(b"a", b"b")))
    voice, *rest = upload.messages()
    assert voice.voice.voice_id == "nova"
    assert list(upload.messages()) == [voice, *rest]
    headers = [message.file for message in rest if message.HasField("file")]
    assert [header.kind for header in headers] == [1, 2, 4, 4]
    assert (headers[1].size_bytes, headers[1].sha256) == (len(content), hashlib.sha256(content).hexdigest())
    pieces = [message.data for message in rest[3:-4]]
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) == PIECE_BYTES


def test_a_file_that_is_not_there_is_told_before_anything_is_sent(tmp_path):
    with pytest.raises(FileNotFoundError):
        Upload(NewVoice("nova", tmp_path / "none.ckpt", b""))
