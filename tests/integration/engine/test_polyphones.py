"""g2pW in a server: a shared network like the others. Leased while a text is read, counted, evicted, replaced."""

import gc
import os
import shutil
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.engines import asking, engine_over
from tests.fixtures.fake_loader import RecordedMetrics
from tests.fixtures.g2pw import install_g2pw
from voxswap_server.app import Engine
from voxswap_server.domain import Language, LanguageMode, Notice, SynthesisRequest, TimestampKind, Timestamps
from voxswap_server.engine.device import DeviceConfig, open_device
from voxswap_server.engine.foresight import Foresight
from voxswap_server.engine.loader import StoreLoader
from voxswap_server.engine.networks import ResidentNetworks
from voxswap_server.engine.polyphones import frontend_options
from voxswap_server.engine.residency import ResidencyConfig, ResidencyManager, network_id
from voxswap_server.errors import OutOfMemory
from voxswap_server.text.chinese.g2pw import Polyphones
from voxswap_server.text.frontend import TextFrontend
from voxswap_store.assets import asset_state
from voxswap_store.catalogue import Catalogue

G2PW, BERT, HUBERT = (network_id(name) for name in ("g2pw", "bert", "hubert"))
CHINESE = Language("zh", LanguageMode.ALL)
XING, HANG = {"走": "行 ㄒㄧㄥ2"}, {"走": "行 ㄏㄤ2"}
"""What models say of 走行; pypinyin says the first."""
G2PW_BYTES = 12 << 20
"""Of its files, at least."""


