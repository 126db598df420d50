"""HuBERT, BERT and ERes2NetV2: read from safetensors alone, quietly, and equal to what they stand for."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertForMaskedLM, HubertConfig, HubertModel

from tests.fixtures.eres2net import LAYERS, eres2net_state
from voxswap_server.engine.memory import copied_to, size_of
from voxswap_server.errors import EngineError
from voxswap_server.nn.bert import TextEncoder
from voxswap_server.nn.eres2net import SpeakerVectorNet, filter_bank
from voxswap_server.nn.hubert import ContentEncoder
from voxswap_store.errors import BadTensor
from voxswap_store.layout_assets import convert_eres2net

HUBERT = HubertConfig(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=48,
    conv_dim=(8,) * 7,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=4,
)
CHARACTERS = "今天天气很好，我们去。"
BERT = BertConfig(
    vocab_size=30,
    hidden_size=16,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=16,
)


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return network.requires_grad_(requires_grad=False).eval()


def write(directory: Path, config: dict, tensors: dict[str, Tensor]) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, directory / "model.safetensors")
    return directory


@pytest.fixture(scope="module")
def hubert() -> HubertModel:
    return randomised(HubertModel(HUBERT))


@pytest.mark.parametrize("spelling", ["old", "new", "folded"])
def test_hubert_equals_transformers_own_whatever_weight_norm_is_called(tmp_path: Path, hubert, spelling, capfd) -> None:
    norm = "encoder.pos_conv_embed.conv.parametrizations.weight.original"
    tensors = dict(hubert.state_dict()) | {"some.head.weight": torch.zeros(3)}
    if spelling == "folded":
        tensors["encoder.pos_conv_embed.conv.weight"] = hubert.encoder.pos_conv_embed.conv.weight
    if spelling != "new":
        lengths, directions = tensors.pop(f"{norm}0"), tensors.pop(f"{norm}1")
    if spelling == "old":
        tensors["encoder.pos_conv_embed.conv.weight_g"] = lengths
        tensors["encoder.pos_conv_embed.conv.weight_v"] = directions
    encoder = ContentEncoder.from_directory(write(tmp_path, HUBERT.to_dict(), tensors))
    wave = torch.randn(1, 4_000) * 0.1
    features = encoder.features(wave)
    assert features.shape == (1, 32, (4_000 - 400) // 320 + 1)
    torch.testing.assert_close(features, hubert(wave).last_hidden_state.transpose(1, 2), rtol=0, atol=1e-5)
    assert not any(capfd.readouterr())
    assert size_of(encoder) < sum(t.nbytes for t in tensors.values())


def test_a_file_that_lacks_a_tensor_is_refused(tmp_path: Path, hubert) -> None:
    tensors = dict(hubert.state_dict())
    del tensors["encoder.layer_norm.weight"]
    with pytest.raises(ValueError, match=r"encoder\.layer_norm\.weight"):
        ContentEncoder.from_directory(write(tmp_path, HUBERT.to_dict(), tensors))
    with pytest.raises(FileNotFoundError):
        ContentEncoder.from_directory(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def bert() -> BertForMaskedLM:
    return randomised(BertForMaskedLM(BERT))


@pytest.fixture
def bert_directory(tmp_path: Path, bert: BertForMaskedLM) -> Path:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", *dict.fromkeys(CHARACTERS)]
    directory = write(tmp_path, BERT.to_dict(), bert.state_dict())
    (directory / "vocab.txt").write_text("\n".join(vocabulary))
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "tokenizer_class": "BertTokenizer"})
    )
    return directory


def test_bert_is_the_third_layer_from_the_end_repeated_for_each_phone(bert_directory: Path, bert, capfd) -> None:
    encoder = TextEncoder.from_directory(bert_directory)
    text, word2ph = "今天很好，", [2, 2, 1, 3, 1]
    features = encoder.features(text, word2ph)
    vocabulary = (bert_directory / "vocab.txt").read_text().split("\n")
    ids = torch.tensor([[vocabulary.index(piece) for piece in ("[CLS]", *text, "[SEP]")]])
    hidden = bert(ids, output_hidden_states=True).hidden_states[-3][0, 1:-1]
    assert features.shape == (16, 9)
    torch.testing.assert_close(features, hidden.repeat_interleave(torch.tensor(word2ph), 0).T, rtol=0, atol=1e-5)
    assert not any(capfd.readouterr())


def test_the_last_two_layers_and_the_head_are_not_loaded(bert_directory: Path, bert) -> None:
    encoder = TextEncoder.from_directory(bert_directory)
    layers = sum(p.nbytes for layer in bert.bert.encoder.layer[-2:] for p in layer.parameters())
    head = sum(p.nbytes for name, p in bert.named_parameters() if name.startswith("cls."))
    assert (
        size_of(encoder)
        == size_of(copied_to(encoder, torch.device("cpu")))
        == sum(p.nbytes for p in bert.parameters()) - layers - head
    )


@pytest.mark.parametrize(("text", "word2ph"), [("今天", [1]), ("今ba", [1, 1, 1]), ("天 天", [1, 1, 1])])
def test_characters_pieces_and_phones_must_pair_up(bert_directory: Path, text: str, word2ph: list[int]) -> None:
    with pytest.raises(EngineError, match="must be as many"):
        TextEncoder.from_directory(bert_directory).features(text, word2ph)


def test_a_run_longer_than_the_network_reads_is_an_error(bert_directory: Path) -> None:
    encoder = TextEncoder.from_directory(bert_directory)
    assert encoder.features("天" * 14, [1] * 14).shape == (16, 14)
    with pytest.raises(EngineError, match="15 Chinese characters; BERT reads at most 14"):
        encoder.features("天" * 15, [1] * 15)


def written_out(state: dict[str, Tensor], bands: Tensor) -> Tensor:
    """The network with its batch norms where training had them: (T, 80) -> (vector,)."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state.get(f"{name}.bias"), stride, weight.shape[-1] // 2)

    def norm(x: Tensor, name: str) -> Tensor:
        parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts)

    def fuse(x: Tensor, y: Tensor, name: str) -> Tensor:
        hidden = F.silu(norm(conv(torch.cat((x, y), 1), f"{name}.local_att.0"), f"{name}.local_att.1"))
        weight = 1 + torch.tanh(norm(conv(hidden, f"{name}.local_att.3"), f"{name}.local_att.4"))
        return x * weight + y * (2 - weight)

    x = F.relu(norm(conv(bands.T[None, None], "conv1"), "bn1"))
    outputs = []
    for number, (blocks, width, branches, _, inner) in enumerate(LAYERS, 1):
        for index in range(blocks):
            block, stride = f"layer{number}.{index}", 2 if number > 1 and index == 0 else 1
            parts = F.hardtanh(norm(conv(x, f"{block}.conv1", stride), f"{block}.bn1"), 0, 20).split(width, 1)
            made: list[Tensor] = []
            for branch in range(branches):
                part = parts[branch]
                if branch:
                    part = fuse(made[-1], part, f"{block}.fuse_models.{branch - 1}") if inner else made[-1] + part
                made.append(F.hardtanh(norm(conv(part, f"{block}.convs.{branch}"), f"{block}.bns.{branch}"), 0, 20))
            joined = norm(conv(torch.cat(made, 1), f"{block}.conv3"), f"{block}.bn3")
            residual = x
            if f"{block}.shortcut.0.weight" in state:
                residual = norm(conv(x, f"{block}.shortcut.0", stride), f"{block}.shortcut.1")
            x = F.hardtanh(joined + residual, 0, 20)
        outputs.append(x)
    return fuse(outputs[3], conv(outputs[2], "layer3_ds", 2), "fuse34").flatten(1, 2).mean(-1)[0]


