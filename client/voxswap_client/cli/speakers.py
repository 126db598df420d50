"""`voxswap embed`, `voxswap compare`, `voxswap find`: who is heard in a clip."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from voxswap_client.cli.connecting import HERE, Server
from voxswap_client.cli.session import Json, show, told_plainly
from voxswap_client.voices import SpeakerMatch

Clip = Annotated[Path, typer.Argument(help="Audio file of at least half a second.", show_default=False)]


@told_plainly
def embed(clip: Clip, as_json: Json = False, server: Server = HERE) -> None:
    """Print the ECAPA speaker embedding of a clip, one number a line."""
    with server.client() as client:
        embedding = client.embed_speaker(clip.read_bytes())
    show(embedding, as_json=as_json, otherwise=lambda values: "\n".join(f"{value:.9g}" for value in values))


@told_plainly
def compare(first: Clip, second: Clip, as_json: Json = False, server: Server = HERE) -> None:
    """Print how alike the speakers of two clips are: the cosine of their embeddings, -1 to 1."""
    with server.client() as client:
        similarity = client.compare_speakers(first.read_bytes(), second.read_bytes())
    show({"similarity": similarity}, as_json=as_json, otherwise=lambda found: f"{found['similarity']:.4f}")


@told_plainly
def find(
    clip: Clip,
    limit: Annotated[int, typer.Option(help="At most this many voices.", min=1, max=100)] = 5,
    as_json: Json = False,
    server: Server = HERE,
) -> None:
    """List the voices whose reference audio sounds most like a clip."""
    with server.client() as client:
        matches = client.find_voices(clip.read_bytes(), limit)
    show(matches, as_json=as_json, otherwise=_table)


def _table(matches: Sequence[SpeakerMatch]) -> Table | str:
    if not matches:
        return "no voices"
    table = Table("voice", "similarity", box=None)
    for match in matches:
        table.add_row(match.voice_id, f"{match.similarity:.4f}")
    return table
