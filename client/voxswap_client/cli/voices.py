"""`voxswap voices …`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.table import Table

from voxswap_client.cli.connecting import HERE, Server
from voxswap_client.cli.session import Json, VoiceId, plain_console, refuse_early_options, show, told_plainly
from voxswap_client.cli.speak import to_pronunciation
from voxswap_client.speech import Prompt, Sampling
from voxswap_client.voices import NewVoice, Voice, VoiceChanges

voices = typer.Typer(help="Voices of the server's store: list, show, create, update, delete.")

Name = Annotated[str | None, typer.Option("--name", help="Display name.")]
Description = Annotated[str | None, typer.Option(help="For people.")]
Licence = Annotated[str | None, typer.Option(help="Of the weights.")]
Consent = Annotated[str | None, typer.Option(help="How the speaker agreed to be cloned.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="May be given several times.")]
Reference = Annotated[Path | None, typer.Option(help="Clip of 3 to 10 s: the default prompt.")]
Transcript = Annotated[str, typer.Option(help="What is said in the clip.")]
TranscriptLanguage = Annotated[str, typer.Option(help="Its language. Default: detect.")]
Auxiliary = Annotated[list[Path] | None, typer.Option("--aux", help="More clips, for the timbre only.")]
Pronounce = Annotated[
    list[str] | None,
    typer.Option(help="WORD=PHONES or WORD=ALPHABET:PHONES, several times; replaces all."),
]
SpokenLanguage = Annotated[str, typer.Option("--language", help="Only voices that speak this.")]


@voices.callback(invoke_without_command=True)
@told_plainly
def _default(
    context: typer.Context,
    language: SpokenLanguage = "",
    as_json: Json = False,
    server: Server = HERE,
) -> None:
    """List the voices, or do something with one."""
    if context.invoked_subcommand is not None:
        refuse_early_options(context)
    else:
        list_voices(language=language, as_json=as_json, server=server)


@voices.command("list")
@told_plainly
def list_voices(language: SpokenLanguage = "", as_json: Json = False, server: Server = HERE) -> None:
    """List the voices of the store."""
    with server.client() as client:
        found = client.list_voices(language)
    show(found, as_json=as_json, otherwise=_table)


@voices.command("show")
@told_plainly
def show_voice(voice: VoiceId, as_json: Json = False, server: Server = HERE) -> None:
    """Show everything about one voice."""
    with server.client() as client:
        found = client.get_voice(voice)
    show(found, as_json=as_json, otherwise=_sheet)


@voices.command("create")
@told_plainly
def create_voice(
    voice: VoiceId,
    gpt: Annotated[Path, typer.Option(help="Upstream's GPT checkpoint (.ckpt).", show_default=False)],
    sovits: Annotated[Path, typer.Option(help="Upstream's SoVITS checkpoint (.pth).", show_default=False)],
    reference: Reference = None,
    transcript: Transcript = "",
    transcript_language: TranscriptLanguage = "",
    auxiliary: Auxiliary = None,
    version: Annotated[
        str, typer.Option(help="v1, v2, v2Pro, v2ProPlus, v3 or v4. Default: told from the files.")
    ] = "",
    language: Annotated[list[str] | None, typer.Option(help="That it speaks. May be given several times.")] = None,
    name: Name = None,
    description: Description = None,
    licence: Licence = None,
    consent: Consent = None,
    tag: Tags = None,
    as_json: Json = False,
    server: Server = HERE,
) -> None:
    """Upload a pair of upstream's checkpoints as a new voice."""
    new = NewVoice(
        voice_id=voice,
        t2s_checkpoint=gpt,
        sovits_checkpoint=sovits,
        reference_audio=reference,
        transcript=transcript,
        transcript_language_code=transcript_language,
        auxiliary_audio=tuple(auxiliary or ()),
        version=version,
        language_codes=tuple(language or ()),
        display_name=name or "",
        description=description or "",
        licence=licence or "",
        consent=consent or "",
        tags=tuple(tag or ()),
    )
    with server.client() as client, plain_console(stderr=True).status(f"uploading {voice}"):
        made = client.create_voice(new)
    show(made, as_json=as_json, otherwise=_sheet)


@voices.command("update")
@told_plainly
def update_voice(
    voice: VoiceId,
    name: Name = None,
    description: Description = None,
    licence: Licence = None,
    consent: Consent = None,
    tag: Tags = None,
    reference: Reference = None,
    transcript: Transcript = "",
    transcript_language: TranscriptLanguage = "",
    auxiliary: Auxiliary = None,
    pronounce: Pronounce = None,
    top_k: Annotated[int | None, typer.Option(help="Of requests that do not say.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Of requests that do not say.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of requests that do not say.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Of requests that do not say.")] = None,
    as_json: Json = False,
    server: Server = HERE,
) -> None:
    """Change what is given of a voice, and leave the rest."""
    clips = tuple(clip.read_bytes() for clip in auxiliary or ())
    prompt = None
    if reference is not None:
        prompt = Prompt(reference.read_bytes(), transcript, transcript_language, auxiliary_audio=clips)
    sampling = Sampling(top_k, top_p, temperature, repetition_penalty)
    changes = VoiceChanges(
        name,
        description,
        licence,
        consent,
        tuple(tag) if tag else None,
        prompt,
        sampling if sampling != Sampling() else None,
        tuple(map(to_pronunciation, pronounce)) if pronounce else None,
    )
    with server.client() as client:
        changed = client.update_voice(voice, changes)
    show(changed, as_json=as_json, otherwise=_sheet)


@voices.command("delete")
@told_plainly
def delete_voice(
    voice: VoiceId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: Server = HERE,
) -> None:
    """Remove a voice from the store, for good."""
    if not yes:
        typer.confirm(f"Delete voice {voice} from the server at {server.address}?", abort=True)
    with server.client() as client:
        client.delete_voice(voice)
    typer.echo(f"deleted {voice}")


def _table(found: Sequence[Voice]) -> Table | str:
    if not found:
        return "no voices"
    table = Table("voice", "version", "languages", "rate", "size", "state", "name", "tags", box=None)
    table.columns[0].overflow = "fold"
    for voice in found:
        table.add_row(
            voice.voice_id,
            voice.version,
            " ".join(voice.language_codes),
            f"{voice.sample_rate_hz} Hz",
            decimal(voice.bytes_total),
            voice.state if not voice.problem else f"{voice.state}: {voice.problem}",
            voice.display_name,
            " ".join(voice.tags),
        )
    return table


def _sheet(voice: Voice) -> Table:
    table = Table("", "", box=None, show_header=False)
    rows = {
        "voice": voice.voice_id,
        "name": voice.display_name,
        "version": voice.version,
        "languages": " ".join(voice.language_codes),
        "rate": f"{voice.sample_rate_hz} Hz",
        "size": decimal(voice.bytes_total),
        "state": voice.state,
        "problem": voice.problem,
        "prompt": "its own" if voice.has_prompt else "none: each request must bring one",
        "tags": " ".join(voice.tags),
        "description": voice.description,
        "licence": voice.licence,
        "consent": voice.consent,
        "revision": voice.revision,
    }
    for label, value in rows.items():
        if value:
            table.add_row(label, value)
    return table
