import numpy as np
import pytest

from tests.training.conftest import FRAMES, IDS, NAMES, PHONEMES, entry
from voxswap_server.text.symbols import SYMBOLS
from voxswap_training.alignment import phone_at_tokens, sounds_of
from voxswap_training.codes import Codebook
from voxswap_training.phonemes import CLASSES, INDEX


def test_every_arpabet_phone_of_the_alphabet_has_a_sound() -> None:
    stressed = [name for name in SYMBOLS["v2"].names if name[-1:] in "012" and name[:1] != "Y"]
    arpabet = [name for name in stressed if name[:2].isalpha() and name[:2].isupper() and not name.startswith("SP")]
    assert len(arpabet) > 40
    assert [name for name in arpabet if sounds_of(name) == (INDEX["sil"],)] == []
    assert sounds_of(",") == (INDEX["sil"],)
    assert [CLASSES[sound] for sound in sounds_of("EY1")] == ["A1", "A2"]


def test_tokens_find_their_phones(codebook: Codebook) -> None:
    places = phone_at_tokens(entry(0, "amber"), NAMES, codebook.classes)
    assert len(places) == int(sum(FRAMES) * 0.025 * 25)
    assert list(dict.fromkeys(places.tolist())) == list(range(len(IDS)))
    assert (np.diff(places) >= 0).all()


@pytest.mark.parametrize("names", [("HH", "AH0", "T", "K", "AH0", "T", "."), ("HH", "EY1", "K", "AE1", "T"), ("T",)])
def test_other_readings_still_go_forward(names: tuple[str, ...], codebook: Codebook) -> None:
    places = phone_at_tokens(entry(1, "amber"), names, codebook.classes)
    assert (np.diff(places) >= 0).all()
    assert 0 <= places.min() <= places.max() < len(names)
    assert PHONEMES.startswith("_h")
