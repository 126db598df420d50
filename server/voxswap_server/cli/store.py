"""`voxswap import`: checkpoints of GPT-SoVITS become voices of the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from voxswap_server.cli.errors import told_plainly
from voxswap_server.cli.storing import Store, bars, prompt_import, root_of
from voxswap_server.errors import RequestError, VoxswapError

if TYPE_CHECKING:
    from voxswap_server.engine.importing import PromptImport
    from voxswap_store.importer import ImportRequest
    from voxswap_store.pairing import Pair

_LONGEST_RECORDING_S: Final = 600.0
"""That a reference is chosen from."""


@told_plainly
def import_(
    gpt: Annotated[Path | None, typer.Option(help="T2S checkpoint: a .ckpt from GPT_weights*.")] = None,
    sovits: Annotated[Path | None, typer.Option(help="SoVITS checkpoint: a .pth from SoVITS_weights*.")] = None,
    voice_id: Annotated[str, typer.Option("--id", help="Name of the voice in the store: a-z 0-9 _ -.")] = "",
    reference: Annotated[Path | None, typer.Option(help="Reference audio of the speaker, 3 to 10 s.")] = None,
    transcript: Annotated[str, typer.Option(help="What is said in the reference audio.")] = "",
    language: Annotated[str, typer.Option(help="Language of the transcript: zh, en, ja, ko, yue.")] = "",
    auxiliary: Annotated[list[Path] | None, typer.Option(help="More clips of the speaker, for the timbre.")] = None,
    trim: Annotated[
        bool, typer.Option("--trim", help="Take the best 3 to 10 s of a longer reference; which, is told.")
    ] = False,
    version: Annotated[str, typer.Option(help="v1 v2 v2Pro v2ProPlus v3 v4; only where the file does not tell.")] = "",
    display_name: Annotated[str, typer.Option(help="Name to show.")] = "",
    description: Annotated[str, typer.Option(help="What the voice is.")] = "",
    licence: Annotated[str, typer.Option(help="Under which the weights may be used.")] = "",
    consent: Annotated[str, typer.Option(help="What the person heard agreed to.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    check_speech: Annotated[
        bool, typer.Option(help="Check what it says for signs of a model that has lost itself.")
    ] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a voice of the same id.")] = False,
    from_gpt_sovits: Annotated[
        Path | None, typer.Option(help="Folder of a GPT-SoVITS installation: import every pair of checkpoints in it.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="TOML file that names the voices of that folder.")] = None,
    store: Store = None,
) -> None:
    """Import GPT-SoVITS checkpoints as voices.

    Nothing of a checkpoint is run: it is taken apart in a walled-off process and stored as safetensors.

    One voice:

      voxswap import --gpt narrator-e15.ckpt --sovits narrator_e8_s216.pth --reference clip.wav
      --transcript "What the clip says." --language en --id narrator

    All voices of an installation, paired by version and name (docs/IMPORT.md tells of the mapping file):

      voxswap import --from-gpt-sovits ~/GPT-SoVITS --mapping voices.toml

    A recording that is longer than a reference may be (the part that is taken does not change, so its transcript can be
    given with the same command, --replace added):

      voxswap import --gpt narrator-e15.ckpt --sovits narrator_e8_s216.pth --reference talk.wav --trim --id narrator
    """
    from voxswap_server.domain import Language, Prompt
    from voxswap_store.importer import ImportRequest

    root = root_of(store)
    if from_gpt_sovits is not None:
        _import_all(from_gpt_sovits, mapping, root, replace=replace)
        return
    if gpt is None or sovits is None or not voice_id:
        raise RequestError("give --gpt, --sovits and --id, or --from-gpt-sovits")
    if reference is None and (transcript or language or auxiliary or trim):
        raise RequestError("--transcript, --language, --auxiliary and --trim belong to a --reference")
    prompt = None
    if reference is not None:
        clips = tuple(clip.read_bytes() for clip in auxiliary or ())
        audio = _trimmed(reference) if trim else reference.read_bytes()
        prompt = Prompt(audio, transcript, Language(language), clips)
    request = ImportRequest(
        voice_id,
        gpt,
        sovits,
        prompt,
        version=version,
        display_name=display_name,
        description=description,
        licence=licence,
        consent=consent,
        tags=tuple(tag or ()),
        check_speech=check_speech,
        replace=replace,
    )
    with prompt_import(root) as prompts:
        typer.echo(_import_one(request, root, prompts))


def _trimmed(reference: Path) -> bytes:
    """The best part of a recording; tells which it is."""
    from voxswap_server.audio.decode import decode
    from voxswap_server.audio.trim import best_window

    data = reference.read_bytes()
    window = best_window(decode(data, max_s=_LONGEST_RECORDING_S, max_bytes=len(data)))
    part = f"{window.start_s:.2f} s to {window.end_s:.2f} s of {reference.name}"
    typer.echo(f"the reference is {part}; the transcript is what is said there")
    return window.audio


def _import_all(directory: Path, mapping: Path | None, root: Path, *, replace: bool) -> None:
    """Imports every pair; one that fails is told and hinders no other."""
    from voxswap_store.catalogue import Catalogue
    from voxswap_store.importer import is_imported
    from voxswap_store.pairing import pair_checkpoints

    catalogue = Catalogue(root)
    pairing = pair_checkpoints(directory, mapping)
    problems = list(pairing.problems)
    with prompt_import(root) as prompts:
        for pair in pairing.pairs:
            try:
                request = _of_pair(pair, directory, replace=replace)
                if is_imported(request, catalogue):
                    typer.echo(f"{pair.voice_id} is imported already")
                else:
                    typer.echo(_import_one(request, root, prompts))
            except (VoxswapError, OSError) as error:
                problems.append(f"{pair.voice_id}: {error}")
    for problem in problems:
        typer.secho(f"left out: {problem}", fg="yellow", err=True)
    if problems:
        raise typer.Exit(2)


def _of_pair(pair: "Pair", directory: Path, *, replace: bool) -> "ImportRequest":
    from voxswap_server.domain import Language, Prompt
    from voxswap_store.importer import ImportRequest

    told = pair.told
    prompt = None
    if told.reference:
        clips = tuple((directory / clip).read_bytes() for clip in told.auxiliary)
        prompt = Prompt((directory / told.reference).read_bytes(), told.transcript, Language(told.language), clips)
    return ImportRequest(
        pair.voice_id,
        pair.t2s,
        pair.sovits,
        prompt,
        version=told.version,
        display_name=told.display_name or pair.name,
        description=told.description,
        licence=told.licence,
        consent=told.consent,
        tags=told.tags,
        replace=replace,
    )


def _import_one(request: "ImportRequest", root: Path, prompts: "PromptImport") -> str:
    from voxswap_store.errors import CheckpointError
    from voxswap_store.importer import import_voice

    check, encode = prompts.check_main, prompts.encode
    try:
        with bars(request.voice_id) as progress:
            entry = import_voice(request, root, progress=progress, check_audio=check, encode_prompt=encode)
    except CheckpointError as error:
        half = {"t2s_checkpoint": request.t2s, "sovits_checkpoint": request.sovits}.get(error.field)
        raise RequestError(f"{half.name}: {error}" if isinstance(half, Path) else str(error)) from error
    manifest = entry.manifest
    if manifest.files.reference is None:
        prompt = "no reference audio: requests must bring their own"
    elif manifest.files.prompt is None:
        prompt = "its prompt is encoded when it speaks first"
    else:
        prompt = "its prompt is encoded"
    size = f"{manifest.bytes_total / 1e6:.1f} MB"
    return f"imported {entry.voice_id}: {manifest.version}, {size}, revision {entry.revision}; {prompt}"
