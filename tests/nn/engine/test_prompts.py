"""What a prompt's routine tells before it encodes anything."""

from collections.abc import Generator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from voxswap_server.domain import Language, Notice, Prompt
from voxswap_server.engine.job import Tell, Work
from voxswap_server.engine.prompts import EncodedPrompt, Prompts
from voxswap_server.engine.text_encoder import EncodedText
from voxswap_server.engine.voice import PromptAudio, Voice
from voxswap_server.errors import RequestError
from voxswap_server.nn.decoder import Conditioning
from voxswap_server.nn.specs import spec_of

ALONE = Prompt(b"clip", "What it says.", Language("en"))
WITH_OTHERS = Prompt(b"clip", "What it says.", Language("en"), auxiliary=(b"another",))
AUDIO = PromptAudio(torch.arange(3), Conditioning(torch.zeros(1, 4, 1)))


class Known(Prompts):
    """Prompts whose halves are there already."""

    def __init__(self) -> None:
        self._text = cast("Any", SimpleNamespace(transcript=lambda *_: _ready(EncodedText(torch.ones(2), None))))

    def _audio(self, *_: object) -> Generator[Work, Any, PromptAudio]:
        return _ready(AUDIO)


def _ready(value: Any) -> Generator[Work, Any, Any]:
    yield from ()
    return value


def encoded(version: str, own: Prompt | None, override: Prompt | None) -> tuple[list[Notice], EncodedPrompt]:
    voice = SimpleNamespace(spec=spec_of(version), prompt=own, stored_prompt=AUDIO)
    routine, told = Known().encode(cast("Voice", voice), override), []
    while True:
        try:
            work = next(routine)
        except StopIteration as end:
            return told, end.value
        assert isinstance(work, Tell)
        assert isinstance(work.note, Notice)
        told.append(work.note)


@pytest.mark.parametrize(("version", "codes"), [("v2", []), ("v3", ["AUXILIARY_NOT_HEARD"])])
def test_clips_that_the_version_cannot_mix_in_are_told(version: str, codes: list[str]) -> None:
    told, prompt = encoded(version, None, WITH_OTHERS)
    assert [notice.code for notice in told] == codes
    assert all(f"version {version} cannot" in notice.message for notice in told)
    assert prompt.tokens.tolist() == [0, 1, 2]
    assert encoded(version, None, ALONE)[0] == []
    assert encoded(version, WITH_OTHERS, None)[0] == []  # whoever asks has no say in what its voice has


def test_without_a_transcript_there_are_no_prompt_tokens_and_v3_refuses() -> None:
    _, prompt = encoded("v2", None, Prompt(b"clip"))
    assert (prompt.tokens.numel(), prompt.phones.numel()) == (0, 0)
    assert prompt.conditioning is AUDIO.conditioning
    with pytest.raises(RequestError, match="version v3 needs the transcript"):
        encoded("v3", None, Prompt(b"clip"))
