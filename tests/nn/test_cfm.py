"""The flow-matching decoder: what it speaks, in which pieces, and what it continues."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.fixtures.flow import BANDS, lora_checkpoint
from tests.fixtures.flow import flow_checkpoint as checkpoint
from tests.fixtures.sovits import TINY
from voxswap_server.errors import RequestError
from voxswap_server.nn.cfm import Cfm, CfmConfig
from voxswap_server.nn.decoder import Conditioning, FlowPrompt
from voxswap_server.nn.decoders import load_decoder
from voxswap_server.nn.noise import PhiloxNoise, ZeroNoise
from voxswap_server.nn.reference import ReferenceFeatures
from voxswap_server.nn.specs import spec_of
from voxswap_server.parity.overlapped import join, overlapped_mels
from voxswap_store.layout_lora import convert_lora
from voxswap_store.layout_sovits import convert_sovits

VERSIONS = ("v3", "v4")
TOKEN_IDS = torch.tensor([1, 7, 7, 2, 12, 0, 5])
PHONE_IDS = torch.tensor([3, 0, 10, 4, 4])


class Comb:
    """A vocoder that anybody can check: each sample is the mean of five frames."""

    reach_frames = 2

    def __init__(self, samples_per_frame: int) -> None:
        self.samples_per_frame = samples_per_frame

    def samples(self, mel: Tensor) -> Tensor:
        smooth = F.avg_pool1d(F.pad(mel.mean(1, keepdim=True), (2, 2)), 5, 1)
        return torch.tanh(smooth[0, 0] / 10).repeat_interleave(self.samples_per_frame)


class Counting(PhiloxNoise):
    """Noise that remembers what it was asked for."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.shapes: list[tuple[int, ...]] = []

    def cfm(self, call: int, shape: tuple[int, ...]) -> Tensor:
        assert call == len(self.shapes)
        self.shapes.append(shape)
        return super().cfm(call, shape)


def decoder(version: str, dtype: torch.dtype = torch.float32) -> Cfm:
    result = convert_sovits(*checkpoint(version), version)
    vocoder = Comb(spec_of(version).flow.samples_per_frame)
    return Cfm.from_tensors(CfmConfig.from_dict(result.config), result.tensors, vocoder=vocoder, dtype=dtype)


def reference(mel_frames: int = 30) -> ReferenceFeatures:
    generator = torch.Generator().manual_seed(3)
    return ReferenceFeatures(
        torch.rand(1, 1025, 20, generator=generator),
        torch.randn(1, TINY.content, 19, generator=generator),
        mel=torch.rand(1, BANDS, mel_frames, generator=generator) * 2 - 1,
    )


def conditioned(made: Cfm, mel_frames: int = 30, prompt_tokens: int = 9) -> Conditioning:
    return made.conditioning([reference(mel_frames)], torch.arange(prompt_tokens), torch.arange(6))


def long_conditioning(made: Cfm) -> Conditioning:
    """A prompt as long as one may be."""
    frames, generator = made.layout.prompt_frames, torch.Generator().manual_seed(4)
    mel = torch.rand(1, BANDS, frames, generator=generator) * 2 - 1
    prompt = FlowPrompt(mel, torch.randn(1, TINY.joined, frames, generator=generator))
    return Conditioning(torch.randn(1, TINY.speaker, 1, generator=generator), prompt)


def pieces(made: Cfm, conditioning: Conditioning, noise=None, tokens: Tensor = TOKEN_IDS, **kwargs) -> Iterator[Tensor]:
    return made.synthesize(tokens, PHONE_IDS, conditioning, noise or PhiloxNoise(5), **{"steps": 3} | kwargs)


