"""Checkpoints in, a voice out.

Knows nothing of networks: it reads both halves, has them translated, and installs what came out, whole or not at all.
What needs a network (the encoded prompt) or an audio decoder (the length of the clip) is passed in by who has one.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic import ValidationError
from torch import Tensor

from voxswap_server.domain import Prompt, VoiceUpload
from voxswap_server.errors import AssetMissing, RequestError, VoiceExists, VoiceNotFound, VoiceUnusable
from voxswap_store.assets import base_file
from voxswap_store.catalogue import Catalogue
from voxswap_store.checkpoint import Checkpoint, Kind, read_checkpoint
from voxswap_store.converted import Converted
from voxswap_store.edits import content_named, prompt_text, refused, store_prompt_files
from voxswap_store.entries import VoiceEntry
from voxswap_store.errors import CheckpointError, NotACheckpoint
from voxswap_store.files import Staging, hash_file
from voxswap_store.layout_lora import convert_lora
from voxswap_store.layout_sovits import convert_sovits
from voxswap_store.layout_t2s import convert_t2s
from voxswap_store.manifest import Defaults, Files, Origin, PromptText, Source, VoiceManifest, require_id
from voxswap_store.progress import StepProgress, of_step, silent
from voxswap_store.sandbox.limits import Limits
from voxswap_store.versions import LANGUAGES, Guess, detect, require_same_symbols
from voxswap_store.weights import load_weights, write_weights


class EncodePrompt(Protocol):
    """Encodes reference audio with the networks of the server."""

    def __call__(self, prompt: Prompt, version: str, decoder: Converted) -> Mapping[str, Tensor]:
        """Tensors of the encoded prompt, as the engine will read them from `prompt.safetensors`.

        Args:
            prompt: reference audio and transcript.
            version: of the voice.
            decoder: the translated SoVITS half, which holds the content projection and the codebook.

        Raises:
            AssetMissing: a shared network is not installed; the voice is then imported without a cached prompt.
        """
        ...


@dataclass(frozen=True)
class ImportRequest:
    """What to make a voice of."""

    voice_id: str
    t2s: Path | bytes
    """The `.ckpt`: a path, or the bytes of an upload."""
    sovits: Path | bytes
    """The `.pth`."""
    prompt: Prompt | None = None
    version: str = ""
    """Overrides detection where the files cannot tell (a full v4 fine-tune)."""
    languages: tuple[str, ...] = ()
    """BCP-47 codes; () is all that the version has phones for."""
    display_name: str = ""
    description: str = ""
    licence: str = ""
    consent: str = ""
    tags: tuple[str, ...] = ()
    defaults: Defaults = field(default_factory=Defaults)
    check_speech: bool = True
    """Whether what the voice says is checked for signs of a model that has lost itself."""
    replace: bool = False
    """Take the place of a voice of the same id."""

    @classmethod
    def from_upload(cls, upload: VoiceUpload) -> "ImportRequest":
        """The same, from what CreateVoice brought."""
        shared = ("voice_id", "prompt", "version", "languages", "display_name", "description", "licence", "consent")
        fields: dict[str, Any] = {name: getattr(upload, name) for name in (*shared, "tags")}
        return cls(t2s=upload.t2s_checkpoint, sovits=upload.sovits_checkpoint, **fields)


_TITLES: Final[Mapping[Kind, str]] = {
    "t2s": "T2S checkpoint (.ckpt, from GPT_weights)",
    "sovits": "SoVITS checkpoint (.pth, from SoVITS_weights)",
    "state": "bare dict of tensors (a shared network)",
}


@dataclass(frozen=True)
class _Halves:
    """Both checkpoints, translated."""

    guess: Guess
    t2s: Converted
    decoder: Converted
    """What is stored: of a LoRA, only what lies over its base."""
    whole_decoder: Converted
    """With the base under it."""
    origin: Origin


def import_voice(
    request: ImportRequest,
    root: Path,
    *,
    progress: StepProgress = silent,
    check_audio: Callable[[bytes], object] | None = None,
    encode_prompt: EncodePrompt | None = None,
    limits: Limits | None = None,
) -> VoiceEntry:
    """Imports a pair of checkpoints as a voice.

    Args:
        request: what, and under which id.
        root: of the store.
        progress: told how far it is.
        check_audio: called with the main clip; raises `BadReferenceAudio` when it breaks a rule.
        encode_prompt: makes the cached prompt; without it the engine makes it at first use.
        limits: what a checkpoint may ask for.

    Returns:
        The installed voice.

    Raises:
        CheckpointError: a half is damaged, forbidden, or does not fit the other; `field` names which.
        RequestError: a field of the request is not allowed.
        VoiceExists: the id is taken, and `replace` is False.
        AssetMissing: a LoRA, whose base is not installed.
    """
    catalogue = Catalogue(root)
    if require_id(request.voice_id) in catalogue.ids() and not request.replace:
        raise VoiceExists(request.voice_id)
    if request.prompt and check_audio:
        check_audio(request.prompt.audio)
    with Staging(root) as staging:
        halves = _read_halves(request, root, staging.path, progress, limits or Limits())
        encoded = _encoded(request, halves, encode_prompt, progress)
        progress("writing", 0, 1)
        files = _write(staging, request, halves, encoded)
        entry = catalogue.install(staging, _manifest(request, halves, files), replace=request.replace)
    progress("writing", 1, 1)
    return entry


def _encoded(
    request: ImportRequest, halves: _Halves, encode_prompt: EncodePrompt | None, progress: StepProgress
) -> Converted | None:
    """The cached prompt; None where nobody can make it now."""
    if request.prompt is None or encode_prompt is None:
        return None
    progress("encoding the prompt", 0, 1)
    try:
        tensors = encode_prompt(request.prompt, halves.guess.version, halves.whole_decoder)
    except AssetMissing:  # the voice is whole without it: whoever speaks with it first is told what is missing
        return None
    progress("encoding the prompt", 1, 1)
    return Converted(dict(tensors), {})


def _read_halves(request: ImportRequest, root: Path, scratch: Path, progress: StepProgress, limits: Limits) -> _Halves:
    with blaming("t2s_checkpoint"):
        t2s = _read(request.t2s, "t2s", scratch, progress, limits)
        t2s_converted = convert_t2s(t2s.weight, t2s.config)
    with blaming("sovits_checkpoint"):
        sovits = _read(request.sovits, "sovits", scratch, progress, limits)
        guess = detect(sovits.facts, request.version)
        require_same_symbols(guess.version, t2s_converted.config["phoneme_vocab_size"])
        decoder, whole, base_sha256 = _decoder(sovits, guess, root)
    origin = Origin(t2s=_source(request.t2s, t2s), sovits=_source(request.sovits, sovits), base_sha256=base_sha256)
    return _Halves(guess, t2s_converted, decoder, whole, origin)


def _read(source: Path | bytes, kind: Kind, scratch: Path, progress: StepProgress, limits: Limits) -> Checkpoint:
    titles = {
        "t2s": "T2S checkpoint (.ckpt, from GPT_weights)",
        "sovits": "SoVITS checkpoint (.pth, from SoVITS_weights)",
    }
    step = f"reading the {titles[kind].partition(' (')[0]}"
    checkpoint = read_checkpoint(source, limits=limits, scratch=scratch, progress=of_step(progress, step))
    if checkpoint.kind != kind:
        raise NotACheckpoint(f"this is a {_TITLES[checkpoint.kind]}, where a {_TITLES[kind]} belongs")
    return checkpoint


def _decoder(sovits: Checkpoint, guess: Guess, root: Path) -> tuple[Converted, Converted, str | None]:
    """The decoder as it is stored, as it speaks, and the hash of the base under it where it is a LoRA."""
    if not guess.lora:
        decoder = convert_sovits(sovits.weight, sovits.config, guess.version)
        return decoder, decoder, None
    path = base_file(root, guess.version)
    stored = load_weights(path)
    base = Converted(stored.tensors, stored.config)
    decoder = convert_lora(sovits.weight, base, guess.version, sovits.lora_rank)
    return decoder, Converted(base.tensors | decoder.tensors, decoder.config), hash_file(path)[0]


def _source(source: Path | bytes, checkpoint: Checkpoint) -> Source:
    info = "".join(char for char in checkpoint.info[:200] if char.isprintable())
    return Source(sha256=_sha256(source), info=info, head=checkpoint.head)


def _sha256(source: Path | bytes) -> str:
    return hash_file(source)[0] if isinstance(source, Path) else hashlib.sha256(source).hexdigest()


def _manifest(request: ImportRequest, halves: _Halves, files: Files) -> VoiceManifest:
    guess = halves.guess
    told = ("voice_id", "display_name", "description", "licence", "consent", "tags", "defaults", "check_speech")
    try:
        return VoiceManifest(
            format=1,
            version=guess.version,
            symbols=guess.symbols,
            languages=request.languages or LANGUAGES[guess.symbols],
            files=files,
            prompt=prompt_text(request.prompt) if request.prompt else PromptText(),
            origin=halves.origin,
            **{name: getattr(request, name) for name in told},
        )
    except ValidationError as error:
        raise refused(error) from None


def _write(staging: Staging, request: ImportRequest, halves: _Halves, encoded: Converted | None) -> Files:
    files: dict[str, Any] = {}
    if request.prompt:
        files |= store_prompt_files(staging, request.prompt, suffix=request.replace)
    for name, converted in (("t2s", halves.t2s), ("decoder", halves.decoder), ("prompt", encoded)):
        if converted is not None:
            stored = staging.write(f"{name}.safetensors", partial(write_weights, converted=converted))
            files[name] = content_named(staging, stored) if request.replace else stored
    return Files(**files)


def is_imported(request: ImportRequest, catalogue: Catalogue) -> bool:
    """Whether the voice of this id was made of these very checkpoints."""
    try:
        origin = catalogue.get(request.voice_id).manifest.origin
    except (VoiceNotFound, VoiceUnusable):
        return False
    halves = (request.t2s, request.sovits)
    return origin is not None and tuple(map(_sha256, halves)) == (origin.t2s.sha256, origin.sovits.sha256)


@contextmanager
def blaming(half: str) -> Iterator[None]:
    """Errors of a checkpoint tell which half they are about."""
    try:
        yield
    except (CheckpointError, RequestError) as error:
        error.field = error.field or half
        raise
