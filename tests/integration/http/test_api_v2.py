"""A client that was written for upstream's api_v2, after its URL was changed."""

import base64
import io
import wave

import pytest
import soundfile

from voxswap_server.domain import AudioEncoding, CutMethod, Language, LanguageMode, Prompt, SamplingParams
from voxswap_server.http.api_v2.config import ApiV2Config

CLIP = b"RIFF some audio"
ASKED = {"text": "three small words", "text_lang": "en"}
"""With a voice chosen, all that is needed."""
OF_ANOTHER = {"x-client-id": "another"}


@pytest.fixture
def config(tmp_path):
    (tmp_path / "calm.wav").write_bytes(CLIP)
    return ApiV2Config(
        voices={
            "GPT_weights_v2/narrator-e15.ckpt": "narrator",
            "SoVITS_weights_v2/narrator_e8_s216.pth": "narrator",
            "GPT_weights_v2/slate-e10.ckpt": "slate",
        },
        references={"refs/calm.wav": tmp_path / "calm.wav", "refs/gone.wav": tmp_path / "gone.wav"},
        max_reference_bytes=1000,
    )


@pytest.fixture
async def rig(start, config):
    async with start(api_v2=config) as rig:
        yield rig


async def choose(rig, voice_id="narrator", **options):
    for path in ("/set_gpt_weights", "/set_sovits_weights"):
        answer = await rig.client.get(path, params={"weights_path": voice_id}, **options)
        assert (answer.status_code, answer.json()) == (200, {"message": "success"})


async def refused(rig, path, status, reason, says, **options):
    answer = await rig.client.request(options.pop("method", "GET"), path, **options)
    told = answer.json()
    assert (answer.status_code, told["reason"]) == (status, reason)
    assert told["message"] == told["detail"]
    assert says in told["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert not rig.synthesizer.requests
    return told


async def test_old_paths_choose_a_voice_and_the_answer_is_a_file(rig):
    paths = ("D:\\GPT-SoVITS\\GPT_weights_v2\\narrator-e15.ckpt", "./SoVITS_weights_v2/narrator_e8_s216.pth")
    for operation, path in zip(("/set_gpt_weights", "/set_sovits_weights"), paths, strict=True):
        assert (await rig.client.get(operation, params={"weights_path": path})).status_code == 200
    answer = await rig.client.get("/tts", params=ASKED)
    assert answer.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getframerate(), file.getnframes()) == (32000, 48000)
    (asked,) = rig.synthesizer.requests
    assert (asked.voice_id, asked.unary, asked.prompt) == ("narrator", True, None)


async def test_every_parameter_of_a_post_arrives(rig):
    await choose(rig)
    body = ASKED | {
        "ref_audio_path": "refs/calm.wav",
        "aux_ref_audio_paths": ["refs/calm.wav"],
        "prompt_text": "What is said.",
        "prompt_lang": "all_zh",
        "text_lang": "AUTO_YUE",
        "top_k": 7,
        "top_p": 0.9,
        "temperature": 0.8,
        "text_split_method": "cut3",
        "batch_size": 20,
        "batch_threshold": 0.5,
        "split_bucket": False,
        "speed_factor": 1.25,
        "fragment_interval": 0.1,
        "seed": 42,
        "media_type": "raw",
        "streaming_mode": 2,
        "parallel_infer": False,
        "repetition_penalty": 1.2,
        "sample_steps": 16,
        "super_sampling": True,
        "overlap_length": 4,
        "min_chunk_length": 8,
    }
    answer = await rig.client.post("/tts", json=body)
    assert answer.headers["content-type"] == "audio/raw"
    assert "x-notices" not in answer.headers
    (asked,) = rig.synthesizer.requests
    assert asked.language == Language("", LanguageMode.AUTO_CANTONESE)
    assert asked.prompt == Prompt(CLIP, "What is said.", Language("zh", LanguageMode.ALL), (CLIP,))
    assert asked.sampling == SamplingParams(7, 0.9, 0.8, 1.2, 42)
    assert asked.cut_method is CutMethod.CHINESE_STOP
    assert (asked.speaking_rate, asked.pause_s, asked.sample_steps, asked.unary) == (1.25, 0.1, 16, False)
    assert asked.audio.encoding is AudioEncoding.PCM_S16
    assert asked.super_sampling
    assert asked.super_sampling


async def test_upstreams_defaults_are_the_voices(rig):
    await choose(rig)
    await rig.client.get("/tts", params=ASKED)
    (asked,) = rig.synthesizer.requests
    assert asked.sampling == SamplingParams()
    assert asked.cut_method is CutMethod.PUNCTUATION
    assert (asked.pause_s, asked.sample_steps, asked.speaking_rate) == (None, None, 1.0)