def test_folding_the_batch_norms_changes_nothing(tmp_path: Path) -> None:
    state = eres2net_state()
    result = convert_eres2net(state)
    network = SpeakerVectorNet.from_directory(write(tmp_path, result.config, result.tensors))
    wave = torch.randn(1, 8_000) * 0.1
    vector = network.vector(wave)
    assert vector.shape == (1, 16 * 10)
    torch.testing.assert_close(vector[0], written_out(state, filter_bank(wave, 80)), rtol=1e-4, atol=1e-4)
    assert size_of(network) == sum(tensor.nbytes for tensor in result.tensors.values())


def test_the_filter_bank_has_a_frame_every_ten_milliseconds_and_no_dither() -> None:
    wave = torch.randn(1, 16_000)
    first, second = filter_bank(wave, 80), filter_bank(wave, 80)
    assert first.shape == (98, 80)
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize(
    "name", ["bn1.running_var", "layer3.1.fuse_models.0.local_att.3.bias", "layer4.0.convs.0.weight"]
)
def test_a_state_that_lacks_a_tensor_is_refused_by_its_name(name: str) -> None:
    state = eres2net_state()
    del state[name]
    with pytest.raises(BadTensor) as caught:
        convert_eres2net(state)
    assert caught.value.tensor.rsplit(".", 2)[0] == name.rsplit(".", 2)[0]
