"""Mandarin syllables as two phones, initial and final with tone.

Knows nothing of words or characters, nor of tone sandhi. The phones are those of the singing corpus Opencpop in its
strict form: every syllable has an initial, so a syllable without one takes y, w or a doubled capital of its vowel.
"""

import re

_SYLLABLE = re.compile(r"(zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw]?)([a-zv]+)")
_WRITTEN_SHORT = {"uei": "ui", "iou": "iu", "uen": "un"}
_BUZZING = {**dict.fromkeys(("zh", "ch", "sh", "r"), "ir"), **dict.fromkeys(("z", "c", "s"), "i0")}
_FRONT = frozenset({"j", "q", "x", "y"})
_AFTER_Y = {"an": "En", "e": "E"}


def phones(initial: str, final: str) -> tuple[str, str]:
    """The two phones of a syllable.

    Args:
        initial: as pypinyin gives it ("zh", ""), "y" and "w" not counted as initials.
        final: with its tone at the end ("iang1", "v4").
    """
    vowel, tone = final[:-1], final[-1]
    syllable = initial + _WRITTEN_SHORT.get(vowel, vowel) if initial else _spelt(vowel)
    match = _SYLLABLE.fullmatch(syllable)
    onset, rime = (match[1], match[2]) if match else ("", syllable)
    if not onset:
        onset = rime[0].upper() * 2
    elif rime == "i":
        rime = _BUZZING.get(onset, "i")
    elif onset in _FRONT:
        rime = re.sub("^u", "v", rime)
        rime = _AFTER_Y.get(rime, rime) if onset == "y" else rime
    return onset, rime + tone


def _spelt(vowel: str) -> str:
    """How pinyin writes a syllable without an initial: yi, wu, yuan, you, wen."""
    if vowel in {"i", "in", "ing"}:
        return f"y{vowel}"
    if vowel == "u":
        return "wu"
    if vowel[0] == "v":
        return f"yu{vowel[1:]}"
    return {"i": "y", "u": "w"}.get(vowel[0], vowel[0]) + vowel[1:]