@pytest.mark.parametrize("mode", ["1", "2", "3", "true", "True"])
async def test_modes_that_stream_begin_before_the_end(rig, mode):
    await choose(rig)
    rig.synthesizer.stalls.add(1)
    async with rig.client.stream("GET", "/tts", params=ASKED | {"streaming_mode": mode}) as answer:
        pieces = answer.aiter_raw()
        assert (await anext(pieces)).startswith(b"RIFF")
        rig.synthesizer.go.set()
        assert len(b"".join([piece async for piece in pieces])) > 2 * 24000


@pytest.mark.parametrize("mode", ["0", "false", None])
async def test_the_others_have_a_length(rig, mode):
    await choose(rig)
    answer = await rig.client.post("/tts", json=ASKED | ({} if mode is None else {"streaming_mode": mode}))
    assert int(answer.headers["content-length"]) == 44 + 2 * 48000


@pytest.mark.parametrize(("media_type", "magic"), [("ogg", b"OggS"), ("aac", b"\xff\xf1"), ("wav", b"RIFF")])
async def test_every_media_type_is_what_it_says(rig, media_type, magic):
    await choose(rig, "slate")
    answer = await rig.client.get("/tts", params=ASKED | {"media_type": media_type})
    assert answer.headers["content-type"] == f"audio/{media_type}"
    assert answer.content.startswith(magic)
    if media_type == "ogg":
        assert soundfile.info(io.BytesIO(answer.content)).duration == 1.5


async def test_what_one_client_chooses_is_not_what_another_hears(rig):
    await choose(rig)
    await choose(rig, "slate", headers=OF_ANOTHER)
    for headers, voice_id in (({}, "narrator"), (OF_ANOTHER, "slate"), ({"cookie": "voxswap_client=another"}, "slate")):
        answer = await rig.client.get("/tts", params=ASKED, headers=headers)
        assert answer.headers["x-voice-id"] == voice_id
    await rig.client.get("/control", params={"command": "restart"}, headers=OF_ANOTHER)
    assert (await rig.client.get("/tts", params=ASKED)).status_code == 200
    assert (await rig.client.get("/tts", params=ASKED, headers=OF_ANOTHER)).status_code == 400


async def test_one_weight_is_enough_and_two_voices_are_refused(rig):
    await rig.client.get("/set_gpt_weights", params={"weights_path": "slate"})
    assert (await rig.client.get("/tts", params=ASKED)).headers["x-voice-id"] == "slate"
    rig.synthesizer.requests.clear()
    await rig.client.get("/set_sovits_weights", params={"weights_path": "narrator"})
    await refused(rig, "/tts", 400, "MIXED_VOICES", "'slate', the s2 weights those of 'narrator'", params=ASKED)


async def test_an_unknown_path_is_named_with_the_choices(rig):
    params = {"weights_path": "GPT_weights_v2/ghost-e1.ckpt"}
    told = await refused(rig, "/set_gpt_weights", 400, "UNKNOWN_WEIGHTS", "ghost-e1.ckpt", params=params)
    assert "GPT_weights_v2/narrator-e15.ckpt" in told["detail"]
    assert "voices: narrator, slate" in told["detail"]
    assert told["errors"][0]["field"] == "weights_path"


async def test_nobody_chosen_is_nobody(rig):
    await refused(rig, "/tts", 400, "INVALID_REQUEST", "no voice was chosen", params=ASKED)


async def test_the_operator_may_choose_for_them(start):
    async with start(api_v2=ApiV2Config(default_voice="slate")) as rig:
        assert (await rig.client.get("/tts", params=ASKED)).headers["x-voice-id"] == "slate"


async def test_a_request_may_name_its_voice(rig):
    await choose(rig)
    answer = await rig.client.get("/tts", params=ASKED | {"voice_id": "slate"})
    assert answer.headers["x-voice-id"] == "slate"


async def test_the_reference_may_be_a_voices_own(rig):
    answer = await rig.client.get("/tts", params=ASKED | {"ref_audio_path": "slate"})
    assert answer.headers["x-voice-id"] == "slate"
    assert rig.synthesizer.requests[0].prompt is None
    rig.synthesizer.requests.clear()
    await choose(rig)
    params = ASKED | {"ref_audio_path": "slate"}
    await refused(rig, "/tts", 400, "MIXED_VOICES", "the reference that of 'slate'", params=params)


