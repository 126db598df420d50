"""The table of versions."""

import pytest

from voxswap_server.errors import RequestError
from voxswap_server.nn.specs import SPECS, TOKEN_RATE_HZ, spec_of


def test_every_row_stands_under_its_own_name() -> None:
    assert list(SPECS) == ["v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4"]
    assert all(spec_of(version).version == version for version in SPECS)


@pytest.mark.parametrize("version", ["v1", "v2", "v2Pro", "v2ProPlus", "v4"])
def test_a_token_lasts_forty_milliseconds(version: str) -> None:
    spec = spec_of(version)
    assert spec.samples_per_token * TOKEN_RATE_HZ == spec.sample_rate_hz


def test_v3_makes_a_little_more_than_forty_milliseconds_of_a_token() -> None:
    # 2 latent frames x 1.9375 mel frames x 256 samples: upstream rounds the lengths to this, not to 960.
    assert spec_of("v3").samples_per_token == 992


@pytest.mark.parametrize("spec", SPECS.values(), ids=str)
def test_flow_matching_decoders_have_a_vocoder_and_need_a_transcript(spec) -> None:
    is_flow = spec.decoder == "cfm"
    assert (spec.flow is not None) == (spec.vocoder is not None) == (not spec.no_prompt) == is_flow
    assert spec.auxiliary_references != is_flow


def test_only_v1_has_the_small_symbol_table_and_fewer_languages() -> None:
    assert {version for version, spec in SPECS.items() if spec.symbols == "v1"} == {"v1"}
    assert spec_of("v2").languages - spec_of("v1").languages == {"yue", "ko", "all_yue", "all_ko", "auto_yue"}


def test_an_unknown_version_is_told_the_choices() -> None:
    with pytest.raises(RequestError, match=r"'v5'.*v1, v2, v2Pro, v2ProPlus, v3, v4"):
        spec_of("v5")
