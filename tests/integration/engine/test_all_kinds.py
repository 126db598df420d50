"""Every kind of voice in one server, spoken in five languages at once: every answer is that of the same request alone."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from voxswap_client import AsyncClient, LanguageMode, Sampling, Speech, SpeechOptions, UnsupportedLanguage
from voxswap_server.app import Engine, running
from voxswap_server.demo.tiny import build_tiny_store
from voxswap_server.nn.t2s import PrefillRow
from voxswap_server.nn.t2s_backends import TokenModel
from voxswap_server.settings import Settings
from voxswap_server.text.symbols import SYMBOLS

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = ("v1", "v2", "v2Pro", "v2ProPlus", "v3", "v3-lora", "v4", "v4-lora")
VOICES: Mapping[str, tuple[str, int]] = {kind.lower(): (kind, seed) for seed, kind in enumerate(KINDS, 1)}
ASSETS = ("hubert", "bert", "eres2net", "sovits_v3", "sovits_v4", "bigvgan", "vocoder_v4")
TEXTS = {
    "en": "Good morning.",
    "zh": "今天天气真不错。",
    "ja": "おはようございます。",
    "ko": "안녕하세요.",
    "yue": "今日天氣好好。",
}
NOT_OF_V1 = ("ko", "yue")
RATES_HZ = {"v3": 24_000, "v3-lora": 24_000, "v4": 48_000, "v4-lora": 48_000}
"""The others: 32 kHz."""


REQUESTS = [(voice, language) for voice in VOICES for language in TEXTS if voice != "v1" or language not in NOT_OF_V1]


@dataclass(frozen=True)
class Server:
    """A server, and somebody who asks it."""

    engine: Engine
    client: AsyncClient

    async def speech(self, voice: str, language: str) -> Speech:
        mode = None if language == "en" else LanguageMode.ALL
        sampling = Sampling(seed=7, top_k=5)
        options = SpeechOptions(language_code=language, language_mode=mode, sampling=sampling, sample_steps=1)
        return await self.client.synthesize(TEXTS[language], voice, options)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kinds") / "store"
    build_tiny_store(root, VOICES, assets=ASSETS)
    return root


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(store: Path) -> AsyncIterator[Server]:
    """One for all tests; no request shares a call with another, so that answers can be compared byte by byte."""
    settings = Settings(
        store=store,
        device={"name": "cpu", "threads": 1},
        rpc={"address": "127.0.0.1:0"},
        metrics={"enabled": False},
        admission={"max_running": len(REQUESTS)},
        scheduling={"batching": False},
    )
    async with running(settings) as server, AsyncClient(f"127.0.0.1:{server.rpc.port}", timeout_s=None) as client:
        yield Server(server.engine, client)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def alone(server: Server) -> dict[tuple[str, str], Speech]:
    """Each request by itself, one after another."""
    return {key: await server.speech(*key) for key in REQUESTS}


async def test_eight_kinds_in_five_languages_at_once_answer_as_alone(
    server: Server, alone: dict[tuple[str, str], Speech]
) -> None:
    residency = server.engine.residency
    for voice in VOICES:
        await residency.unload_voice(voice, wait=True)
    assert not residency.residents()
    before = (await residency.cache_stats()).loads
    heard = await asyncio.gather(*(server.speech(*key) for key in REQUESTS))
    for (key, wanted), got in zip(alone.items(), heard, strict=True):
        assert got.audio == wanted.audio, key
        assert pcm(got).max() > 100, key
        assert not got.notices, key
        assert got.started.voice_id == key[0]
    assert len({one.audio for one in heard}) == len(REQUESTS)
    assert {one.voice_id for one in residency.residents()} == set(VOICES)
    assert (await residency.cache_stats()).loads == before + len(VOICES)


def pcm(speech: Speech) -> NDArray[np.int64]:
    return np.frombuffer(speech.audio, "<i2").astype(np.int64)


async def test_the_rate_follows_the_voice_and_is_told_first(alone: dict[tuple[str, str], Speech]) -> None:
    for (voice, language), heard in alone.items():
        assert heard.started.sample_rate_hz == RATES_HZ.get(voice, 32_000)
        assert pcm(heard).size == heard.done.samples
        pause = int(0.3 * heard.started.sample_rate_hz)
        if voice not in RATES_HZ:  # a flow-matching decoder rounds to its chunks
            assert heard.done.samples == heard.done.semantic_tokens * 1280 + pause, (voice, language)


async def test_the_voices_of_two_alphabets_never_share_a_symbol_table(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = server.engine.residency.lease
    spoken: dict[str, list[int]] = {}

    def overhear(self: TokenModel, rows: list[PrefillRow]) -> Any:
        spoken.update({names[id(self)]: row.phones.tolist() for row in rows})
        return prefill(self, rows)

    async with lease("v1") as first, lease("v2") as second:
        names = {id(one.bundle.t2s): name for one, name in ((first, "v1"), (second, "v2"))}
        rows = {name: one.bundle.t2s.config.phoneme_vocab_size for name, one in (("v1", first), ("v2", second))}
        assert rows == {"v1": 512, "v2": 732}
        kind = type(first.bundle.t2s)
        prefill = kind.prefill
        monkeypatch.setattr(kind, "prefill", overhear)
        await asyncio.gather(*(server.speech(voice, "ja") for voice in ("v1", "v2")))
    phones = {name: [SYMBOLS[name].names[row] for row in ids] for name, ids in spoken.items()}
    # Both read the same text alike, each in its own alphabet: the first has no marks of pitch.
    assert phones["v1"] == ["UNK" if phone in ("[", "]") else phone for phone in phones["v2"]]
    assert phones["v1"] != phones["v2"]


@pytest.mark.parametrize("language", NOT_OF_V1)
async def test_a_v1_voice_has_no_phones_for_some_languages(server: Server, language: str) -> None:
    with pytest.raises(UnsupportedLanguage, match=rf"'{language}'.*choices: zh .*, en .*, ja "):
        await server.speech("v1", language)
