"""The table of versions."""

import pytest

from voxswap_server.errors import RequestError
from voxswap_server.nn.specs import SPECS, TOKEN_RATE_HZ, VersionSpec, spec_of


def test_every_row_stands_under_its_own_name() -> None:
    assert list(SPECS) == ["v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4"]
    assert all(spec_of(version).version == version for version in SPECS)


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_a_token_lasts_forty_milliseconds(spec: VersionSpec) -> None:
    assert spec.samples_per_token * TOKEN_RATE_HZ == spec.sample_rate_hz
    if spec.flow is not None:
        assert spec.samples_per_token == 2 * spec.flow.frames_per_latent * spec.flow.samples_per_frame


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_flow_matching_decoders_have_a_vocoder_and_need_a_transcript(spec: VersionSpec) -> None:
    is_flow = spec.decoder == "cfm"
    assert (spec.flow is not None) == (spec.vocoder is not None) == (not spec.no_prompt) == is_flow
    assert spec.auxiliary_references != is_flow


def test_only_v1_has_the_small_symbol_table_and_fewer_languages() -> None:
    assert {version for version, spec in SPECS.items() if spec.symbols == "v1"} == {"v1"}
    assert spec_of("v2").languages - spec_of("v1").languages == {"yue", "ko", "all_yue", "all_ko", "auto_yue"}


def test_an_unknown_version_is_told_the_choices() -> None:
    with pytest.raises(RequestError, match=r"'v5'.*v1, v2, v2Pro, v2ProPlus, v3, v4"):
        spec_of("v5")
