"""voice.toml: what is written is read back, and nothing else is."""

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.fixtures.voice_folders import manifest
from voxswap_server.domain import CutMethod, Language, LanguageMode, PhoneticEncoding, Pronunciation
from voxswap_server.errors import RequestError
from voxswap_store.manifest import (
    BadManifest,
    Defaults,
    PromptText,
    StoredFile,
    format_manifest,
    is_id,
    parse_manifest,
    require_id,
)

line = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40)
text = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\r").filter(
        lambda c: (c >= " " and c != "\x7f") or c in "\n\t"
    )
)


@given(line, text, text, st.lists(line, max_size=3))
def test_any_words_survive_the_file(display_name, description, transcript, tags):
    made = manifest(
        display_name=display_name,
        description=description[:4000],
        tags=tuple(tags),
        prompt=PromptText(transcript=transcript[:4000], language="en"),
    )
    assert parse_manifest(format_manifest(made)) == made


def test_every_field_survives_the_file():
    made = manifest(
        languages=("en", "ja"),
        licence="CC-BY-4.0",
        consent="given",
        defaults=Defaults(
            top_k=5, top_p=0.9, temperature=0.8, repetition_penalty=1.2, cut_method=CutMethod.PUNCTUATION, pause_s=0.2
        ),
        prompt=PromptText(transcript="hello", language="yue", mode=LanguageMode.AUTO_CANTONESE),
    )
    again = parse_manifest(format_manifest(made))
    assert again == made
    assert again.prompt.spoken == Language("yue", LanguageMode.AUTO_CANTONESE)
    assert again.defaults.sampling.temperature == 0.8
    assert again.bytes_total == sum(file.bytes for file in made.files.all())


def changed(**keys):
    table = manifest().model_dump(mode="json", exclude_none=True)
    for path, value in keys.items():
        *parents, last = path.split("__")
        target = table
        for parent in parents:
            target = target[parent]
        if value is None:
            del target[last]
        else:
            target[last] = value
    return tomli_w.dumps(table)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"format": 2}, "format 2"),
        ({"format": None}, "format None"),
        ({"voice_id": "../other"}, "voice_id"),
        ({"voice_id": "UPPER"}, "voice_id"),
        ({"version": "v9"}, "version"),
        ({"symbols": "v1"}, "uses v2 symbols"),
        ({"languages": []}, "languages"),
        ({"languages": ["de"]}, "does not speak de"),
        ({"colour": "red"}, "colour"),
        ({"files__t2s": None}, r"files\.t2s"),
        ({"files__t2s__name": "../t2s.safetensors"}, r"files\.t2s\.name"),
        ({"files__t2s__name": "/etc/passwd"}, r"files\.t2s\.name"),
        ({"files__t2s__name": ".hidden"}, r"files\.t2s\.name"),
        ({"files__t2s__name": "a..b"}, r"files\.t2s"),
        ({"files__t2s__name": "decoder.safetensors"}, "one name"),
        ({"files__t2s__sha256": "abc"}, r"files\.t2s\.sha256"),
        ({"files__t2s__bytes": 0}, r"files\.t2s\.bytes"),
        ({"files__t2s__bytes": "12"}, r"files\.t2s\.bytes"),
        ({"files__t2s__bytes": 1.5}, r"files\.t2s\.bytes"),
        ({"defaults__temperature": 0.0}, r"defaults\.temperature"),
        ({"defaults__top_k": 0}, r"defaults\.top_k"),
        ({"prompt__mode": "shouted"}, r"prompt\.mode"),
        ({"display_name": "two\nlines"}, "display_name"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(keys, told):
    with pytest.raises(BadManifest, match=told):
        parse_manifest(changed(**keys))


def test_what_is_no_toml_is_told_with_its_line():
    with pytest.raises(BadManifest, match="line 2"):
        parse_manifest("format = 1\nvoice_id = x\n")


def test_a_manifest_cannot_be_changed():
    with pytest.raises(ValidationError):
        manifest().version = "v1"  # type: ignore[misc]


def test_the_revision_follows_everything_but_the_cached_prompt():
    made = manifest()
    cached = made.files.model_copy(update={"prompt": StoredFile(name="prompt.safetensors", sha256="e" * 64, bytes=5)})
    other = made.files.model_copy(update={"t2s": StoredFile(name="t2s.safetensors", sha256="e" * 64, bytes=5)})
    assert manifest(files=cached).revision == made.revision
    assert manifest(files=other).revision != made.revision
    assert manifest(licence="MIT").revision != made.revision


@pytest.mark.parametrize("good", ["a", "0", "voice-1_x", "a" * 64])
def test_ids_are_let_in(good):
    assert require_id(good) == good


@pytest.mark.parametrize("bad", ["", "-a", "_a", "A", "ä", "a/b", "..", "a.b", "a b", "a\n", "a" * 65, "a\x00"])
def test_everything_else_is_no_id(bad):
    assert not is_id(bad)
    with pytest.raises(RequestError, match="is not made of"):
        require_id(bad)


WORD = '\n[[pronunciations]]\nphrase = "Nikki"\npronunciation = "N IH1 K IY0"\nencoding = "arpabet"\n'


def test_pronunciations_can_be_added_by_hand_and_survive():
    read = parse_manifest(format_manifest(manifest()) + WORD)
    (entry,) = read.pronunciations
    assert entry.spoken == Pronunciation("Nikki", "N IH1 K IY0", PhoneticEncoding.ARPABET)
    assert parse_manifest(format_manifest(read)) == read
    assert read.revision != manifest().revision


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (WORD + WORD.replace("Nikki", "NIKKI"), "two pronunciations are of 'nikki'"),
        (WORD.replace("arpabet", "ipa"), r"pronunciations\.0\.encoding"),
        (WORD.replace("Nikki", "  "), r"pronunciations\.0\.phrase"),
        (WORD + 'tone = "x"\n', r"pronunciations\.0\.tone"),
    ],
)
def test_a_bad_pronunciation_is_told_with_its_place(words, told):
    with pytest.raises(BadManifest, match=told):
        parse_manifest(format_manifest(manifest()) + words)
