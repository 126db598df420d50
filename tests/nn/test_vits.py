"""The SoVITS decoder: what its answer depends on, and what it does not."""

import numpy as np
import pytest
import torch

from tests.fixtures.sovits import TINY, VITS_VERSIONS, sovits_checkpoint
from voxswap_server.errors import RequestError
from voxswap_server.nn.adopt import adopt, parse_config
from voxswap_server.nn.decoder import Decoder
from voxswap_server.nn.decoders import load_decoder
from voxswap_server.nn.noise import PhiloxNoise, ZeroNoise
from voxswap_server.nn.quantizer import nearest
from voxswap_server.nn.reference import ReferenceFeatures
from voxswap_server.nn.vits import Vits, VitsConfig
from voxswap_store.layout_sovits import convert_sovits

TOKEN_IDS = torch.tensor([1, 7, 7, 2, 12, 0, 5])
PHONE_IDS = torch.tensor([3, 0, 10, 4, 4])


def network(version: str = "v2", **kwargs) -> Vits:
    result = convert_sovits(*sovits_checkpoint(version), version)
    return Vits.from_tensors(VitsConfig.from_dict(result.config), result.tensors, **kwargs)


def reference(version: str, seed: int = 0) -> ReferenceFeatures:
    generator = torch.Generator().manual_seed(seed)
    return ReferenceFeatures(
        torch.rand(1, 1025, 20, generator=generator),
        torch.randn(1, TINY.content, 9, generator=generator),
        torch.randn(1, TINY.vector, generator=generator) if "Pro" in version else None,
    )


def spoken(decoder: Decoder, version: str = "v2", **kwargs) -> torch.Tensor:
    conditioning = decoder.conditioning([reference(version)])
    return torch.cat(list(decoder.synthesize(TOKEN_IDS, PHONE_IDS, conditioning, PhiloxNoise(5), **kwargs)))


@pytest.mark.parametrize("version", VITS_VERSIONS)
def test_every_version_speaks_through_the_one_protocol(version: str) -> None:
    result = convert_sovits(*sovits_checkpoint(version), version)
    decoder = load_decoder(result.config, result.tensors)
    assert decoder.spec.version == version
    tokens = decoder.prompt_tokens(reference(version).content)
    assert tokens.shape == (4,)
    assert tokens.dtype == torch.long
    samples = spoken(decoder, version)
    assert samples.shape == (2 * len(TOKEN_IDS) * 8,)
    assert samples.dtype == torch.float32
    assert 0 < samples.abs().max() <= 1


def test_an_unknown_version_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match="v9"):
        load_decoder({"version": "v9"}, {})


@pytest.mark.parametrize("pieces", [(1,), (2, 3), (100,)])
def test_pieces_join_to_the_same_waveform(pieces: tuple[int, ...]) -> None:
    decoder = network()
    torch.testing.assert_close(spoken(decoder, piece_tokens=pieces), spoken(decoder), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("speed", "frames"), [(1.0, 14), (1.2, 12), (0.5, 29), (2.0, 8), (1.0001, 14)])
def test_speed_changes_the_number_of_frames_as_upstream_rounds_it(speed: float, frames: int) -> None:
    decoder = network()
    mean, log_std = decoder.encode(TOKEN_IDS, PHONE_IDS, torch.zeros(1, TINY.speaker, 1), speed)
    assert mean.shape == log_std.shape == (1, TINY.latent, frames)
    assert spoken(decoder, speed=speed).shape == (frames * 8,)


def test_noise_is_scaled_by_the_deviation_and_a_half() -> None:
    decoder = network()
    mean, log_std, noise = torch.randn(3, 1, TINY.latent, 4)
    torch.testing.assert_close(decoder.latent(mean, log_std, torch.zeros_like(noise)), mean)
    torch.testing.assert_close(decoder.latent(mean, log_std, noise), mean + 0.5 * noise * log_std.exp())


def test_the_same_noise_gives_the_same_audio_and_another_gives_another() -> None:
    decoder = network()
    conditioning = decoder.conditioning([reference("v2")])

    def speak(noise) -> torch.Tensor:
        return torch.cat(list(decoder.synthesize(TOKEN_IDS, PHONE_IDS, conditioning, noise)))

    torch.testing.assert_close(speak(PhiloxNoise(1)), speak(PhiloxNoise(1)), rtol=0, atol=0)
    assert (speak(PhiloxNoise(1)) - speak(PhiloxNoise(2))).abs().max() > 1e-3
    assert (speak(PhiloxNoise(1)) - speak(ZeroNoise())).abs().max() > 1e-3


