"""`voxswap demo`: voices, a server, a switch, on a machine that has nothing yet."""

import asyncio
import shutil
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from voxswap_server.cli.errors import told_plainly

if TYPE_CHECKING:
    from voxswap_client import AsyncClient
    from voxswap_server.app import Running

SCRIPT = (
    ("amber", "Hello. I am Amber, the first voice of this server."),
    ("slate", "And I am Slate. I was not in memory until you asked for me."),
    ("coral", "I am Coral. We all share one network, so I was here in no time."),
    ("onyx", "Onyx speaking. You may give the server voices of your own, too."),
    ("amber", "Back to me, and nothing had to be loaded."),
)
"""Who says what."""
VOICES = tuple(dict.fromkeys(voice for voice, _ in SCRIPT))
LIVE = (
    ("amber", "now", "This is one stream, and I begin it, though not all of it is mine."),
    ("slate", "next_sentence", "From this sentence on it is I who speaks, until somebody cuts me off."),
    ("coral", "now", "That was me."),
)
"""Who says what in one live stream, and when it takes over from the one before."""
CROSSFADE_MS = 40
PATIENCE_S = 120.0
HEARD_S = 0.5
"""Of each voice, before the next one is asked for."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """One line of the script, as it was heard."""

    voice: str
    audio_s: float
    ttfa_ms: float
    rtf: float
    cache: str
    load_ms: float
    file: Path


@dataclass(slots=True)
class _Show:
    """A live stream, as it was heard."""

    file: Path
    rate_hz: int = 1
    samples: int = 0
    changes: list[tuple[str, int]] = field(default_factory=list)
    """Voices, and the samples from which on they are heard."""


@told_plainly
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for what was spoken.")] = Path("demo_output"),
) -> None:
    """Import the built-in voices, start a server on them, speak through gRPC, switch voices, and show what happened.

    Where this installation has no built-in voices, tiny ones take their place that are seeded at random and babble:
    they show the whole way, from checkpoints in GPT-SoVITS's own formats to audio. Your own voices take the same way
    with `voxswap import`.
    """
    console = Console()
    output.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="voxswap-demo-"))
    try:
        asyncio.run(_show(console, root, output))
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def _show(console: Console, root: Path, output: Path) -> None:
    from voxswap_client import AsyncClient
    from voxswap_server.app import running
    from voxswap_server.logs import LogConfig, configure
    from voxswap_server.settings import load_settings

    configure(LogConfig(level="WARNING"))
    began_s = time.perf_counter()
    console.print(f"[bold]1.[/] {await asyncio.to_thread(_bring_voices, root)}")
    console.print(f"   {', '.join(VOICES)}: ready after {time.perf_counter() - began_s:.1f} s")
    ports = {"rpc": {"address": "127.0.0.1:0"}, "metrics": {"enabled": True, "port": 0}}
    changes: dict[str, Any] = {"store": root, "voices": {"built_in": True}} | ports
    settings = load_settings(**changes)
    async with running(settings) as server, AsyncClient(f"127.0.0.1:{server.rpc.port}") as client:
        console.print(f"[bold]2.[/] A server listens on 127.0.0.1:{server.rpc.port}; metrics: {server.metrics_url}")
        turns = [await _turn(client, index, *line, output) for index, line in enumerate(SCRIPT, 1)]
        console.print("[bold]3.[/] All have spoken through gRPC:")
        console.print(_table(turns))
        console.print(f"[bold]4.[/] {_told(await _live(client, output / f'{len(SCRIPT) + 1}-live.flac'))}")
        console.print(f"[bold]5.[/] {await _summary(client, server, turns)}")
    console.print("[bold]Next:[/] your own GPT-SoVITS voices: voxswap import --help, voxswap serve --help.")


def _bring_voices(root: Path) -> str:
    """Imports the voices into a store, as a server does at its first start; returns what they are."""
    from voxswap_server.cli.storing import prompt_import
    from voxswap_server.demo.tiny_built_in import write_built_in
    from voxswap_store.built_in import install_built_in, packaged_voices

    folder, told = packaged_voices(), "The four built-in voices are imported."
    if folder is None:
        folder = write_built_in(root / "tiny", VOICES)
        told = "Four tiny voices are made and imported: seeded noise, so [bold]they babble[/]."
    with prompt_import(root) as prompts:
        install_built_in(folder, root, encode_prompt=prompts.encode)
    return told


async def _turn(client: "AsyncClient", number: int, voice: str, text: str, output: Path) -> _Turn:
    from voxswap_client import AudioChunk, AudioEncoding, Sampling, SpeechOptions, StreamStarted, SynthesisDone

    options = SpeechOptions(language_code="en", encoding=AudioEncoding.FLAC, sampling=Sampling(seed=number))
    events = [event async for event in client.stream(text, voice, options)]
    file = output / f"{number}-{voice}.flac"
    started = next(one for one in events if isinstance(one, StreamStarted))
    done = next(one for one in events if isinstance(one, SynthesisDone))
    audio = b"".join(one.data for one in events if isinstance(one, AudioChunk))
    await asyncio.to_thread(_write, file, audio, done.samples)
    audio_s = done.samples / started.sample_rate_hz
    return _Turn(voice, audio_s, done.ttfa_ms, done.rtf, started.cache_state, started.load_ms, file)


async def _live(client: "AsyncClient", file: Path) -> _Show:
    """One stream that changes its voice while it speaks."""
    from voxswap_client import (
        AudioChunk,
        AudioEncoding,
        Notice,
        Sampling,
        SpeechOptions,
        StreamStarted,
        SwitchPoint,
        SynthesisDone,
        VoiceChanged,
    )

    options = SpeechOptions(language_code="en", encoding=AudioEncoding.FLAC, sampling=Sampling(seed=1))
    show, audio, asked = _Show(file), bytearray(), False
    (first, _, text), *others = LIVE
    async with client.live(first, options, timeout_s=PATIENCE_S) as session:
        session.say(text)
        session.flush()
        async for event in session:
            match event:
                case StreamStarted():
                    show.rate_hz = event.sample_rate_hz
                case AudioChunk():
                    audio += event.data
                    heard = event.start_sample + event.samples - (show.changes[-1][1] if show.changes else 0)
                    if others and not asked and heard >= HEARD_S * show.rate_hz:
                        session.switch(others[0][0], SwitchPoint(others[0][1]), CROSSFADE_MS)
                        asked = True
                case VoiceChanged():
                    show.changes.append((event.voice_id, event.start_sample))
                    session.say(others.pop(0)[2])
                    session.flush()
                    asked = False
                    if not others:
                        session.end()
                case Notice():  # a voice that cannot be had: what was heard is shown all the same
                    session.end()
                case SynthesisDone():
                    show.samples = event.samples
    await asyncio.to_thread(_write, file, bytes(audio), show.samples)
    return show


def _write(path: Path, audio: bytes, samples: int) -> None:
    """A FLAC stream as a file that knows its length."""
    from voxswap_client import AudioEncoding, complete_header

    with path.open("w+b") as file:
        file.write(audio)
        complete_header(file, AudioEncoding.FLAC, samples)


def _told(show: _Show) -> str:
    changes = ", ".join(
        f"{voice} from sample {start} ({start / show.rate_hz:.2f} s) on" for voice, start in show.changes
    )
    return (
        f"And one live stream of {show.samples / show.rate_hz:.2f} s changed its voice while it spoke, {changes}: "
        f"{show.file.name}"
    )


def _table(turns: list[_Turn]) -> Table:
    table = Table("voice", "audio", "TTFA", "RTF", "voice was on", "loaded in", f"in {turns[0].file.parent}/")
    for turn in turns:
        load = f"{turn.load_ms:.0f} ms" if turn.load_ms else "—"
        row = (f"{turn.audio_s:.2f} s", f"{turn.ttfa_ms:.0f} ms", f"{turn.rtf:.2f}", turn.cache, load, turn.file.name)
        table.add_row(turn.voice, *row)
    return table


async def _summary(client: "AsyncClient", server: "Running", turns: list[_Turn]) -> str:
    residents = ", ".join(
        f"{one.voice_id} ({(one.bytes_own + one.bytes_shared) / 2**20:.0f} MiB)"
        for one in await client.list_residents()
    )
    first, *others = turns
    shared = max(turn.load_ms for turn in others)
    scraped = await asyncio.to_thread(_scrape, server.metrics_url)
    return (
        f"The first voice was loaded in {first.load_ms:.0f} ms, the others share its weights: {shared:.0f} ms at most; "
        f"a switch to one in memory took {turns[-1].load_ms:.0f} ms.\n"
        f"   In memory now: {residents}. Metrics: {scraped} series counted."
    )


def _scrape(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server, on loopback
        return sum(1 for line in answer.read().decode().splitlines() if line.startswith("voxswap_"))
