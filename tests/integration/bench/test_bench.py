"""`voxswap bench` for real, on the smallest voices: what it tells follows from work that was done."""

import json
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bench.goals.judged import judge
from bench.goals.table import GOALS
from voxswap_server.bench import decoder as decoder_bench
from voxswap_server.bench import t2s as t2s_bench
from voxswap_server.bench.engines import engine_over
from voxswap_server.bench.memory_speed import added, copying, reading
from voxswap_server.bench.options import Options
from voxswap_server.bench.page_cache import read_afresh
from voxswap_server.bench.report import as_json
from voxswap_server.bench.runner import MEASURES, TITLES, chosen, run
from voxswap_server.bench.speech import QUICK_TEXT, Requests
from voxswap_server.bench.voices import SIZES, Workbench, sovits_half, t2s_half
from voxswap_server.cli import bench as cli
from voxswap_server.cli.main import app
from voxswap_server.errors import RequestError
from voxswap_server.nn.decoders import load_decoder
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.t2s import T2S, T2SConfig
from voxswap_store.layout_sovits import convert_sovits
from voxswap_store.layout_t2s import convert_t2s

BRIEF = Options(size="small", quick=True, rounds=2, threads=1)


@pytest.fixture
def network():
    converted = convert_t2s(*t2s_half("small"))
    return T2S.from_tensors(T2SConfig.from_dict(converted.config), converted.tensors)


def test_a_brief_run_measures_what_it_names():
    before, names = torch.get_num_threads(), []
    report = run(BRIEF, ["decoder", "t2s"], begins=names.append)
    assert names == ["t2s", "decoder"] == report.measures
    assert torch.get_num_threads() == before
    waits = [row for row in report.rows if "wait" in row.name or "underrun" in row.name]  # there may be none
    assert all(value > 0 for row in report.rows if row not in waits for value in row.series.values)
    assert all(len(row.series.values) == 2 for row in report.rows if row.unit not in ("%", "dB"))
    (pieces,) = (row for row in report.rows if "pieces" in row.name)
    assert pieces.reference is not None
    assert pieces.reference.name == "in one go"
    (step,) = (row for row in report.rows if row.name == "step of 8 rows" and row.unit == "tokens/s")
    (same,) = (row for row in report.rows if row.name == "native: step of 8 rows" and row.unit == "ms")
    assert same.reference is not None
    assert same.reference.name == "torch: the same"
    (agreed,) = (row for row in report.rows if row.unit == "%")
    assert 50 < agreed.best <= 100
    assert step.series.values == pytest.approx([8e3 / ms for ms in same.series.values])


def test_processor_seconds_leave_out_what_was_waited_for():
    clock = replace(BRIEF, cpu_time=True).clock
    begin = clock()
    threading.Event().wait(0.2)
    assert clock() - begin < 0.15
    copies = copying(1 << 20, clock)
    assert 0 < copies() < 1


def test_the_command_prints_and_writes(tmp_path):
    arguments = [
        "bench",
        "--quick",
        "--only",
        "decoder",
        "--rounds",
        "1",
        "--threads",
        "1",
        "--cpu-time",
        "--write",
        "--to",
    ]
    answer = CliRunner().invoke(app, [*arguments, str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    assert TITLES["decoder"] in answer.output
    page, data = (tmp_path / f"small-quick.{ending}" for ending in ("md", "json"))
    assert TITLES["decoder"] in page.read_text("utf-8")
    assert "of processors" in page.read_text("utf-8")
    assert "t2s" not in {row["measure"] for row in json.loads(data.read_text("utf-8"))["rows"]}
    assert str(Path.home()) not in page.read_text("utf-8") + data.read_text("utf-8")


def test_nothing_is_written_unasked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    brief = ["bench", "--quick", "--only", "decoder", "--rounds", "1", "--threads", "1"]
    assert CliRunner().invoke(app, brief).exit_code == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "value", "told"), [("--only", "t2s,sleep", "'sleep'"), ("--size", "huge", "'huge'")]
)
def test_unknown_names_are_told_with_the_choices(option, value, told):
    answer = CliRunner().invoke(app, ["bench", "--quick", option, value])
    assert answer.exit_code == 2
    assert told in answer.output
    assert "choices: " in answer.output


def test_measures_run_in_their_own_order():
    assert chosen([]) == tuple(MEASURES) == tuple(TITLES)
    assert chosen(["requests", "text"]) == ("text", "requests")
    assert ", ".join(MEASURES) == cli._MEASURES
    with pytest.raises(RequestError, match="choices: text, t2s"):
        chosen(["speed"])


def test_a_step_is_measured_at_the_same_context_every_time(network, monkeypatch):
    seen = []
    step = T2S.step

    def spied(self, tokens, caches):
        seen.append((tokens.numel(), [cache.length for cache in caches]))
        return step(self, tokens, caches)

    monkeypatch.setattr(T2S, "step", spied)
    together, apart = t2s_bench.step(network, 4), t2s_bench.singles(network, 2)
    for call in (together, together, apart):
        call()
    assert seen == [(4, [t2s_bench.CONTEXT_TOKENS] * 4)] * 2 + [(1, [t2s_bench.CONTEXT_TOKENS])] * 2


def test_a_prefill_starts_from_nothing_every_time(network):
    call = t2s_bench.prefill(network, 2)
    call()
    call()


