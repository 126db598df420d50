"""Guesses the phones of an English word that no dictionary has: a small GRU encoder and decoder in numpy.

Knows nothing of dictionaries or sentences. The weights are the checkpoint that the package `g2p-en` (Kyubyong Park and
Jongseok Kim, Apache-2.0) ships in its wheel; the package is located, never imported, because importing it downloads
data that this does not need.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from voxswap_server.text.installed import installed_file

Array = npt.NDArray[np.float32]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_UNKNOWN_LETTER, _END_OF_WORD, _FIRST_LETTER = 1, 2, 3
_START, _STOP, _FIRST_PHONE = 2, 3, 4
_LONGEST_PHONES = 20
_LONGEST_LETTERS = 200
"""Longer words are cut: what the network says of them is noise anyway, and its work must be bounded."""

_VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
_SOUNDS = [
    "AA",
    "AE",
    "AH",
    "AO",
    "AW",
    "AY",
    "B",
    "CH",
    "D",
    "DH",
    "EH",
    "ER",
    "EY",
    "F",
    "G",
    "HH",
    "IH",
    "IY",
    "JH",
    "K",
    "L",
    "M",
    "N",
    "NG",
    "OW",
    "OY",
    "P",
    "R",
    "S",
    "SH",
    "T",
    "TH",
    "UH",
    "UW",
    "V",
    "W",
    "Y",
    "Z",
    "ZH",
]


def _phone_names() -> tuple[str, ...]:
    """The decoder's alphabet in the order of its rows, after the four marks; one vowel also occurs bare."""
    names: list[str] = []
    for sound in _SOUNDS:
        if sound == "UW":
            names.append(sound)
        names.extend([f"{sound}{stress}" for stress in range(3)] if sound in _VOWELS else [sound])
    return tuple(names)


@dataclass(frozen=True, slots=True)
class GatedUnit:
    """One GRU layer, gates in the order reset, update, new (Cho et al. 2014, as torch lays it out)."""

    input_weight: Array
    """(3H, E)."""
    hidden_weight: Array
    """(3H, H)."""
    input_bias: Array
    hidden_bias: Array

    def step(self, x: Array, hidden: Array) -> Array:
        """Takes x (E,) and hidden (H,), gives the next hidden (H,)."""
        size = hidden.shape[0]
        from_x = self.input_weight @ x + self.input_bias
        from_hidden = self.hidden_weight @ hidden + self.hidden_bias
        gates = 1.0 / (1.0 + np.exp(-(from_x[: 2 * size] + from_hidden[: 2 * size])))
        reset, update = gates[:size], gates[size:]
        new = np.tanh(from_x[2 * size :] + reset * from_hidden[2 * size :])
        mixed: Array = (1.0 - update) * new + update * hidden
        return mixed


@dataclass(frozen=True, slots=True)
class NeuralSpeller:
    """Letters in, ARPAbet out. Keeps no state: any thread may call it."""

    letter_rows: Array
    phone_rows: Array
    encoder: GatedUnit
    decoder: GatedUnit
    output_weight: Array
    output_bias: Array
    names: tuple[str, ...]

    @classmethod
    def from_installed(cls) -> Self:
        """Loads the checkpoint out of the installed package `g2p-en`."""
        with np.load(installed_file("g2p_en", "checkpoint20.npz")) as stored:
            return cls(
                stored["enc_emb"],
                stored["dec_emb"],
                GatedUnit(stored["enc_w_ih"], stored["enc_w_hh"], stored["enc_b_ih"], stored["enc_b_hh"]),
                GatedUnit(stored["dec_w_ih"], stored["dec_w_hh"], stored["dec_b_ih"], stored["dec_b_hh"]),
                stored["fc_w"],
                stored["fc_b"],
                _phone_names(),
            )

    def phones(self, word: str) -> tuple[str, ...]:
        """The likeliest phones of a lower-case word, at most 20."""
        rows = [self._letter_row(letter) for letter in word[:_LONGEST_LETTERS]]
        hidden: Array = np.zeros(self.encoder.hidden_weight.shape[1], np.float32)
        for row in [*rows, _END_OF_WORD]:
            hidden = self.encoder.step(self.letter_rows[row], hidden)
        said: list[str] = []
        last = _START
        for _ in range(_LONGEST_PHONES):
            hidden = self.decoder.step(self.phone_rows[last], hidden)
            last = int(np.argmax(self.output_weight @ hidden + self.output_bias))
            if last == _STOP:
                break
            if last >= _FIRST_PHONE:
                said.append(self.names[last - _FIRST_PHONE])
        return tuple(said)

    @staticmethod
    def _letter_row(letter: str) -> int:
        place = _LETTERS.find(letter)
        return _FIRST_LETTER + place if place >= 0 else _UNKNOWN_LETTER
