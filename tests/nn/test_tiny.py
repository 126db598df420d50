"""Tiny voices: they stop when they should, can be heard, and follow their seed alone."""

import io
import wave
from itertools import pairwise

import numpy as np
import pytest
import torch

from voxswap_server.demo.tiny import lora_checkpoint, sovits_checkpoint, t2s_checkpoint, tiny_prompt
from voxswap_server.demo.tiny_sovits import sovits_weights
from voxswap_server.demo.tiny_speech import RATE_HZ, speech_clip
from voxswap_server.demo.tiny_t2s import t2s_weights
from voxswap_server.demo.tiny_weights import VERSIONS
from voxswap_server.nn.decoder import Conditioning
from voxswap_server.nn.decoders import load_decoder
from voxswap_server.nn.noise import PhiloxNoise
from voxswap_server.nn.sampling import SamplerState, Sampling, draw
from voxswap_server.nn.t2s import T2S, PrefillRow, T2SConfig
from voxswap_store.layout_sovits import convert_sovits
from voxswap_store.layout_t2s import convert_t2s

GREEDY = Sampling(top_k=1, top_p=1.0, temperature=1.0, repetition_penalty=1.35)
LIVELY = Sampling(top_k=15, top_p=1.0, temperature=1.0, repetition_penalty=1.35)
COOL = Sampling(top_k=5, top_p=0.6, temperature=0.6, repetition_penalty=1.0)
PACE = 2.5


def spoken(seed, sampling, prompt_phones, prompt_tokens, phones):
    converted = convert_t2s(*t2s_weights("v2", seed))
    t2s = T2S.from_tensors(T2SConfig.from_dict(converted.config), converted.tensors)
    random = np.random.default_rng(seed)
    row_phones = torch.from_numpy(random.integers(0, 732, prompt_phones + phones))
    prompt = torch.from_numpy(random.integers(0, 1024, prompt_tokens))
    cache = t2s.new_cache(row_phones.numel() + prompt_tokens, 400)
    state, noise = SamplerState.from_prompt(prompt, t2s.config.vocab_size), PhiloxNoise(seed, 0)
    logits = t2s.prefill([PrefillRow(row_phones, None, prompt, cache)])[0]
    while len(state.tokens) < 390:
        drawn = draw(logits, state, sampling, noise)
        if drawn.stop:
            return state.tokens
        logits = t2s.step(torch.tensor([drawn.token]), [cache])[0]
    return pytest.fail("it does not stop")


@pytest.mark.parametrize("sampling", [GREEDY, LIVELY, COOL])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_utterances_are_as_long_as_their_text(sampling, seed):
    """With a prompt of the usual pace, and with none."""
    for phones in (15, 30):
        assert abs(len(spoken(seed, sampling, 58, 140, phones)) - (PACE * (58 + phones) - 140)) < 20
    assert abs(len(spoken(seed, sampling, 0, 0, 20)) - PACE * 20) < 20


def test_they_babble_with_some_variety():
    tokens = spoken(1, LIVELY, 58, 140, 30)
    assert len(set(tokens)) > len(tokens) / 4
    assert tokens != spoken(2, LIVELY, 58, 140, 30)


@pytest.mark.parametrize("version", ["v1", "v2", "v2Pro", "v2ProPlus"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_they_can_be_heard_and_do_not_shout(version, seed):
    converted = convert_sovits(*sovits_weights(version, seed), version)
    decoder = load_decoder(converted.config, converted.tensors)
    width = converted.config["style"]["out_width"]
    speaker = torch.randn(1, width, 1, generator=torch.Generator().manual_seed(seed)) * 0.5
    tokens = torch.from_numpy(np.random.default_rng(seed).integers(0, 1024, 20))
    with torch.inference_mode():
        pieces = decoder.synthesize(tokens, torch.arange(12), Conditioning(speaker), PhiloxNoise(seed, 0))
        samples = torch.cat(list(pieces)).numpy()
    assert samples.size == 20 * 1280
    assert 0.01 < samples.std() < 0.4
    assert np.abs(samples).max() < 0.999


def test_the_seed_and_nothing_else_decides():
    for make in (t2s_checkpoint, sovits_checkpoint):
        assert make("v2", 3) == make("v2", 3)
        assert make("v2", 3) != make("v2", 4)
    assert lora_checkpoint("v4", 1) == lora_checkpoint("v4", 1)
    assert tiny_prompt(1) == tiny_prompt(1)


def test_making_a_checkpoint_leaves_no_module_behind():
    import sys

    before = sys.modules.get("utils")
    sovits_checkpoint("v2", 1)
    assert sys.modules.get("utils") is before


@pytest.mark.parametrize("version", VERSIONS)
def test_the_values_of_a_tensor_depend_on_its_name_alone(version):
    """The content projection is the same in every version, whatever else the version adds."""
    assert torch.equal(sovits_weights(version, 5)[0]["quantizer.vq.layers.0._codebook.embed"], CODEBOOK)


CODEBOOK = sovits_weights("v2", 5)[0]["quantizer.vq.layers.0._codebook.embed"]


def test_a_clip_is_a_wav_of_speech():
    with wave.open(io.BytesIO(speech_clip(1)), "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (RATE_HZ, 1, 5 * RATE_HZ)
        samples = np.frombuffer(file.readframes(5 * RATE_HZ), "<i2") / 32_768
    assert 0.6 < np.abs(samples).max() < 0.8
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(samples.size, 1 / RATE_HZ)
    assert power[(hertz > 80) & (hertz < 4_000)].sum() > 0.8 * power.sum()
    loud = [np.abs(samples[at : at + 1600]).mean() for at in range(0, samples.size - 1600, 1600)]
    assert max(a / b for a, b in pairwise(loud) if b) > 1.5  # syllables


def test_two_seeds_are_two_speakers():
    assert speech_clip(1) != speech_clip(2)
