"""Reference audio: the rules of its length, how it is mixed down and resampled, what is made of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxswap_server.errors import BadReferenceAudio
from voxswap_server.nn import reference as ref
from voxswap_server.nn.specs import spec_of


def tone(seconds: float, rate_hz: int, channels: int = 1, hertz: float = 440.0) -> np.ndarray:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    one = 0.5 * np.sin(2 * np.pi * hertz * time).astype(np.float32)
    return np.stack([one] * channels, axis=1)


class Spy:
    """A network that remembers what it heard."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.heard: list[torch.Tensor] = []

    def __call__(self, wave: torch.Tensor) -> torch.Tensor:
        self.heard.append(wave)
        return torch.zeros(1, self.width, 3)


@pytest.mark.parametrize("seconds", [2.99, 10.01, 0.5, 60.0])
def test_the_message_of_the_length_rule_has_the_measured_length(seconds: float) -> None:
    with pytest.raises(BadReferenceAudio, match=rf"is {seconds:.2f} s long; it must be 3 to 10 s"):
        ref.content_wave(ref.mix_down(tone(seconds, 22_050)), 22_050)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [3.0, 10.0])
def test_the_ends_of_the_rule_are_allowed_at_any_rate(seconds: float, rate_hz: int) -> None:
    wave = ref.content_wave(ref.mix_down(tone(seconds, rate_hz)), rate_hz)
    assert wave.shape == (1, round(seconds * 16_000) + 9_600)
    assert not wave[0, -9_600:].any()


@given(extra=st.integers(0, 2_000), rate_hz=st.sampled_from([11_025, 22_050, 32_000, 44_100]))
@settings(deadline=None, max_examples=20)
def test_a_resampled_length_is_rounded_up(extra: int, rate_hz: int) -> None:
    samples = 4 * rate_hz + extra
    wave = ref.content_wave(np.zeros(samples, np.float32), rate_hz)
    assert wave.shape[1] - 9_600 == -(-samples * 16_000 // rate_hz)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_number_of_channels_is_mixed_to_their_mean(channels: int) -> None:
    samples = tone(1.0, 16_000, channels)
    samples[:, 0] *= 3
    mono = ref.mix_down(samples)
    np.testing.assert_allclose(mono, samples.mean(1), atol=1e-6)
    assert mono.dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(bad: float) -> None:
    samples = tone(4.0, 16_000)
    samples[100] = bad
    with pytest.raises(BadReferenceAudio, match="no numbers"):
        ref.mix_down(samples)


@pytest.mark.parametrize(("gain", "peak"), [(0.5, 0.5), (1.0, 1.0), (1.5, 1.0), (2.0, 1.0), (5.0, 2.5)])
def test_an_overshooting_wave_is_divided_by_its_peak_but_at_most_by_two(gain: float, peak: float) -> None:
    wave = ref.timbre_wave(np.full(1_000, gain, np.float32), 32_000)
    assert wave.abs().max().item() == pytest.approx(peak)


def test_a_tone_stands_in_its_bin_of_the_spectrum_and_of_the_mel() -> None:
    mono = ref.mix_down(tone(3.0, 32_000, hertz=1_000.0))
    spectrum = ref.spectrum(ref.timbre_wave(mono, 32_000))
    assert spectrum.shape == (1, 1025, 150)
    assert spectrum[0, :, 75].argmax().item() == round(1_000 * 2_048 / 32_000)
    bands = {}
    for version in ("v3", "v4"):
        spec = spec_of(version).flow
        assert spec is not None
        mel = ref.log_mel(mono, 32_000, spec.mel)
        assert mel.shape == (1, 100, 3 * spec.mel.sample_rate_hz // spec.mel.hop_samples)
        bands[version] = mel[0, :, 100].argmax().item()
    assert bands["v4"] < bands["v3"]  # the same number of bands spans 16 kHz, not 12


def test_scaling_a_mel_maps_its_range_and_is_undone() -> None:
    mel = torch.tensor([-12.0, -5.0, 2.0])
    torch.testing.assert_close(ref.scale_mel(mel), torch.tensor([-1.0, 0.0, 1.0]))
    torch.testing.assert_close(ref.unscale_mel(ref.scale_mel(mel)), mel)


def test_silence_stops_at_the_floor_of_the_mel() -> None:
    spec = spec_of("v3").flow
    assert spec is not None
    mel = ref.log_mel(np.zeros(24_000, np.float32), 24_000, spec.mel)
    assert mel.min().item() == pytest.approx(np.log(1e-5), abs=1e-2)


@pytest.mark.parametrize("version", ["v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4"])
def test_each_version_gets_what_its_row_asks_for(version: str) -> None:
    spec, content, vector = spec_of(version), Spy(768), Spy(20_480)
    features = ref.encode_reference(tone(3.5, 44_100, 2), 44_100, spec, content=content, speaker_vector=vector)
    assert [wave.shape for wave in content.heard] == [(1, 3.5 * 16_000 + 9_600)]
    assert [wave.shape for wave in vector.heard] == ([(1, 3.5 * 16_000)] if spec.speaker_vector else [])
    assert (features.speaker_vector is not None) == spec.speaker_vector
    assert (features.mel is not None) == (spec.flow is not None)
    parts = [
        part
        for part in (features.spectrum, features.content, features.speaker_vector, features.mel)
        if part is not None
    ]
    assert features.nbytes == sum(part.nbytes for part in parts)


def test_the_speaker_vector_hears_the_sinc_resampled_wave() -> None:
    vector = Spy(20_480)
    samples = tone(3.0, 32_000)
    ref.encode_reference(samples, 32_000, spec_of("v2Pro"), content=None, speaker_vector=vector)
    expected = ref.resample(torch.from_numpy(samples.T.copy()), 32_000, 16_000)
    torch.testing.assert_close(vector.heard[0], expected)


def test_an_auxiliary_reference_has_no_rule_but_that_there_is_something() -> None:
    spec = spec_of("v2")
    assert ref.encode_reference(tone(0.2, 16_000), 16_000, spec, content=None).content is None
    assert ref.encode_reference(tone(20.0, 16_000), 16_000, spec, content=None).spectrum.shape[2] == 1_000
    with pytest.raises(BadReferenceAudio, match=r"auxiliary reference audio is 0.05 s long; it must be at least 0.1 s"):
        ref.encode_reference(tone(0.05, 16_000), 16_000, spec, content=None)


def test_a_missing_network_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="v2Pro needs a speaker vector network"):
        ref.encode_reference(tone(3.0, 16_000), 16_000, spec_of("v2Pro"), content=Spy(768))