@pytest.mark.parametrize(("version", "samples"), [("v3", 26 * 256), ("v4", 28 * 480)])
def test_both_versions_speak_through_the_one_protocol(version: str, samples: int) -> None:
    result = convert_sovits(*checkpoint(version), version)
    made = load_decoder(result.config, result.tensors, vocoder=decoder(version).vocoder)
    assert made.spec.version == version
    assert made.prompt_tokens(reference().content).shape == (9,)
    conditioning = made.conditioning([reference()], torch.arange(9), torch.arange(6))
    assert conditioning.nbytes == 4 * (TINY.speaker + 30 * (BANDS + TINY.joined))
    spoken = torch.cat(list(made.synthesize(TOKEN_IDS, PHONE_IDS, conditioning, PhiloxNoise(5), steps=2)))
    assert spoken.shape == (samples,)
    assert spoken.dtype == torch.float32
    assert 0 < spoken.abs().max() <= 1


@pytest.mark.parametrize("version", VERSIONS)
def test_every_step_of_the_work_can_be_interrupted(version: str) -> None:
    made = decoder(version)
    sizes = [len(piece) for piece in pieces(made, conditioned(made), steps=5)]
    assert sizes[:4] == [0] * 4
    assert all(size > 0 for size in sizes[4:])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("piece_tokens", [(1,), (2, 3), (100,)])
