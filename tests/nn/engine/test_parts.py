"""Parts of a voice: what they weigh, how they move, and an encoded prompt in a file."""

import pytest
import torch

from voxswap_server.engine import stored_prompt
from voxswap_server.engine.memory import copied_to, size_of
from voxswap_server.engine.voice import PromptAudio
from voxswap_server.nn.decoder import Conditioning, FlowPrompt

CPU = torch.device("cpu")


def encoded(*, flow: bool) -> PromptAudio:
    prompt = FlowPrompt(torch.randn(1, 100, 12), torch.randn(1, 512, 12)) if flow else None
    return PromptAudio(torch.arange(9), Conditioning(torch.randn(1, 512, 1), prompt))


@pytest.mark.parametrize("flow", [False, True])
def test_an_encoded_prompt_survives_its_file(*, flow: bool) -> None:
    audio = encoded(flow=flow)
    again = stored_prompt.from_tensors(stored_prompt.to_tensors(audio))
    assert torch.equal(again.tokens, audio.tokens)
    assert torch.equal(again.conditioning.speaker, audio.conditioning.speaker)
    assert (again.conditioning.prompt is not None) == flow
    if flow:
        assert torch.equal(again.conditioning.prompt.mel, audio.conditioning.prompt.mel)
        assert torch.equal(again.conditioning.prompt.features, audio.conditioning.prompt.features)


def test_a_file_with_other_names_is_no_encoded_prompt() -> None:
    with pytest.raises(ValueError, match="'extra'"):
        stored_prompt.from_tensors({"tokens": torch.zeros(1), "speaker": torch.zeros(1), "extra": torch.zeros(1)})
    with pytest.raises(ValueError, match="tokens"):
        stored_prompt.from_tensors({"speaker": torch.zeros(1)})


@pytest.mark.parametrize("flow", [False, True])
def test_a_copy_weighs_the_same_and_shares_nothing(*, flow: bool) -> None:
    audio = encoded(flow=flow)
    copy = copied_to(audio, CPU)
    assert size_of(copy) == size_of(audio) == audio.nbytes
    copy.conditioning.speaker.zero_()
    assert audio.conditioning.speaker.abs().sum() > 0


def test_shared_memory_is_weighed_once() -> None:
    layer = torch.nn.Linear(8, 8, bias=False)
    twice = torch.nn.ModuleList([layer, torch.nn.Linear(8, 8, bias=False)])
    assert size_of(twice) == 2 * 8 * 8 * 4
    twice[1].weight = layer.weight
    assert size_of(twice) == 8 * 8 * 4


def test_memory_of_some_kind_may_be_left_out() -> None:
    one, other = torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 4, bias=False)
    both = torch.nn.ModuleList([one, other])
    assert size_of(both, but_for=lambda address: address == one.weight.data_ptr()) == 8 * 4 * 4


def test_parts_of_one_block_are_that_block() -> None:
    block = torch.zeros(100)
    pair = torch.nn.ParameterList([block[:8], block[8:40], torch.ones(4), block[60:]])
    assert size_of(pair) == block.nbytes + 16


def test_only_parts_of_voices_can_be_weighed_or_moved() -> None:
    with pytest.raises(TypeError, match="str"):
        size_of("weights")
    with pytest.raises(TypeError, match="str"):
        copied_to("weights", CPU)