async def test_a_reference_that_was_set_is_used_until_another_is_named(rig):
    await choose(rig)
    await rig.client.get("/set_refer_audio", params={"refer_audio_path": "C:/tts/refs/calm.wav"})
    await rig.client.get("/tts", params=ASKED)
    assert rig.synthesizer.requests[-1].prompt == Prompt(CLIP, "", Language("", LanguageMode.AUTO))
    await rig.client.get("/tts", params=ASKED | {"ref_audio_path": "narrator"})
    assert rig.synthesizer.requests[-1].prompt is None


@pytest.mark.parametrize(
    "own", ["data:audio/wav;base64," + base64.b64encode(CLIP).decode(), "data:,RIFF%20some%20audio"]
)
async def test_a_reference_may_come_along(rig, own):
    await choose(rig)
    await rig.client.post("/tts", json=ASKED | {"ref_audio_path": own})
    assert rig.synthesizer.requests[0].prompt.audio == CLIP


async def test_a_reference_may_be_uploaded_and_is_its_callers_alone(rig):
    answer = await rig.client.post("/v1/references", content=CLIP)
    assert answer.status_code == 201
    name = answer.json()["reference"]
    await rig.client.get("/tts", params=ASKED | {"ref_audio_path": name, "voice_id": "narrator"})
    assert rig.synthesizer.requests[0].prompt.audio == CLIP


@pytest.mark.parametrize(
    ("reference", "status", "reason", "says"),
    [
        (
            "/etc/passwd",
            400,
            "UNKNOWN_REFERENCE",
            "there is no reference '/etc/passwd' here; configured: refs/calm.wav",
        ),
        ("../refs/../calm.wav", 400, "UNKNOWN_REFERENCE", "there is no reference"),
        ("refs/gone.wav", 422, "ASSET_MISSING", "its file is not there"),
        ("data:audio/wav;base64,***", 400, "INVALID_REQUEST", "not base64"),
        ("data:audio/wav", 400, "INVALID_REQUEST", "comma"),
        ("data:," + "x" * 2000, 400, "INVALID_REQUEST", "at most 1000"),
    ],
)
async def test_a_reference_that_is_none_is_refused(rig, reference, status, reason, says):
    params = ASKED | {"ref_audio_path": reference, "voice_id": "narrator"}
    told = await refused(rig, "/tts", status, reason, says, params=params)
    if reason != "ASSET_MISSING":
        assert told["errors"][0]["field"] == "ref_audio_path"


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"text": ""}, "text", "at least 1"),
        ({"text_lang": "fr"}, "text_lang", "must be one of auto, auto_yue"),
        ({"media_type": "mp3"}, "media_type", "'wav', 'raw', 'ogg' or 'aac'; it is 'mp3'"),
        ({"text_split_method": "cut9"}, "text_split_method", "must be one of cut0"),
        ({"streaming_mode": 4}, "streaming_mode", "4"),
        ({"speed_factor": 9}, "speed_factor", "less than or equal to 4"),
        ({"top_k": 0}, "top_k", "greater than or equal to 1"),
        ({"batch_size": 0}, "batch_size", "greater than or equal to 1"),
        ({"ref_audio_path": "refs/calm.wav", "prompt_text": "Said."}, "prompt_lang", "must be set with prompt_text"),
        ({"aux_ref_audio_paths": ["refs/calm.wav"]}, "aux_ref_audio_paths", "needs a ref_audio_path"),
    ],
)
async def test_a_wrong_parameter_is_named(rig, changes, field, says):
    await choose(rig)
    told = await refused(rig, "/tts", 400, "INVALID_REQUEST", says, method="POST", json=ASKED | changes)
    assert told["errors"][0]["field"].startswith(field)


async def test_what_cannot_be_done_is_said(rig):
    await choose(rig)
    await refused(rig, "/control", 403, "NOT_YOURS", "SIGTERM", params={"command": "exit"})
    await refused(rig, "/control", 400, "INVALID_REQUEST", "restart, exit", params={"command": "dance"})
    await refused(rig, "/set_gpt_weights", 400, "INVALID_REQUEST", "must be set")


async def test_parameters_of_other_forks_are_ignored_and_that_is_told(rig):
    await choose(rig)
    answer = await rig.client.get("/tts", params=ASKED | {"emotion": "joy"})
    assert (answer.status_code, answer.headers["x-notices"]) == (200, "FIELDS_IGNORED")


async def test_a_whole_answer_has_a_limit(start):
    async with start(api_v2=ApiV2Config(default_voice="narrator"), max_whole_bytes=10_000) as rig:
        answer = await rig.client.get("/tts", params=ASKED | {"media_type": "raw"})
        assert (answer.status_code, rig.synthesizer.released) == (400, 1)
        assert "stream it" in answer.json()["message"]
