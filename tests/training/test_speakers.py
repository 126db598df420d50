import numpy as np
import pytest
import torch

from voxswap_training.sound import CONTENT_RATE_HZ, Sound
from voxswap_training.speakers import CLIP_SAMPLES, Clips, ask_teacher, cut


@pytest.fixture
def sound(tmp_path) -> Sound:
    counts = np.array([80_000, 60_000])
    tone = 9000 * np.sin(2 * np.pi * 400 * np.arange(counts.sum()) / CONTENT_RATE_HZ)
    tone.astype(np.int16).tofile(tmp_path / "sound")
    return Sound(tmp_path / "sound", counts, torch.device("cpu"))


def frequency(clip: torch.Tensor) -> float:
    return float(torch.fft.rfft(clip).abs().argmax()) * CONTENT_RATE_HZ / len(clip)


@pytest.mark.parametrize("stretch", [0.8, 1.0, 1.25])
def test_a_faster_clip_is_higher(sound: Sound, stretch: float) -> None:
    clip = cut(sound, torch.tensor([0]), torch.tensor([0]), stretch)[0]
    assert clip.shape == (CLIP_SAMPLES,)
    assert frequency(clip) == pytest.approx(400 * stretch, abs=1)


def test_the_teacher_hears_what_the_student_will(sound: Sound, tmp_path) -> None:
    heard: list[torch.Tensor] = []

    def teacher(clip: torch.Tensor) -> torch.Tensor:
        heard.append(clip)
        return torch.full((192,), float(len(heard)))

    ask_teacher(sound, teacher, count=12, seed=0, report=lambda _: None).save(tmp_path / "clips.npz")
    clips = Clips.load(tmp_path / "clips.npz")
    assert clips.embedding[:, 0].tolist() == [float(number) for number in range(1, 13)]
    assert {0, 1} == set(clips.row.tolist())
    for number in range(12):
        row, first = (torch.from_numpy(x[number : number + 1]) for x in (clips.row, clips.first_sample))
        torch.testing.assert_close(cut(sound, row, first, float(clips.stretch[number]))[0], heard[number])
