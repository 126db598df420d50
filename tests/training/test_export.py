"""What training writes is what the server reads: the same networks, held together at their outputs."""

import json
from pathlib import Path

import pytest
import torch

from voxswap_server.nn.hubert import ContentEncoder
from voxswap_server.nn.t2s import T2S, PrefillRow, T2SConfig
from voxswap_server.nn.vits import Vits, VitsConfig
from voxswap_store.checkpoint import read_checkpoint
from voxswap_store.layout_sovits import convert_sovits
from voxswap_store.layout_t2s import convert_t2s
from voxswap_training.export import weight_normed, write_content, write_sovits, write_t2s
from voxswap_training.shape import SovitsShape
from voxswap_training.sovits import TrainableSovits
from voxswap_training.t2s import T2SShape, TrainableT2S

T2S_SHAPE = T2SShape(hidden_dim=32, head=4, n_layer=2, phoneme_vocab_size=40)
SOVITS_SHAPE = SovitsShape(
    content_width=24,
    phones=732,
    hidden_channels=16,
    filter_channels=24,
    n_layers=2,
    gin_channels=20,
    style_width=16,
    flow_width=8,
    flow_layers=2,
    upsample_initial_channel=32,
)


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """Every parameter away from its start value, so that none can be forgotten unseen."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
            parameter.copy_(parameter.half())
    return network.eval()


@pytest.fixture
def t2s() -> TrainableT2S:
    torch.manual_seed(0)
    return shaken(TrainableT2S(T2S_SHAPE))


@pytest.fixture
def sovits() -> TrainableSovits:
    torch.manual_seed(0)
    return shaken(TrainableSovits(SOVITS_SHAPE, torch.randn(1024, 24).half().float()))


def test_t2s_speaks_the_same_after_import(t2s: TrainableT2S, tmp_path: Path) -> None:
    write_t2s(t2s, tmp_path / "t2s.ckpt", "test")
    checkpoint = read_checkpoint(tmp_path / "t2s.ckpt")
    converted = convert_t2s(checkpoint.weight, checkpoint.config)
    served = T2S.from_tensors(T2SConfig.from_dict(converted.config), converted.tensors)
    phones, tokens = torch.randint(40, (9,)), torch.randint(1024, (7,))
    cache = served.new_cache(16, 8)
    logits = [served.prefill([PrefillRow(phones, None, tokens[:4], cache)])]
    logits += [served.step(token[None], [cache]) for token in tokens[4:]]
    with torch.no_grad():
        wanted, _ = t2s(phones[None], torch.tensor([9]), tokens[None])
    torch.testing.assert_close(torch.cat(logits), wanted[0, 3:], atol=1e-4, rtol=1e-4)


def test_padding_of_a_batch_changes_no_row(t2s: TrainableT2S) -> None:
    phones, tokens = torch.randint(40, (2, 9)), torch.randint(1024, (2, 7))
    with torch.no_grad():
        alone, _ = t2s(phones[:1, :5], torch.tensor([5]), tokens[:1])
        together, _ = t2s(phones, torch.tensor([5, 9]), tokens)
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-5)


def test_decoder_sounds_the_same_after_import(sovits: TrainableSovits, tmp_path: Path) -> None:
    projection = torch.randn(24, 24, 2), torch.randn(24)
    write_sovits(sovits, projection, tmp_path / "sovits.pth", "test")
    checkpoint = read_checkpoint(tmp_path / "sovits.pth")
    converted = convert_sovits(checkpoint.weight, checkpoint.config, "v2")
    served = Vits.from_tensors(VitsConfig.from_dict(converted.config), converted.tensors)
    tokens, phones, spectrum = torch.randint(1024, (1, 6)), torch.randint(732, (1, 5)), torch.rand(1, 1025, 30)
    noise = torch.randn(1, SOVITS_SHAPE.inter_channels, 12)
    with torch.no_grad():
        speaker = sovits.speaker(spectrum)
        z, _ = sovits.frames(tokens, torch.tensor([6]), phones, torch.tensor([5]), speaker, noise=noise)
        wanted = sovits.dec(z, speaker)[0]
    their_speaker = served.speaker([spectrum])
    torch.testing.assert_close(their_speaker, speaker, atol=1e-4, rtol=1e-3)
    mean, log_std = served.encode(tokens[0], phones[0], their_speaker)
    made = served.decode(mean, log_std, noise, their_speaker)
    # Lengths and directions of weight norm are rounded to half precision one by one.
    assert float((made - wanted).abs().max()) < 5e-3 * float(wanted.abs().max())
    content = torch.randn(1, 24, 10)
    heard = torch.nn.functional.conv1d(content, projection[0].half().float(), projection[1].half().float(), stride=2)
    nearest = torch.cdist(heard[0].T, sovits.codebook).argmin(1)
    assert torch.equal(served.prompt_tokens(content), nearest)


def test_padding_changes_no_frame(sovits: TrainableSovits) -> None:
    tokens, phones = torch.randint(1024, (2, 8)), torch.randint(732, (2, 9))
    speaker, noise = torch.randn(2, 20, 1), torch.randn(2, SOVITS_SHAPE.inter_channels, 16)
    counts, phone_counts = torch.tensor([5, 8]), torch.tensor([4, 9])
    with torch.no_grad():
        together, mask = sovits.frames(tokens, counts, phones, phone_counts, speaker, noise=noise)
        alone, _ = sovits.frames(
            tokens[:1, :5], counts[:1], phones[:1, :4], phone_counts[:1], speaker[:1], noise=noise[:1, :, :10]
        )
    assert mask[0, 0].tolist() == [1.0] * 10 + [0.0] * 6
    torch.testing.assert_close(together[:1, :, :10], alone, atol=1e-4, rtol=1e-4)


def test_weight_norm_folds_back() -> None:
    state = {"dec.ups.0.weight": torch.randn(4, 2, 3), "flow.flows.0.enc.cond_layer.weight": torch.randn(4, 2, 1)}
    normed = weight_normed(state | {"enc_p.proj.weight": torch.randn(2, 2, 1)})
    assert sorted(normed) == sorted(
        [f"{stem.removesuffix('weight')}weight_{part}" for stem in state for part in "gv"] + ["enc_p.proj.weight"]
    )
    length, direction = normed["dec.ups.0.weight_g"], normed["dec.ups.0.weight_v"]
    norm = direction.flatten(1).norm(dim=1).view(4, 1, 1)
    torch.testing.assert_close(direction * length / norm, state["dec.ups.0.weight"])


def test_a_weight_of_nothing_has_a_direction_all_the_same() -> None:
    weight = torch.randn(3, 2, 1)
    weight[1] = 0
    normed = weight_normed({"flow.flows.0.enc.cond_layer.weight": weight})
    length, direction = (normed[f"flow.flows.0.enc.cond_layer.weight_{part}"] for part in "gv")
    assert float(length[1]) == 0
    assert direction[1].all()
    assert torch.equal(direction[[0, 2]], weight[[0, 2]])


def test_a_weight_beyond_half_precision_is_refused(t2s: TrainableT2S, tmp_path: Path) -> None:
    with torch.no_grad():
        t2s.ar_predict_layer.weight[0, 0] = 1e6
    with pytest.raises(ValueError, match="ar_predict_layer"):
        write_t2s(t2s, tmp_path / "t2s.ckpt", "test")


def test_content_encoder_reads_what_was_written(tmp_path: Path) -> None:
    listening = pytest.importorskip("voxswap_training.train_content", reason="needs the training group (scikit-learn)")
    torch.manual_seed(0)
    listener = listening.Listener().eval()
    config = listener.hubert.config
    write_content(listener.hubert.state_dict(), json.dumps(config.to_dict()), tmp_path)
    served = ContentEncoder.from_directory(tmp_path)
    wave = torch.randn(1, 16_000)
    with torch.no_grad():
        wanted = listener.hubert(wave).last_hidden_state.transpose(1, 2)
    torch.testing.assert_close(served.features(wave), wanted, atol=2e-2, rtol=2e-2)