def test_pieces_join_to_the_same_waveform(version: str, piece_tokens: tuple[int, ...]) -> None:
    made = decoder(version)
    conditioning = conditioned(made)
    whole = torch.cat(list(pieces(made, conditioning)))
    cut = [piece for piece in pieces(made, conditioning, piece_tokens=piece_tokens) if len(piece)]
    torch.testing.assert_close(torch.cat(cut), whole, rtol=0, atol=1e-6)
    assert (len(cut) > 1) == (piece_tokens != (100,))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_long_utterance_continues_its_own_chunks(version: str) -> None:
    made, noise = decoder(version), Counting(1)
    conditioning = long_conditioning(made)
    layout = made.layout
    tokens = torch.arange(300) % TINY.tokens
    frames = int(600 * layout.frames_per_latent)
    size = layout.chunk_frames - layout.prompt_frames
    spoken = torch.cat(list(pieces(made, conditioning, noise, tokens, steps=2)))
    assert spoken.shape == (frames * layout.samples_per_frame,)
    rests = [size] * (frames // size) + [frames % size]
    prompts = [layout.prompt_frames] + [min(layout.prompt_frames, size)] * (len(rests) - 1)
    assert noise.shapes == [(1, BANDS, rest + prompt) for rest, prompt in zip(rests, prompts, strict=True)]
    # The second chunk hears the first, not the reference.
    other = Conditioning(conditioning.speaker, FlowPrompt(conditioning.prompt.mel.neg(), conditioning.prompt.features))
    changed = torch.cat(list(pieces(made, other, Counting(1), tokens, steps=2)))
    assert not torch.allclose(changed[: len(spoken) // 4], spoken[: len(spoken) // 4])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_prompt_is_what_both_have_and_of_that_the_end(version: str) -> None:
    made = decoder(version)
    limit = made.layout.prompt_frames
    mel, features = torch.randn(1, BANDS, limit + 40), torch.randn(1, TINY.joined, limit + 25)
    prompt = made.prompt(mel, features)
    torch.testing.assert_close(prompt.mel, mel[..., 25 : limit + 25])
    torch.testing.assert_close(prompt.features, features[..., 25:])
    short = made.prompt(mel[..., :7], features)
    torch.testing.assert_close(short.features, features[..., :7])


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_transcript_it_is_refused(version: str) -> None:
    made = decoder(version)
    for tokens, phones in ((None, None), (torch.arange(4), None), (torch.arange(4), torch.arange(0))):
        with pytest.raises(RequestError, match=f"{version} needs the transcript"):
            made.conditioning([reference()], tokens, phones)


def test_a_conditioning_of_another_family_is_refused() -> None:
    made = decoder("v3")
    with pytest.raises(ValueError, match="not of a flow-matching decoder"):
        list(pieces(made, Conditioning(torch.zeros(1, TINY.speaker, 1))))
    with pytest.raises(ValueError, match="without its mel"):
        made.conditioning([ReferenceFeatures(torch.rand(1, 1025, 9))], torch.arange(4), torch.arange(4))


@pytest.mark.parametrize(
    ("version", "tokens", "speed", "frames"), [("v3", 56, 0.9, 234), ("v4", 59, 0.9, 264), ("v4", 50, 2.0, 102)]
)
def test_speed_changes_the_number_of_frames_as_upstream_rounds_it(version, tokens, speed, frames) -> None:
    made = decoder(version)
    features = made.features(torch.zeros(tokens, dtype=torch.long), PHONE_IDS, torch.zeros(1, TINY.speaker, 1), speed)
    assert features.shape == (1, TINY.joined, frames)


def test_frames_beyond_the_length_that_upstream_tells_are_silent() -> None:
    made = decoder("v4")
    features = made.features(torch.zeros(59, dtype=torch.long), PHONE_IDS, torch.zeros(1, TINY.speaker, 1), 0.9)
    assert not features[..., 263:].any()  # int(59 * 4 / 0.9) + 1
    assert features[..., 262].any()


def test_the_same_noise_gives_the_same_audio_and_another_gives_another() -> None:
    made = decoder("v3")
    conditioning = conditioned(made)
    first, again, other, none = (
        torch.cat(list(pieces(made, conditioning, noise)))
        for noise in (PhiloxNoise(1), PhiloxNoise(1), PhiloxNoise(2), ZeroNoise())
    )
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert (first - other).abs().max() > 1e-3
    assert (first - none).abs().max() > 1e-3


def test_an_integration_gives_what_is_behind_the_prompt() -> None:
    made = decoder("v4")
    condition, mel, noise = torch.randn(2, TINY.joined, 50), torch.randn(1, BANDS, 20), torch.randn(2, BANDS, 50)

    def integrated(noise: Tensor) -> Tensor:
        steps = made.integrate(condition, mel, noise, made.dit.modulations(3))
        next(steps)
        next(steps)
        with pytest.raises(StopIteration) as end:
            next(steps)
        return end.value.value

    state = integrated(noise)
    assert state.shape == (2, BANDS, 30)
    assert state.abs().min() > 0
    noise[..., :20] += 1  # the state is held at zero there
    torch.testing.assert_close(integrated(noise), state, rtol=0, atol=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_times_are_read_once_an_utterance_and_the_condition_once_a_chunk(version: str) -> None:
    made = decoder(version)
    parts = {"time": made.dit.time, "text": made.dit.text, "joined": made.dit.joined_in, "step": made.dit}
    heard = dict.fromkeys(parts, 0)

    def hear(name: str) -> None:
        heard[name] += 1

    for name, part in parts.items():
        part.register_forward_hook(lambda *_, name=name: hear(name))
    list(pieces(made, long_conditioning(made), tokens=torch.arange(300) % TINY.tokens, steps=2))
    assert heard == {"time": 1, "text": 3, "joined": 3, "step": 6}


def test_more_steps_come_nearer_to_the_path() -> None:
    made = decoder("v3", torch.float64)
    conditioning = conditioned(made)

    def mel(steps: int) -> Tensor:
        features = made.features(TOKEN_IDS, PHONE_IDS, conditioning.speaker)
        found = [part for part in made.mels(features, conditioning.prompt, PhiloxNoise(1), steps) if part is not None]
        return torch.cat(found, -1)

    # The network is told the size of its step, so the paths differ a little; large steps differ more.
    path = mel(64)
    assert (mel(32) - path).abs().max() < (mel(2) - path).abs().max()


def test_without_a_vocoder_it_encodes_prompts_and_is_silent() -> None:
    result = convert_sovits(*checkpoint("v3"), "v3")
    silent = load_decoder(result.config, result.tensors)
    conditioning = silent.conditioning([reference()], torch.arange(9), torch.arange(6))
    with pytest.raises(ValueError, match="v3 speaks through a vocoder"):
        list(silent.synthesize(TOKEN_IDS, PHONE_IDS, conditioning, ZeroNoise(), steps=1))


# LoRA


@pytest.mark.parametrize("version", VERSIONS)
def test_a_lora_over_its_base_equals_the_merged_matrices_and_shares_the_rest(version: str) -> None:
    weight, config = checkpoint(version)
    base = convert_sovits(weight, config, version)
    lora = lora_checkpoint(seed=9)
    overlay = convert_lora(lora, base, version, 3)
    tensors = {name: tensor.double() for name, tensor in base.tensors.items()}
    adapted = load_decoder(overlay.config, tensors | overlay.tensors, vocoder=Comb(8), dtype=torch.float64)
    merged = {name: tensor.double() for name, tensor in weight.items()}
    for name, tensor in lora.items():
        if "lora_A" in name:
            target = name.replace("cfm.base_model.model.", "cfm.").replace(".lora_A.default", "")
            merged[target] += lora[name.replace("lora_A", "lora_B")].double() @ tensor.double()
        elif "lora_B" not in name:
            merged[name.replace("cfm.base_model.model.", "cfm.")] = tensor.double()
    whole = convert_sovits(merged, config, version)
    expected = load_decoder(whole.config, whole.tensors, vocoder=Comb(8), dtype=torch.float64)
    conditioning = conditioned(adapted)
    spoken = [torch.cat(list(pieces(made, conditioning))) for made in (adapted, expected)]
    torch.testing.assert_close(spoken[0], spoken[1], rtol=0, atol=1e-6)
    shared = [name for name in tensors if name not in overlay.tensors]
    assert all(adapted.state_dict()[name].data_ptr() == tensors[name].data_ptr() for name in shared)
    assert "dit.blocks.0.attention.qkv.weight" in shared
    assert sum(tensor.nbytes for tensor in overlay.tensors.values()) < sum(t.nbytes for t in base.tensors.values()) / 2


# Overlapping chunks


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("lengths", [(40,), (30, 7, 12), (800, 60, 500), (904 - 12,)])
def test_overlapping_chunks_give_each_utterance_its_length(version: str, lengths: tuple[int, ...]) -> None:
    made, noise = decoder(version), Counting(2)
    prompt = conditioned(made).prompt
    features = torch.randn(1, TINY.joined, sum(lengths))
    spoken = join(made, *overlapped_mels(made, features, prompt, noise, steps=1), lengths)
    per_frame, size = made.layout.samples_per_frame, made.layout.chunk_frames - 30
    count = 1 + max(0, -(-(sum(lengths) + 12 - size) // (size - 12)))
    assert noise.shapes == [(count, BANDS, made.layout.chunk_frames)]
    assert [len(one) for one in spoken[:-1]] == [length * per_frame for length in lengths[:-1]]
    shortened = lengths[-1] * per_frame - len(spoken[-1])
    assert 0 <= shortened <= 320 * (count - 1)


def test_the_chunks_of_a_batch_do_not_touch_each_other() -> None:
    made = decoder("v3", torch.float64)
    prompt = conditioned(made).prompt
    features = torch.randn(1, TINY.joined, 1_500, dtype=torch.float64)
    mels, padding = overlapped_mels(made, features, prompt, ZeroNoise(), steps=2)
    changed = features.clone()
    changed[..., 1_400:] += 1
    others, _ = overlapped_mels(made, changed, prompt, ZeroNoise(), steps=2)
    assert len(mels) == 2
    assert padding == 2 * mels.shape[-1] - 12 - (1_500 + 12)
    torch.testing.assert_close(others[0], mels[0], rtol=0, atol=1e-12)
    assert (others[1] - mels[1]).abs().max() > 1e-3
