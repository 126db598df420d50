import json
from pathlib import Path

import numpy as np
import pytest
import torch

from voxswap_training.codes import CODES, DECODER_SCALE, DIMS, Codebook
from voxswap_training.loop import Budget
from voxswap_training.pack import Lines
from voxswap_training.phonemes import INDEX
from voxswap_training.sound import CONTENT_RATE_HZ, Sound, resampled_counts
from voxswap_training.train_content import (
    Clips,
    ContentSettings,
    Listener,
    content_projection,
    tokens_of,
    train,
)

CPU = torch.device("cpu")


@pytest.fixture
def sound(lines: Lines, tmp_path: Path) -> Sound:
    counts = resampled_counts(lines, CONTENT_RATE_HZ)
    np.random.default_rng(0).integers(-9000, 9000, counts.sum()).astype(np.int16).tofile(tmp_path / "sound")
    return Sound(tmp_path / "sound", counts, CPU)


def test_a_clip_comes_with_what_is_said_in_it(lines: Lines, sound: Sound, codebook: Codebook) -> None:
    lines.dev[:] = True
    clips = Clips(lines, sound, codebook, CPU, dev=True, seed=0)
    batch = clips._batch(torch.tensor([0, 1]), 60)
    assert batch.wave.shape[1] == 59 * 320 + 400  # 60 frames of the network
    assert batch.classes.shape == (2, 60)
    places = torch.from_numpy(codebook.classes)[batch.classes] * DECODER_SCALE
    torch.testing.assert_close(batch.content[..., :-1], places)
    assert (batch.classes[:, -5:] == INDEX["sil"]).all()  # beyond the end there is silence


def test_the_projection_is_the_head_for_both_frames_of_a_token() -> None:
    torch.manual_seed(0)
    listener = Listener().eval()
    weight, bias = content_projection(listener)
    heard = torch.randn(1, 12, weight.shape[0])
    projected = torch.nn.functional.conv1d(heard.transpose(1, 2), weight, bias, stride=2)[0].T
    with torch.no_grad():
        vectors = listener.head(heard)
    torch.testing.assert_close(projected[:, : 2 * DIMS], vectors.reshape(6, 2 * DIMS), atol=1e-5, rtol=1e-5)
    assert not projected[:, 2 * DIMS :].any()


def test_tokens_of_vectors_are_the_nearest_codes() -> None:
    codes = torch.randn(CODES, 2 * DIMS)
    chosen = torch.randint(CODES, (2, 5))
    vectors = codes[chosen].reshape(2, 10, DIMS)
    assert torch.equal(tokens_of(vectors, codes), chosen)


def test_training_writes_a_curve_and_a_checkpoint(
    lines: Lines, sound: Sound, codebook: Codebook, tmp_path: Path
) -> None:
    lines.dev[6:8] = True
    settings = ContentSettings(batch=2, report_every=1)
    train(lines, sound, codebook, tmp_path, Budget(0.06, 1), settings, device=CPU)
    listener = Listener()
    listener.load_state_dict(torch.load(tmp_path / "content.pt", weights_only=True)["network"])
    first = json.loads((tmp_path / "content.jsonl").read_text().splitlines()[0])
    assert 0 <= first["dev_tokens"] <= 1
    assert first["dev_distance"] > 0
