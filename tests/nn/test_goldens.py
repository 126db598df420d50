"""Our networks against upstream's own tensors, on the committed goldens; and that this comparison can fail."""

import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from voxswap_server import parity
from voxswap_server.cli.main import app
from voxswap_server.nn import sampling, t2s_native
from voxswap_server.nn.t2s import T2S
from voxswap_server.parity import replay_text, runner
from voxswap_server.parity.cases import Goldens, ModelFiles
from voxswap_server.parity.compare import Row, Verdict
from voxswap_server.parity.errors import BadGoldens
from voxswap_server.parity.networks import Networks
from voxswap_server.parity.report import passed
from voxswap_server.text.frontend import TextFrontend

GOLDENS = Path(__file__).parent.parent / "goldens"
CASES = Goldens(GOLDENS).select(None, None)

STAGES = {
    *(
        "cut",
        "phones",
        "runs",
        "bert",
        "logits",
        "penalised",
        "tokens",
        "samples",
        "prompt tokens",
        "ref_enc_out",
        "ge",
    ),
    *("encp_encoder_ssl", "encp_encoder_text", "encp_mrte", "encp_encoder2"),
    *("m_p", "logs_p", "noise", "z", "audio", "int16"),
}
"""What the committed cases bind, all of them together."""


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """Rebuilt and imported checkpoints, once for all tests."""
    return tmp_path_factory.mktemp("goldens")


@pytest.fixture(scope="module")
def replay(work) -> runner.Replay:
    return runner.Replay(Goldens(GOLDENS), work)


@pytest.mark.parametrize(("version", "name"), CASES)
def test_the_reference_backend_of_t2s_equals_upstreams_too(work, version, name):
    """What CUDA and processors without our kernels compute with."""
    replay = runner.Replay(Goldens(GOLDENS), work, t2s_backend="torch")
    case = replay._goldens.case(version, name)
    voice_of_case = replay._networks.voice(version, case.record.model_files)
    assert isinstance(voice_of_case.t2s, T2S)
    bert, _ = runner.replay_bert(case, lambda: replay._networks.text_encoder)
    rows = runner.replay_t2s(case, voice_of_case.t2s, bert)
    assert {"logits", "tokens"} <= {row.stage for row in rows}
    assert not failures(rows)


@pytest.fixture(scope="module")
def rows_of(replay):
    """Rows of one case, replayed once."""
    return cache(replay.case)


def failures(rows: list[Row]) -> dict[str, str]:
    return {row.stage: row.note for row in rows if row.verdict is Verdict.FAIL}


@pytest.mark.parametrize(("version", "name"), CASES)
def test_every_stage_equals_upstreams(replay, rows_of, version, name):
    rows = rows_of(version, name)
    assert not failures(rows)
    assert {"cut", "phones", "logits", "tokens", "prompt tokens", "ref_enc_out"} <= {row.stage for row in rows}
    streaming = replay._goldens.case(version, name).inputs.streaming_mode
    assert {row.stage for row in rows if row.verdict is Verdict.EXCUSED} == ({"int16"} if streaming else set())


def test_the_committed_cases_bind_every_stage(rows_of):
    rows = [row for case in CASES for row in rows_of(*case)]
    assert {row.stage for row in rows if row.verdict is Verdict.PASS} >= STAGES


def test_what_belongs_to_no_case_equals_upstreams(replay):
    rows = list(replay.shared())
    assert not failures(rows)
    assert {"sampling/sampling", "assembly/postprocess", "shared/ref_a"} <= {row.case for row in rows}


def test_the_committed_set_stays_small():
    assert sum(path.stat().st_size for path in GOLDENS.rglob("*") if path.is_file()) <= 8_000_000


# From here on something is made wrong, and the tool must say so, at the stage where it is wrong.


def voice(replay: runner.Replay, version: str, s1: str = "voice_a.ckpt", s2: str = "voice_a.pth"):
    return replay._networks.voice(version, ModelFiles(s1=s1, s2=s2))


