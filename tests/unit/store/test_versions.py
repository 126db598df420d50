"""Which version a checkpoint is: what its tensors tell, then its head, its hash, its config, its user."""

import pytest

from voxswap_server.errors import RequestError
from voxswap_store.errors import MismatchedCheckpoints, NotACheckpoint, VersionUnclear
from voxswap_store.versions import (
    HEADS,
    PRETRAINED,
    SYMBOLS,
    Guess,
    SovitsFacts,
    detect,
    require_same_symbols,
)

PHONES = "enc_p.text_embedding.weight"
VITS = {"dec.conv_pre.weight": (64, 192, 7), PHONES: (732, 192)}
PRO = VITS | {"sv_emb.weight": (512, 20480)}
FLOW = {"cfm.estimator.proj_out.weight": (100, 128), PHONES: (732, 192)}
LORA = {"cfm.base_model.model.estimator.transformer_blocks.0.attn.to_q.lora_A.default.weight": (8, 128)}


def facts(shapes, head="PK", *, md5="", said=""):
    return SovitsFacts(head, md5, shapes, said)


@pytest.mark.parametrize(
    ("shapes", "head", "version"),
    [
        (VITS | {PHONES: (322, 192)}, "PK", "v1"),
        (VITS, "PK", "v2"),
        (VITS, "01", "v2"),
        (VITS, "00", "v2"),
        (PRO, "05", "v2Pro"),
        (PRO, "06", "v2ProPlus"),
        (PRO, "PK", "v2Pro"),
        (PRO | {"sv_emb.weight": (1024, 20480)}, "PK", "v2ProPlus"),
        (FLOW, "02", "v3"),
        (LORA, "03", "v3"),
        (LORA, "04", "v4"),
    ],
)
def test_the_tensors_tell_and_then_the_head(shapes, head, version):
    assert detect(facts(shapes, head)) == Guess(SYMBOLS[version], version, lora=shapes is LORA)


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_a_whole_flow_matching_fine_tune_is_told_by_its_config(version):
    assert detect(facts(FLOW, said=version)).version == version


def test_the_config_does_not_overrule_the_head():
    assert detect(facts(LORA, "04", said="v3")).version == "v4"


def test_a_known_base_is_told_by_its_hash():
    assert detect(facts(FLOW, md5="4f26b9476d0c5033e04162c486074374")).version == "v4"
    assert detect(facts(FLOW, md5="43797be674a37c1c83ee81081941ed0f")).version == "v3"


@pytest.mark.parametrize("said", ["", "v2", "nonsense"])
def test_where_nothing_tells_the_user_is_asked(said):
    with pytest.raises(VersionUnclear, match="v3, v4") as caught:
        detect(facts(FLOW, said=said))
    assert caught.value.field == "version"
    assert detect(facts(FLOW, said=said), "v4").version == "v4"


def test_the_users_word_must_fit_the_tensors():
    with pytest.raises(RequestError, match="tensors of v2, not of v4"):
        detect(facts(VITS), "v4")
    with pytest.raises(RequestError, match="choose one of v1, v2, v2Pro"):
        detect(facts(VITS), "v5")


def test_tensors_of_no_version_are_refused():
    with pytest.raises(NotACheckpoint, match="no SoVITS model"):
        detect(facts({"model.layer.weight": (3, 3)}))


def test_the_tables_know_only_versions():
    assert {guess.version for guess in (*HEADS.values(), *PRETRAINED.values())} <= SYMBOLS.keys()
    assert all(guess.symbols == SYMBOLS[guess.version] for guess in (*HEADS.values(), *PRETRAINED.values()))


@pytest.mark.parametrize(("version", "rows"), [("v1", 512), ("v1", 322), ("v2", 732), ("v4", 732), ("v2Pro", 732)])
def test_halves_of_one_family_pass(version, rows):
    require_same_symbols(version, rows)


@pytest.mark.parametrize(("version", "rows"), [("v1", 732), ("v2", 512), ("v3", 512), ("v2ProPlus", 512)])
def test_halves_of_two_families_are_refused_with_the_reason(version, rows):
    with pytest.raises(MismatchedCheckpoints, match=f"{rows} rows.*{version}, which uses") as caught:
        require_same_symbols(version, rows)
    assert caught.value.field == "t2s_checkpoint"