@pytest.fixture(scope="module")
def without(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of voices without g2pW."""
    return copied(tiny_store, tmp_path_factory.mktemp("polyphones") / "without")


@pytest.fixture(scope="module")
def store(without: Path) -> Path:
    """The same with it, and with the BERT whose pieces it reads."""
    root = copied(without, without.with_name("with"))
    install_g2pw(root, HANG, size_bytes=G2PW_BYTES)
    return root


def copied(store: Path, to: Path) -> Path:
    return shutil.copytree(store, to, copy_function=os.link)


def chinese(voice: str = "amber", **changes: Any) -> SynthesisRequest:
    return asking(voice, "走行走行走行。", language=CHINESE, timestamps=frozenset({TimestampKind.PHONE}), **changes)


async def finals(engine: Engine) -> set[str]:
    """How 行 is said, if nothing is told beside it."""
    said: list[str] = []
    async for event in engine.synthesizer.synthesize(chinese()):
        assert not isinstance(event, Notice), event
        if isinstance(event, Timestamps):
            said += [stamp.label for stamp in event.timestamps]
    return {"ing2", "ang2"} & set(said)


async def test_it_is_taken_up_counted_loaded_once_and_replaced(store: Path, tmp_path: Path) -> None:
    own = copied(store, tmp_path / "store")
    (own / "assets" / "g2pw").rename(tmp_path / "away")
    async with engine_over(own) as (engine, registry):

        def loads() -> float | None:
            labels = {"network": "g2pw", "source": "disk"}
            return registry.get_sample_value("voxswap_network_load_seconds_count", labels)

        assert await finals(engine) == {"ing2"}
        stats = await engine.residency.cache_stats()
        assert (set(stats.networks), stats.misses["networks"]) == ({"bert", "hubert"}, 2)  # nobody asked for it
        (tmp_path / "away").rename(own / "assets" / "g2pw")
        assert await finals(engine) == {"ang2"}
        assert await finals(engine) == {"ang2"}
        assert loads() == 1
        stats = await engine.residency.cache_stats()
        [voice] = engine.residency.residents()
        assert stats.networks["g2pw"] == asset_state(own, "g2pw").bytes_total > G2PW_BYTES
        assert stats.bytes_used["device"] == voice.bytes_own + voice.bytes_shared + sum(stats.networks.values())
        assert engine.residency.levels()["device"].leased_bytes == 0
        install_g2pw(own, XING, tokenizer=False)
        assert await finals(engine) == {"ing2"}
        assert loads() == 2
        assert (await engine.residency.cache_stats()).networks["g2pw"] < G2PW_BYTES


class House:
    """The residency of a server over a store, and its front-end, without anything that speaks."""

    def __init__(self, store: Path, budget: int = 1 << 30) -> None:
        self.metrics = RecordedMetrics()
        catalogue = Catalogue(store)
        self.loader = StoreLoader(catalogue, open_device(DeviceConfig(name="cpu", threads=1)))
        config = ResidencyConfig(device_budget_bytes=budget, min_resident_s=0.0, wait_for_room_s=0.0)
        self.residency: ResidencyManager[Any] = ResidencyManager(self.loader, config, self.metrics)
        self.residency.start()
        self.frontend = TextFrontend(frontend_options(store, ResidentNetworks(self.residency)))
        self.pool = ThreadPoolExecutor(1)
        self.foresight = Foresight(catalogue, self.frontend, self.pool, self.residency)

    def read(self) -> tuple[str, ...]:
        return self.frontend.read("走行", "zh", "v2")[0].phones


@contextmanager
def house_over(store: Path, budget: int = 1 << 30) -> Iterator[House]:
    house = House(store, budget)
    try:
        yield house
    finally:
        house.pool.shutdown()
        assert house.residency.close()


def planned(store: Path, *names: str) -> int:
    """Bytes that these take, at most."""
    loader = StoreLoader(Catalogue(store), open_device(DeviceConfig(name="cpu")))
    return sum(part.size_bytes for name in names for part in loader.plan(name).parts)


def test_it_takes_what_was_planned(store: Path) -> None:
    with house_over(store) as house:
        [part] = house.loader.plan(G2PW).parts
        loaded = house.loader.load_part(part)
        assert loaded.size_bytes == part.size_bytes == asset_state(store, "g2pw").bytes_total
        assert not part.host_copy  # it lies in host memory whatever the device is


def test_another_tokenizer_is_another_network(store: Path, tmp_path: Path) -> None:
    own = copied(store, tmp_path / "store")
    with house_over(own) as house:
        before = house.loader.plan(G2PW)
        (own / "assets" / "bert").rename(tmp_path / "away")
        install_g2pw(own, HANG, size_bytes=G2PW_BYTES)
        manifest = own / "assets" / "bert" / "asset.toml"
        vocabulary = asset_state(own, "bert").manifest
        assert vocabulary is not None
        sha256 = next(file.sha256 for file in vocabulary.files if file.name == "vocab.txt")
        assert house.loader.plan(G2PW) == before
        manifest.write_text(manifest.read_text("utf-8").replace(sha256, "0" * 64), "utf-8")
        assert house.loader.plan(G2PW).revision != before.revision


def test_it_goes_for_a_voice_and_its_session_with_it(store: Path) -> None:
    room = planned(store, "amber", "slate") + G2PW_BYTES // 2
    with house_over(store, room) as house, house.residency.lease_blocking("amber"):
        with house.residency.lease_blocking(G2PW) as lease:
            kept = [weakref.ref(lease.bundle), weakref.ref(lease.bundle._session)]
        del lease
        with no_garbage_collector(), house.residency.lease_blocking("slate"):
            assert [one() for one in kept] == [None, None]
            assert house.residency.networks() == {}
            with pytest.raises(OutOfMemory, match="the shared network 'g2pw' needs"):  # it is not read in another way
                house.read()
        assert house.read() == ("z", "ou3", "h", "ang2")
        assert house.metrics.networks == [
            ("loaded", "g2pw", "disk"),
            ("evicted", "g2pw", "lru"),
            ("failed", "g2pw", "OUT_OF_MEMORY"),
            ("loaded", "g2pw", "disk"),
        ]


async def test_where_there_is_no_room_for_it_chinese_is_refused_and_nothing_else(store: Path) -> None:
    with house_over(store) as house:
        async with house.residency.lease(HUBERT), house.residency.lease(BERT):
            device = house.residency._core.books.device
            device.budget_bytes = device.used_bytes + G2PW_BYTES // 2
            with pytest.raises(OutOfMemory, match="the shared network 'g2pw' needs"):
                async with house.foresight.networks(chinese()):
                    pass
            async with house.foresight.networks(asking("amber", "Hello.")):
                pass


async def test_another_one_is_taken_up_where_there_is_no_room_for_both(store: Path, tmp_path: Path) -> None:
    own = copied(store, tmp_path / "store")
    with house_over(own, planned(own, HUBERT, BERT, G2PW, "amber")) as house:
        async with house.foresight.networks(chinese()), house.residency.lease("amber"):
            assert house.read() == ("z", "ou3", "h", "ang2")
        install_g2pw(own, XING, tokenizer=False, size_bytes=G2PW_BYTES)
        async with house.foresight.networks(chinese()), house.residency.lease("amber"):
            assert house.read() == ("z", "ou3", "x", "ing2")


def test_it_stays_while_a_text_is_read(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, may_go_on, read = threading.Event(), threading.Event(), Polyphones.readings

    def slowly(self: Polyphones, sentence: str) -> list[str | None]:
        reading.set()
        assert may_go_on.wait(60)
        return read(self, sentence)

    monkeypatch.setattr(Polyphones, "readings", slowly)
    with house_over(store) as house:
        residency = house.residency
        try:
            said = house.pool.submit(house.read)
            assert reading.wait(60)
            assert residency.levels()["device"].leased_bytes == residency.networks()["g2pw"] > 0
            assert not residency.relieve_blocking(1)
        finally:
            may_go_on.set()
        assert said.result() == ("z", "ou3", "h", "ang2")
        assert residency.levels()["device"].leased_bytes == 0
        assert residency.relieve_blocking(1)
        assert residency.networks() == {}


@contextmanager
def no_garbage_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