def test_a_wrong_epsilon_in_the_prior_is_seen(replay):
    norms = [m for m in voice(replay, "v2", s2="voice_sens.pth").decoder.prior.modules() if isinstance(m, nn.LayerNorm)]
    try:
        for norm in norms:
            norm.eps = 1e-6
        found = failures(replay.case("v2", "zh_sensitivity"))
    finally:
        for norm in norms:
            norm.eps = 1e-5
    assert {"encp_encoder_ssl", "encp_encoder_text", "encp_encoder2", "m_p", "logs_p", "z", "int16"} <= found.keys()


def test_one_wrong_weight_in_the_generator_is_seen(replay):
    weight = voice(replay, "v2").decoder.generator.post.weight
    original = weight.detach().clone()
    try:
        with torch.no_grad():
            weight[0, 3, 0] += 0.01
        found = failures(replay.case("v2", "en_naive_noise0"))
    finally:
        with torch.no_grad():
            weight.copy_(original)
    assert found.keys() == {"audio", "int16"}


def test_a_wrong_epsilon_in_t2s_is_seen(replay, monkeypatch, work):
    monkeypatch.setattr(t2s_native, "EPSILON", 1e-3)
    monkeypatch.setattr(replay, "_networks", Networks(GOLDENS, work))
    assert "logits" in failures(replay.case("v2", "en_batch"))


def test_a_penalty_that_forgets_the_prompt_is_seen(replay, monkeypatch):
    forget = classmethod(lambda cls, _prompt, vocab: cls(np.zeros(vocab, dtype=np.bool_)))
    monkeypatch.setattr(sampling.SamplerState, "from_prompt", forget)
    assert failures(replay.case("v2", "en_naive_noise0")).keys() == {"penalised"}


def test_a_sampler_that_stops_at_the_arg_max_alone_is_seen(replay, monkeypatch):
    original = sampling.draw

    def draw(logits, state, params, noise):
        drawn = original(logits, state, params, noise)
        best = int(sampling.penalised(logits.numpy(), state.seen, params.repetition_penalty).argmax())
        return drawn._replace(stop=best == len(logits) - 1)

    monkeypatch.setattr("voxswap_server.parity.replay_t2s.draw", draw)
    assert "tokens" in failures(replay.case("v2", "en_sampled_eos_drawn"))


def test_a_sampler_that_stops_at_a_drawn_end_alone_is_seen(replay, monkeypatch):
    original = sampling.draw

    def draw(logits, state, params, noise):
        drawn = original(logits, state, params, noise)
        return drawn._replace(stop=drawn.token == len(logits) - 1)

    monkeypatch.setattr("voxswap_server.parity.replay_t2s.draw", draw)


def test_shuffled_phones_are_seen(replay, monkeypatch):
    class Backwards(TextFrontend):
        def analyse(self, segment, code, symbols):
            right = super().analyse(segment, code, symbols)
            return type(right)(right.text, right.norm_text, right.phones[::-1], right.runs)

    monkeypatch.setattr(replay, "_frontend", Backwards())
    assert failures(replay.case("v2", "en_loud")).keys() == {"phones"}


def test_another_cut_is_seen(replay, monkeypatch):
    monkeypatch.setitem(replay_text.CUTS, "cut5", replay_text.CutMethod.NONE)
    assert "cut" in failures(replay.case("v2", "en_batch"))


def test_another_clip_is_seen(replay, monkeypatch):
    original = replay._references._clip
    monkeypatch.setattr(replay._references, "_encoded", {})
    monkeypatch.setattr(replay._references, "_clip", lambda key: original("e"))
    assert {"prompt tokens", "ref_enc_out", "ge"} <= failures(replay.case("v2", "en_batch")).keys()


def test_a_version_without_a_network_fails(replay, monkeypatch):
    monkeypatch.setattr(runner, "_FAMILIES", {})
    found = failures(replay.case("v2", "en_loud"))
    assert "not built" in found["decoder"]
    assert "audio_0" in found["unread"]


