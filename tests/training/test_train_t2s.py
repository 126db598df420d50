import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.conftest import IDS
from voxswap_training.codes import Codebook
from voxswap_training.judge_t2s import draw, errors, sounds
from voxswap_training.loop import Budget
from voxswap_training.pack import Lines
from voxswap_training.phonemes import CLASSES, INDEX
from voxswap_training.t2s import T2SShape, TrainableT2S
from voxswap_training.train_t2s import Rows, T2SSettings, load, losses, train

SHAPE = T2SShape(hidden_dim=64, head=2, n_layer=3, phoneme_vocab_size=40)
EOS = SHAPE.eos
SETTINGS = T2SSettings(batch_tokens=400)


def test_rows_are_lines_or_a_prompt_and_a_line_of_one_voice(lines: Lines) -> None:
    whole = {tuple(lines.tokens[row].tolist()) for row in range(len(lines.tokens))}
    joined = 0
    for _ in range(60):
        row = rows.draw() if (rows := Rows(lines, 1000, dev=False, seed=_, marks=())) else None
        tokens = row.tokens.tolist()
        if tuple(tokens) in whole:
            assert row.phones.tolist() == list(IDS)
            continue
        joined += 1
        assert row.phones.tolist() == [*IDS, *IDS]
        line = next(line for line in whole if tuple(tokens[-len(line) :]) == line)
        prompt = [token for token in tokens[: -len(line)] if token != 1000]
        assert tuple(prompt) in whole
        assert row.places[-1] == 2 * len(IDS) - 1
        assert row.places[0] < len(IDS)
    assert 20 < joined < 50


def test_lines_are_cut_at_marks_now_and_then(lines: Lines) -> None:
    mark = IDS[3]
    rows = Rows(lines, 1000, dev=False, seed=0, marks=(mark, IDS[-1]))
    wholes = {tuple(lines.tokens[row].tolist()): lines.phone_at_token[row] for row in range(len(lines.tokens))}
    cut = set()
    for _ in range(200):
        row = rows.draw()
        phones = tuple(row.phones.tolist())
        if len(phones) >= len(IDS):
            continue
        cut.add(phones)
        begin = IDS.index(phones[0])
        spoken = row.tokens[2:] if begin else row.tokens
        assert row.tokens[: len(row.tokens) - len(spoken)].tolist() == [1000] * (2 if begin else 0)
        assert any(
            np.array_equal(np.array(tokens)[(places >= begin) & (places < begin + len(phones))], spoken)
            for tokens, places in wholes.items()
        )
        assert row.places.min() >= 0
        assert row.places.max() < len(phones)
    assert cut == {IDS[:4], IDS[4:]}


def test_batches_ask_for_what_follows(lines: Lines) -> None:
    for batch in islice(Rows(lines, 1000, dev=False, seed=0, marks=()).batches(SETTINGS, EOS), 12):
        width = batch.phones.shape[1] + batch.inputs.shape[1] + 1
        assert len(batch.inputs) * width <= SETTINGS.batch_tokens
        for inputs, targets, places in zip(batch.inputs, batch.targets, batch.places, strict=True):
            count = int((targets >= 0).sum())
            assert targets[count - 1] == EOS
            assert targets[: count - 1].tolist() == inputs[1:count].tolist()
            assert (targets[count:] == -1).all()
            assert (places[count - 1 :] == -1).all()


def test_a_small_corpus_is_learnt_by_heart(lines: Lines) -> None:
    torch.manual_seed(0)
    network = TrainableT2S(SHAPE)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
    batches = Rows(lines, 1000, dev=False, seed=0, marks=()).batches(SETTINGS, EOS)
    first = None
    for batch in islice(batches, 60):
        found = losses(network, batch, SETTINGS)
        first = first or {name: value.item() for name, value in found.items()}
        optimiser.zero_grad()
        found["loss"].backward()
        optimiser.step()
    network.eval()
    last = {name: value.item() for name, value in losses(network, next(batches), SETTINGS).items()}
    assert last["cross_entropy"] < 0.6 * first["cross_entropy"]
    assert last["guide"] < first["guide"]
    assert last["placed"] > 0.5


def test_training_goes_on_from_its_checkpoint(lines: Lines, tmp_path: Path) -> None:
    lines.dev[-2:] = True
    for minutes in (0.06, 1.0):
        budget = Budget(total_minutes=0.15, run_minutes=minutes)
        settings = T2SSettings(batch_tokens=400, report_every=2)
        network = train(lines, 1000, tmp_path, budget, settings, shape=SHAPE, device=torch.device("cpu"))
    again = load(tmp_path / "t2s.pt")
    assert again.shape == SHAPE
    torch.testing.assert_close(again.state_dict(), dict(network.state_dict()))
    steps = [json.loads(line)["step"] for line in (tmp_path / "t2s.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert len(steps) >= 2


def test_tokens_are_drawn_until_the_end_is_likeliest() -> None:
    torch.manual_seed(0)
    network = TrainableT2S(SHAPE).eval()
    with torch.no_grad():
        network.ar_predict_layer.weight.zero_()
        network.h.layers[-1].norm2.weight.zero_()
        network.h.layers[-1].norm2.bias.zero_()
        network.h.layers[-1].norm2.bias[0] = 1.0
        network.ar_predict_layer.weight[7, 0] = 5.0
    generator = torch.Generator().manual_seed(0)
    drawn = draw(network, np.arange(4), np.array([3]), longest=24, top_k=1, temperature=1.0, generator=generator)
    assert drawn.tolist() == [7] * 24
    with torch.no_grad():
        network.ar_predict_layer.weight[EOS, 0] = 9.0
    assert (
        draw(network, np.arange(4), np.array([3]), longest=24, top_k=1, temperature=1.0, generator=generator).size == 0
    )


def test_sounds_of_tokens_leave_out_pauses_and_repetitions(codebook: Codebook) -> None:
    names = ["sil", "k", "k", "æ", "sil", "æ", "t", "t"]
    content = np.concatenate([codebook.classes[[INDEX[name] for name in names]], np.zeros((8, 1))], 1)
    codebook.vectors[:4] = content.reshape(4, -1)
    assert [CLASSES[sound] for sound in sounds(np.arange(4), codebook)] == ["k", "æ", "t"]


@pytest.mark.parametrize(("found", "count"), [([1, 2, 3], 0), ([1, 3], 1), ([1, 9, 3], 1), ([], 3), ([0, 1, 2, 3], 1)])
def test_errors_are_the_edits_between_sequences(found: list[int], count: int) -> None:
    assert errors([1, 2, 3], found) == count
