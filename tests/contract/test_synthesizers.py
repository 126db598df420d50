"""The contract of `Synthesizer`, kept by the fake that transports are tested with, and by the engine."""

from pathlib import Path

import pytest

from tests.contract.synthesizer_contract import Subject, SynthesizerContract
from tests.fixtures.engines import engine_over
from tests.fixtures.fake_engine import FakeSynthesizer


class TestFake(SynthesizerContract):
    @pytest.fixture
    def subject(self):
        fake = FakeSynthesizer()
        return Subject(fake, ("narrator", "slate"), fake.clock, lambda: fake.begun - fake.released)


class TestEngine(SynthesizerContract):
    @pytest.fixture
    async def subject(self, tiny_store: Path):
        async with engine_over(tiny_store, scheduling={"batching": False}) as (engine, _):
            clock = engine.worker._clock
            voices = ("amber", "slate")
            yield Subject(
                engine.synthesizer,
                voices,
                clock,
                lambda: sum(resident.leases for resident in engine.residency.residents()),
            )