def test_a_case_that_breaks_the_tool_fails_and_is_named(replay, monkeypatch):
    monkeypatch.setattr(runner, "replay_t2s", lambda *_: 1 / 0)
    assert "ZeroDivisionError" in failures(replay.case("v2", "en_loud"))["crash"]


def one_case(directory: Path, name: str = "en_loud") -> Path:
    """A directory of one case, to spoil."""
    for path in ("shared", "v2"):
        shutil.copytree(GOLDENS / path, directory / path, ignore=shutil.ignore_patterns("cases"))
    (directory / "v2" / "cases").mkdir()
    for path in (GOLDENS / "v2" / "cases").glob(f"{name}.*"):
        shutil.copy(path, directory / "v2" / "cases")
    return directory


def change_arrays(root: Path, **changes) -> None:
    path = root / "v2" / "cases" / "en_loud.npz"
    np.savez(path, **dict(np.load(path)) | changes)


def test_an_array_that_nobody_compares_fails(replay, monkeypatch, tmp_path):
    monkeypatch.setattr(replay, "_goldens", Goldens(one_case(tmp_path)))
    change_arrays(tmp_path, surprise_0=np.zeros(3))
    assert "surprise_0" in failures(replay.case("v2", "en_loud"))["unread"]


def test_stored_samples_that_do_not_fit_their_digest_fail(replay, monkeypatch, tmp_path):
    monkeypatch.setattr(replay, "_goldens", Goldens(one_case(tmp_path)))
    samples = np.load(tmp_path / "v2" / "cases" / "en_loud.npz")["audio_int16"]
    change_arrays(tmp_path, audio_int16=samples + np.int16(1))
    assert "sha256" in failures(replay.case("v2", "en_loud"))["int16"]


def test_a_manifest_that_was_changed_fails(replay, monkeypatch, tmp_path):
    path = one_case(tmp_path) / "v2" / "voice_loud.pth.manifest.json"
    manifest = json.loads(path.read_text())
    manifest["tensors"][0]["seed"] += 1
    path.write_text(json.dumps(manifest))
    monkeypatch.setattr(replay, "_networks", Networks(tmp_path, tmp_path / "fresh"))
    assert "sha256" in failures(replay.case("v2", "en_loud"))["import"]


def test_a_case_that_cannot_be_read_fails(replay, monkeypatch, tmp_path):
    monkeypatch.setattr(replay, "_goldens", Goldens(one_case(tmp_path)))
    (tmp_path / "v2" / "cases" / "en_loud.json").write_text("{}")
    assert "Field required" in failures(replay.case("v2", "en_loud"))["case"]


def test_a_directory_without_cases_is_refused(tmp_path):
    with pytest.raises(BadGoldens, match="holds no cases"):
        Goldens(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--versions", "v2", "--cases", "en_loud"], 0, "0 FAIL"),
        (["--versions", "v9"], 2, "no cases of v9"),
        (["--cases", "en_nothing"], 2, "no case is called 'en_nothing'"),
        (["--versions", "v2", "--cases", "en_loud", "--backend", "torch"], 0, "0 FAIL"),
        (["--backend", "abacus"], 2, "choices: auto, native, torch"),
    ],
)
def test_the_command(arguments, code, said, work):
    result = CliRunner().invoke(app, ["parity", str(GOLDENS), "--work", str(work), *arguments])
    assert result.exit_code == code, result.output
    assert said in result.output


def test_the_command_exits_with_1_when_a_stage_is_out_of_bounds(monkeypatch):
    rows = [Row("v2/x", "logits", Verdict.PASS, error=1e-6), Row("v2/x", "tokens", Verdict.FAIL, equal=False)]
    monkeypatch.setattr(parity, "run", lambda *_, **__: iter(rows))
    result = CliRunner().invoke(app, ["parity", str(GOLDENS)])
    assert result.exit_code == 1
    assert "1 pass, 1 FAIL" in result.output


def test_nothing_at_all_is_no_success():
    assert not passed([])