def test_every_argument_matters() -> None:
    decoder = network(dtype=torch.float64)
    speaker = decoder.speaker([reference("v2").spectrum])
    mean, _ = decoder.encode(TOKEN_IDS, PHONE_IDS, speaker)
    other_tokens, other_phones = TOKEN_IDS.clone(), PHONE_IDS.clone()
    other_tokens[3], other_phones[1] = 4, 9
    for changed in (
        decoder.encode(other_tokens, PHONE_IDS, speaker),
        decoder.encode(TOKEN_IDS, other_phones, speaker),
        decoder.encode(TOKEN_IDS, PHONE_IDS, decoder.speaker([reference("v2", 1).spectrum])),
    ):
        assert (changed[0] - mean).abs().amax((0, 1)).min() > 1e-9  # attention carries it to every frame


@pytest.mark.parametrize("version", VITS_VERSIONS)
def test_several_references_are_averaged(version: str) -> None:
    decoder = network(version)
    references = [reference(version, seed) for seed in range(3)]
    alone = torch.stack([decoder.conditioning([one]).speaker for one in references])
    together = decoder.conditioning(references)
    torch.testing.assert_close(together.speaker, alone.mean(0))
    assert together.nbytes == 4 * TINY.speaker


def test_bins_above_those_that_the_version_reads_do_not_matter() -> None:
    high = reference("v2").spectrum.clone()
    high[:, 704:] += 1
    low = reference("v2").spectrum.clone()
    low[:, 703] += 1
    decoder = network()
    same, changed = (decoder.speaker([spectrum]) for spectrum in (high, low))
    torch.testing.assert_close(same, decoder.speaker([reference("v2").spectrum]), rtol=0, atol=0)
    assert not torch.equal(changed, same)


def test_a_speaker_vector_is_neither_forgotten_nor_invented() -> None:
    spectrum, vector = reference("v2Pro").spectrum, reference("v2Pro").speaker_vector
    with pytest.raises(ValueError, match="v2 takes no speaker vectors"):
        network("v2").speaker([spectrum], [vector])
    with pytest.raises(ValueError, match="v2Pro takes speaker vectors"):
        network("v2Pro").speaker([spectrum])
    with pytest.raises(ValueError, match="without its speaker vector"):
        network("v2Pro").conditioning([reference("v2")])


def test_tokens_are_the_nearest_vectors_of_the_codebook() -> None:
    rng = np.random.default_rng(0)
    codebook, content = rng.normal(size=(50, 6)), rng.normal(size=(40, 6))
    by_distance = [int(np.linalg.norm(codebook - vector, axis=1).argmin()) for vector in content]
    assert nearest(torch.from_numpy(content), torch.from_numpy(codebook)).tolist() == by_distance
    assert nearest(torch.from_numpy(codebook), torch.from_numpy(codebook)).tolist() == list(range(50))


def test_networks_of_the_same_tensors_share_their_memory() -> None:
    result = convert_sovits(*sovits_checkpoint("v2"), "v2")
    tensors = {name: tensor.float() for name, tensor in result.tensors.items()}
    config = VitsConfig.from_dict(result.config)
    first, second = (Vits.from_tensors(config, tensors).state_dict() for _ in range(2))
    assert all(first[name].data_ptr() == second[name].data_ptr() == tensors[name].data_ptr() for name in tensors)
    assert not any(parameter.requires_grad for parameter in Vits.from_tensors(config, tensors).parameters())


def test_half_precision_is_close_to_full_precision() -> None:
    full, half = (spoken(network(dtype=dtype)) for dtype in (torch.float32, torch.bfloat16))
    assert half.dtype == torch.float32
    assert 1e-4 < (full - half).abs().max() < 0.1 * full.abs().max()


def test_tensors_that_do_not_fit_are_named() -> None:
    result = convert_sovits(*sovits_checkpoint("v2"), "v2")
    config = VitsConfig.from_dict(result.config)

    def load(tensors: dict[str, torch.Tensor]) -> None:
        adopt(lambda: Vits(config), tensors)

    with pytest.raises(ValueError, match=r"missing \['codebook'\]"):
        load({name: tensor for name, tensor in result.tensors.items() if name != "codebook"})
    with pytest.raises(ValueError, match=r"unknown \['more'\]"):
        load(result.tensors | {"more": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"'codebook' is \(2, 2\), the network has \(13, 12\)"):
        load(result.tensors | {"codebook": torch.zeros(2, 2)})


def test_a_config_that_lacks_a_field_or_has_a_wrong_one_is_named() -> None:
    config = convert_sovits(*sovits_checkpoint("v2"), "v2").config
    with pytest.raises(ValueError, match="tokens"):
        parse_config(VitsConfig, {name: value for name, value in config.items() if name != "tokens"})
    with pytest.raises(ValueError, match="couplings"):
        parse_config(VitsConfig, config | {"flow": config["flow"] | {"couplings": "many"}})