def test_pieces_say_as_much_as_the_whole():
    converted = convert_sovits(*sovits_half("small"), "v2")
    network = load_decoder(converted.config, converted.tensors)
    utterance = decoder_bench.Utterance(network, converted.config["style"]["out_width"], 25)
    with torch.inference_mode():
        assert utterance.decode() == utterance.decode((10, 15)) == utterance.audio_s * 32_000
        assert utterance.first_piece() > 0


def test_references_are_scaled_to_the_bytes_they_stand_for(monkeypatch):
    monkeypatch.setattr("voxswap_server.bench.memory_speed.timed", lambda _call, clock: lambda: 2.0)
    monkeypatch.setattr("voxswap_server.bench.memory_speed._BLOCK_BYTES", 1 << 16)
    for reference in (partial(reading, team=Team(1)), copying):
        assert reference(1 << 14)() == pytest.approx(0.5)
        assert reference(1 << 16)() == reference(1 << 17)() == 2.0


def test_a_file_that_is_read_afresh_stays_as_it_is(tmp_path):
    files = [tmp_path / name for name in ("some", "none")]
    data = bytes(range(256)) * 40_000  # more than is read at a time
    for path, content in zip(files, (data, b""), strict=True):
        path.write_bytes(content)
    read_afresh(files)
    assert [path.read_bytes() for path in files] == [data, b""]


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_read_as_a_reference_is_read_to_the_end(threads):
    numbers, team = torch.arange(3 * 4096, dtype=torch.float32) % 8, Team(threads)
    for streams in (1, 4):
        assert added(numbers, streams, team) == float(numbers.sum())


def test_memory_is_read_in_the_fastest_of_the_ways(monkeypatch):
    took_s = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr("voxswap_server.bench.memory_speed.timed", lambda _call, clock: partial(next, took_s))
    monkeypatch.setattr("voxswap_server.bench.memory_speed._BLOCK_BYTES", 1 << 16)
    assert reading(1 << 15, Team(1))() == 0.5


def test_the_full_size_is_that_of_the_released_models():
    assert sum(tensor.numel() for tensor in t2s_half("full")[0].values()) == 77_606_402


def test_a_swap_finds_its_voice_where_it_says(tmp_path):
    from voxswap_server.bench.swap import Swaps
    from voxswap_server.domain import CacheState
    from voxswap_store.catalogue import Catalogue

    store = Workbench(tmp_path, "small").store(1)
    entry = Catalogue(store).get("amber")
    files = tuple(entry.path(file) for file in (entry.manifest.files.t2s, entry.manifest.files.decoder))
    with engine_over(store, 1) as on:
        swaps = Swaps(on, files)
        states = []
        lease = on.engine.residency.lease

        class Watched:
            def __init__(self, voice_id):
                self._leasing = lease(voice_id)

            async def __aenter__(self):
                held = await self._leasing.__aenter__()
                states.append(held.cache_state)
                return held

            async def __aexit__(self, *error):
                return await self._leasing.__aexit__(*error)

        on.engine.residency.lease = Watched
        assert min(swaps.cold(), swaps.first(), swaps.resident()) > 0
    assert states[:2] == [CacheState.DISK] * 2
    assert set(states[2:]) == {CacheState.DEVICE}


def test_the_share_of_the_bandwidth_is_of_weights_in_single_precision():
    before = torch.get_num_threads()
    step, of_all, speed = run(BRIEF, ["bandwidth"]).rows
    assert torch.get_num_threads() == before
    assert (step.reference.name, step.unit, speed.unit) == ("reading its weights once", "ms", "GB/s")
    elements = sum(
        tensor.numel()
        for name, tensor in convert_t2s(*t2s_half("small")).tensors.items()
        if not name.startswith(t2s_bench._PROMPT_ONLY)
    )
    read_s = step.reference.series.values[0] / 1e3
    assert speed.series.values[0] * 1e9 * read_s == pytest.approx(4 * elements)
    kept = 2 * SIZES["small"].t2s_layers * SIZES["small"].t2s_width * (t2s_bench.CONTEXT_TOKENS + 1)
    assert of_all.ratio.within.median == pytest.approx(step.ratio.within.median * (1 + kept / elements))


def test_company_is_compared_by_what_all_processors_spent_too(tmp_path):
    with engine_over(Workbench(tmp_path, "small").store(1), 1) as on:
        requests = Requests(on, QUICK_TEXT)
        requests.one_by_one(["amber"])
        assert not requests.cpu_s
        assert requests.together(["amber"] * 2, "together") > 0
        assert requests.one_by_one(["amber"] * 2, "one by one") > 0
    assert [len(spent) for spent in requests.cpu_s.values()] == [1, 1]
    assert min(*requests.cpu_s["together"], *requests.cpu_s["one by one"]) > 0


@pytest.mark.slow
def test_the_whole_quick_run():
    report = run(BRIEF)
    assert report.measures == list(MEASURES)
    (crowd,) = (row for row in report.rows if row.name == "8 of one voice at once")
    assert crowd.ratio is not None
    (spent,) = (row for row in report.rows if row.name == "8 of one voice at once, all processors")
    assert spent.better == "lower"
    assert spent.ratio is not None
    waits = [row for row in report.rows if "wait" in row.name or "underrun" in row.name]  # there may be none
    assert all(value > 0 for row in report.rows if row not in waits for value in row.series.values)
    goals = [
        goal for goal in GOALS if goal.report == "full" and goal.measure != "bandwidth"
    ]  # that one takes two cores
    judged = judge(goals, {"full": json.loads(as_json(report))})
    assert all(one.value for one in judged)
    assert all(one.apart_s for one in judged if one.goal.reference)
