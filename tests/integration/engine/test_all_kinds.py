"""Every kind of voice in one engine, spoken in five languages at once: every answer is that of the same request alone."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.fixtures.engines import Heard, asking, engine_over, hear
from voxswap_server.app import Engine
from voxswap_server.demo.tiny import build_tiny_store
from voxswap_server.domain import Language, LanguageMode, SynthesisRequest
from voxswap_server.errors import UnsupportedLanguage
from voxswap_server.nn.t2s import PrefillRow
from voxswap_server.nn.t2s_backends import TokenModel
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
LANGUAGES = {
    "v1": ("en", "zh"),
    "v2": ("en", "ko", "yue"),
    "v2pro": ("zh",),
    "v2proplus": ("ja",),
    "v3": ("zh",),
    "v3-lora": ("ja",),
    "v4": ("yue",),
    "v4-lora": ("ko",),
}
RATES_HZ = {"v3": 24_000, "v3-lora": 24_000, "v4": 48_000, "v4-lora": 48_000}
"""The others: 32 kHz."""


def speech(voice: str, language: str, **changes: Any) -> SynthesisRequest:
    mode = LanguageMode.MIXED if language == "en" else LanguageMode.ALL
    return asking(voice, TEXTS[language], language=Language(language, mode), sample_steps=4, **changes)


REQUESTS = {(voice, language): speech(voice, language) for voice in VOICES for language in LANGUAGES[voice]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kinds") / "store"
    build_tiny_store(root, VOICES, assets=ASSETS)
    return root


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(store: Path) -> AsyncIterator[Engine]:
    """One for all tests; no request shares a call with another, so that answers can be compared byte by byte."""
    limits = {"max_running": len(REQUESTS)}
    async with engine_over(store, admission=limits, scheduling={"batching": False}) as (engine, _):
        yield engine


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def alone(engine: Engine) -> dict[tuple[str, str], Heard]:
    """Each request by itself, one after another."""
    heard = {key: await hear(engine.synthesizer, request) for key, request in REQUESTS.items()}
    for voice in VOICES:
        await engine.residency.unload_voice(voice, wait=True)
    return heard


async def test_eight_kinds_in_five_languages_at_once_answer_as_alone(
    engine: Engine, alone: dict[tuple[str, str], Heard]
) -> None:
    assert not engine.residency.residents()
    heard = await asyncio.gather(*(hear(engine.synthesizer, request) for request in REQUESTS.values()))
    for (key, wanted), got in zip(alone.items(), heard, strict=True):
        assert got.data == wanted.data, key
        assert abs(got.pcm.astype(int)).max() > 100, key
        assert not got.notices, key
    assert len({one.data for one in heard}) == len(REQUESTS)
    assert {one.voice_id for one in engine.residency.residents()} == set(VOICES)
    assert (await engine.residency.cache_stats()).loads == 2 * len(VOICES)  # each once alone and once here


async def test_the_rate_follows_the_voice_and_is_told_first(alone: dict[tuple[str, str], Heard]) -> None:
    for (voice, language), heard in alone.items():
        assert heard.started is not None
        assert heard.done is not None
        assert heard.started.sample_rate_hz == RATES_HZ.get(voice, 32_000)
        pause = int(0.3 * heard.started.sample_rate_hz)
        if voice not in RATES_HZ:  # a flow-matching decoder rounds to its chunks
            assert heard.pcm.size == heard.done.semantic_tokens * 1280 + pause, (voice, language)


async def test_the_voices_of_two_alphabets_never_share_a_symbol_table(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken: dict[str, list[int]] = {}

    def overhear(self: TokenModel, rows: list[PrefillRow]) -> Any:
        spoken.update({names[id(self)]: row.phones.tolist() for row in rows})
        return prefill(self, rows)

    async with engine.residency.lease("v1") as first, engine.residency.lease("v2") as second:
        names = {id(lease.bundle.t2s): name for lease, name in ((first, "v1"), (second, "v2"))}
        rows = {name: lease.bundle.t2s.config.phoneme_vocab_size for name, lease in (("v1", first), ("v2", second))}
        assert rows == {"v1": 512, "v2": 732}
        kind = type(first.bundle.t2s)
        prefill = kind.prefill
        monkeypatch.setattr(kind, "prefill", overhear)
        await asyncio.gather(*(hear(engine.synthesizer, speech(voice, "ja")) for voice in ("v1", "v2")))
    phones = {name: [SYMBOLS[name].names[row] for row in ids] for name, ids in spoken.items()}
    # Both read the same text alike, each in its own alphabet: the first has no marks of pitch.
    assert phones["v1"] == ["UNK" if phone in ("[", "]") else phone for phone in phones["v2"]]
    assert phones["v1"] != phones["v2"]


@pytest.mark.parametrize("language", ["ko", "yue"])
async def test_a_v1_voice_has_no_phones_for_some_languages(engine: Engine, language: str) -> None:
    with pytest.raises(UnsupportedLanguage, match=rf"'{language}'.*choices: zh .*, en .*, ja "):
        await hear(engine.synthesizer, speech("v1", language))
