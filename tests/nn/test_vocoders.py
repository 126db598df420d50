"""Vocoders: read from a directory, their reach is the true one, and pieces of their speech equal the whole."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from tests.fixtures.flow import BANDS, bigvgan_checkpoint, vocoder_v4_checkpoint
from voxswap_server.engine.memory import copied_to, size_of
from voxswap_server.nn.bigvgan import Activation, BigVganConfig
from voxswap_server.nn.hifigan import GeneratorConfig
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.specs import SPECS
from voxswap_server.nn.vocoder import VocodedStream, vocode_span
from voxswap_server.nn.vocoders import LoadedVocoder, load_vocoder
from voxswap_store.converted import Converted
from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.layout_assets import convert_bigvgan, convert_vocoder_v4

NAMES = ("bigvgan", "vocoder_v4")


def converted(name: str) -> Converted:
    return convert_bigvgan(*bigvgan_checkpoint()) if name == "bigvgan" else convert_vocoder_v4(vocoder_v4_checkpoint())


def written(name: str, directory: Path) -> Path:
    result = converted(name)
    save_file(result.tensors, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(result.config))
    return directory


@pytest.fixture(scope="module", params=NAMES)
def vocoder(request, tmp_path_factory) -> LoadedVocoder:
    directory = written(request.param, tmp_path_factory.mktemp(request.param))
    return load_vocoder(request.param, directory, dtype=torch.float64)


def mel(frames: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, BANDS, frames, generator=generator, dtype=torch.float64)


def test_the_table_of_versions_names_vocoders_that_there_are(tmp_path: Path) -> None:
    named = {spec.vocoder for spec in SPECS.values()} - {None}
    assert named == set(NAMES)
    for name in named:
        (directory := tmp_path / name).mkdir()
        assert size_of(load_vocoder(name, written(name, directory))) > 0


def test_samples_are_as_many_as_the_frames_say_and_within_one(vocoder: LoadedVocoder) -> None:
    samples = vocoder.samples(mel(5) * 30)
    assert samples.shape == (5 * vocoder.samples_per_frame,)
    assert samples.dtype == torch.float32
    assert 0 < samples.abs().max() <= 1


def test_it_reaches_as_far_as_its_config_says(vocoder: LoadedVocoder) -> None:
    reach = vocoder.reach_frames
    frames = mel(2 * reach + 9)
    frames[..., reach + 4] = math.nan
    touched = vocoder.samples(frames).isnan().nonzero()[:, 0] // vocoder.samples_per_frame
    assert max(reach + 4 - int(touched.min()), int(touched.max()) - reach - 4) == reach


def test_the_released_networks_reach_so_far() -> None:
    kernels, dilations = (3, 7, 11), ((1, 3, 5),) * 3
    assert BigVganConfig(100, 1536, (4, 4, 2, 2, 2, 2), (8, 8, 4, 4, 4, 4), kernels, dilations).reach_frames == 38
    assert GeneratorConfig(100, 512, (10, 6, 2, 2, 2), (20, 12, 4, 4, 4), kernels, dilations).reach_frames == 12


@given(start=st.integers(0, 40), size=st.integers(1, 30))
@settings(deadline=None, max_examples=10)
def test_a_span_equals_that_part_of_the_whole(vocoder: LoadedVocoder, start: int, size: int) -> None:
    frames, per_frame = mel(70), vocoder.samples_per_frame
    part = vocoder.samples(frames)[start * per_frame : (start + size) * per_frame]
    torch.testing.assert_close(vocode_span(vocoder, frames, start, start + size), part, rtol=0, atol=1e-6)


@given(portions=st.lists(st.integers(1, 50), min_size=1, max_size=3), sizes=st.lists(st.integers(1, 20), max_size=3))
@settings(deadline=None, max_examples=8)
def test_a_stream_of_portions_joins_to_the_whole(vocoder: LoadedVocoder, portions, sizes) -> None:
    frames = mel(sum(portions))
    stream, said, start = VocodedStream(vocoder, frames.shape[-1], sizes), [], 0
    for size in portions:
        pieces = list(stream.push(frames[..., start : start + size]))
        start += size
        said += pieces
        if start < frames.shape[-1]:  # nothing is said that a later frame may still change
            assert sum(map(len, said)) == max(0, start - vocoder.reach_frames) * vocoder.samples_per_frame
    torch.testing.assert_close(torch.cat(said), vocoder.samples(frames), rtol=0, atol=1e-6)


def test_threads_of_our_own_compute_v4s_residual_blocks_and_round_otherwise(tmp_path: Path) -> None:
    result = convert_vocoder_v4(vocoder_v4_checkpoint(width=128))
    save_file(result.tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(result.config))
    by_team, by_torch = (load_vocoder("vocoder_v4", tmp_path, team=team) for team in (Team(1), None))
    exact = load_vocoder("vocoder_v4", tmp_path, dtype=torch.float64)
    frames = mel(9)
    with torch.inference_mode():
        ours, theirs, true = (one.samples(frames) for one in (by_team, by_torch, exact))
    assert not torch.equal(ours, theirs), "the threads computed nothing of it"
    torch.testing.assert_close(ours, true, rtol=0, atol=1e-5 * float(true.abs().max()))


def test_a_vocoder_without_kernels_of_ours_needs_no_threads(tmp_path: Path) -> None:
    written("bigvgan", tmp_path)
    by_team, by_torch = (load_vocoder("bigvgan", tmp_path, team=team) for team in (Team(1), None))
    assert torch.equal(by_team.samples(mel(5)), by_torch.samples(mel(5)))


def test_a_copy_on_another_device_shares_nothing_and_says_the_same(vocoder: LoadedVocoder) -> None:
    twin, frames = copied_to(vocoder, torch.device("cpu")), mel(5)
    (module,), (other,) = vocoder.modules, twin.modules
    assert not {p.data_ptr() for p in module.parameters()} & {p.data_ptr() for p in other.parameters()}
    assert size_of(twin) == size_of(vocoder)
    assert torch.equal(twin.samples(frames), vocoder.samples(frames))


def test_an_activation_equals_its_formula_where_the_filters_are_wide_open() -> None:
    # Filters of one tap repeat each sample, then take one of the two.
    activation = Activation(2)
    for parameter in activation.parameters():
        parameter.data = torch.rand(2, dtype=torch.float64) + 0.5
    up, down = torch.zeros(12, dtype=torch.float64), torch.zeros(12, dtype=torch.float64)
    up[5:7] = 0.5
    down[5] = 1
    x = torch.randn(1, 2, 9, dtype=torch.float64)
    expected = x + activation.amplitude[:, None] * torch.sin(x * activation.frequency[:, None]) ** 2
    torch.testing.assert_close(activation(x, up, down), expected)


def test_frequency_and_amplitude_are_worked_out_at_import() -> None:
    state, config = bigvgan_checkpoint()
    tensors = convert_bigvgan(state, config).tensors
    torch.testing.assert_close(tensors["activation.frequency"], state["activation_post.act.alpha"].exp())
    torch.testing.assert_close(tensors["activation.amplitude"], 1 / (state["activation_post.act.beta"].exp() + 1e-9))


@pytest.mark.parametrize("key", ["activation", "snake_logscale", "use_tanh_at_final", "resblock", "upsample_rates"])
def test_a_bigvgan_of_another_kind_is_refused(key: str) -> None:
    state, config = bigvgan_checkpoint()
    with pytest.raises(CheckpointError, match=key):
        convert_bigvgan(state, config | {key: "other"})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("resblocks.1.activations.2.upsample.filter", "differs"),
        ("activation_post.downsample.lowpass.filter", "differs"),
        ("ups.1.0.weight_v", "cannot upsample"),
        ("resblocks.3.convs2.1.bias", "is missing"),
        ("activation_post.act.alpha", "is missing"),
    ],
)
def test_a_bad_tensor_is_named(name: str, why: str) -> None:
    state, config = bigvgan_checkpoint()
    state[name] = state[name] + 1
    if why == "is missing":
        del state[name]
    elif why == "cannot upsample":
        state[name] = torch.ones(4, 2, 3)
    with pytest.raises(BadTensor, match=why) as caught:
        convert_bigvgan(state, config)
    assert caught.value.tensor.startswith(name.removesuffix(".weight_v"))


def test_a_damaged_file_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_vocoder("bigvgan", tmp_path)
    written("bigvgan", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    with pytest.raises(ValueError, match="damaged"):
        load_vocoder("bigvgan", tmp_path)
