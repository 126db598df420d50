"""Stage `codes`: fits the semantic codebook. Knows nothing of how it is used."""

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from voxswap_training.codes import CLASS_DIMS, CODES, DIMS, Codebook
from voxswap_training.entries import RATE_HZ, Entry
from voxswap_training.phonemes import CLASSES, classes_at_frames
from voxswap_training.signal import MelFilter

_CEPSTRA = 14
_FRAME_SAMPLES = RATE_HZ // 50


def fit(
    spoken: Sequence[Entry], audio: NDArray[np.int16], lines: Iterable[Entry], *, pitch_weight: float, seed: int = 0
) -> Codebook:
    """A codebook from spoken entries (places of the classes) and from many lines (which codes are worth having)."""
    lines = list(lines)
    places = class_places(spoken, audio)
    medians = voice_medians([*spoken, *lines])
    draft = Codebook(places, pitch_weight, np.empty((0, 2 * DIMS), np.float32), medians)
    pairs = np.concatenate([draft.content(entry).reshape(-1, 2 * DIMS) for entry in lines])
    means = MiniBatchKMeans(CODES, n_init=1, random_state=seed, batch_size=16384, max_iter=60, reassignment_ratio=1e-3)
    means.fit(pairs)
    return Codebook(places, pitch_weight, means.cluster_centers_.astype(np.float32), medians)


def voice_medians(entries: Iterable[Entry]) -> dict[str, float]:
    """Median pitch in Hz of each voice."""
    by_voice: dict[str, list[int]] = {}
    for entry in entries:
        by_voice.setdefault(entry.voice, []).extend(hz for hz in entry.pitch_hz if hz > 0)
    return {voice: float(np.median(values)) for voice, values in by_voice.items()}


def class_places(spoken: Sequence[Entry], audio: NDArray[np.int16]) -> NDArray[np.float32]:
    """Where the sound classes lie: (len(CLASSES), CLASS_DIMS), scaled so that the mean square distance is 1."""
    frames, labels = [], []
    mel = MelFilter(rate_hz=RATE_HZ, fft_samples=1024, window_samples=600, hop_samples=_FRAME_SAMPLES // 2, bands=40)
    for entry in spoken:
        cepstra = _cepstra(mel, audio[entry.first_sample : entry.first_sample + entry.samples])
        sounds = classes_at_frames(entry.phonemes, entry.frames)
        count = min(len(cepstra), len(sounds))
        frames.append(cepstra[:count])
        labels.append(sounds[:count])
    x, y = np.concatenate(frames), np.concatenate(labels)
    present = [sound for sound in range(len(CLASSES)) if (y == sound).sum() > 1]
    means = np.zeros((len(CLASSES), x.shape[1]))
    means[present] = [x[y == sound].mean(0) for sound in present]
    within = np.cov((x - means[y]).T) + 1e-3 * np.eye(x.shape[1])
    roots, axes = np.linalg.eigh(within)
    white = (means - x.mean(0)) @ axes / np.sqrt(roots)
    shares = np.array([(y == sound).mean() for sound in range(len(CLASSES))])
    _, directions = np.linalg.eigh((white.T * shares) @ white)
    places = (white @ directions)[:, ::-1][:, :CLASS_DIMS]
    spread = np.square(places[present][:, None] - places[present][None]).sum(-1).mean()
    return (places / np.sqrt(spread)).astype(np.float32)


def _cepstra(mel: MelFilter, samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """(T, 2 * cepstra) of 20 ms frames and their slopes, normalised over the utterance."""
    log_mel = mel(torch.from_numpy(samples.astype(np.float32) / 32768)[None])[0].T.numpy()
    pairs = log_mel[: len(log_mel) // 2 * 2].reshape(-1, 2, log_mel.shape[1]).mean(1)
    cepstra = scipy.fft.dct(pairs, norm="ortho", axis=1)[:, :_CEPSTRA]
    cepstra = (cepstra - cepstra.mean(0)) / (cepstra.std(0) + 0.1)
    return np.concatenate([cepstra, np.gradient(cepstra, axis=0)], 1)


def report(codebook: Codebook, lines: Sequence[Entry]) -> str:
    """What tokens know of classes and pitch, in one line."""
    content = [codebook.content(line) for line in lines]
    tokens = np.concatenate([codebook.tokens(rows) for rows in content])
    classes = np.concatenate([classes_at_frames(line.phonemes, line.frames) for line in lines])
    halves = codebook.vectors.reshape(-1, DIMS)
    nearest = np.square(halves[:, None, :CLASS_DIMS] - codebook.classes).sum(-1).argmin(1).reshape(-1, 2)
    kept = (nearest[tokens].reshape(-1) == classes).mean()
    pitch = np.concatenate(content)[:, -1] - codebook.vectors.reshape(-1, 2, DIMS)[tokens, :, -1].reshape(-1)
    off = np.sqrt(np.square(pitch).mean()) / codebook.pitch_weight
    return (
        f"codes used {len(np.unique(tokens))}, entropy {mutual_information(tokens, tokens):.2f} nats, "
        f"of the class {mutual_information(classes, classes):.2f}, "
        f"shared {mutual_information(tokens, classes[::2]):.2f}; "
        f"frames whose class survives {kept:.3f}, pitch off by {off:.2f} semitones"
    )


def mutual_information(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """In nats, of two sequences of labels; of a sequence with itself it is the entropy."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1)
    joint /= joint.sum()
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())
