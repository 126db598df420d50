"""`voxswap speak`."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from voxswap_client.cli import output as outputs
from voxswap_client.cli.connecting import HERE, Server
from voxswap_client.cli.session import Json, plain_console, to_json, told_plainly
from voxswap_client.speech import (
    AudioChunk,
    AudioEncoding,
    CutMethod,
    LanguageMode,
    Notice,
    PhoneticEncoding,
    Prompt,
    Pronunciation,
    Sampling,
    SpeechEvent,
    SpeechOptions,
    StreamStarted,
    SynthesisDone,
)

_STDOUT = Path("-")


@dataclass(frozen=True, slots=True)
class Spoken:
    """How it went."""

    started: StreamStarted
    done: SynthesisDone
    first_audio_ms: float
    """From the call to its first audio, by this machine's clock."""
    total_ms: float
    bytes: int

    @property
    def audio_s(self) -> float:
        return self.done.samples / self.started.sample_rate_hz


@told_plainly
def speak(
    text: Annotated[str, typer.Argument(help="What to say; from standard input if it is left out or -.")] = "-",
    *,
    voice: Annotated[str, typer.Option("--voice", "-v", help="Id of the voice.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write, - for standard output. Default: play it.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Text file to say.")] = None,
    encoding: Annotated[
        AudioEncoding | None, typer.Option(help="Default: by the suffix of the output, else wav.")
    ] = None,
    rate: Annotated[int | None, typer.Option(help="Sample rate in Hz. Default: the voice's own.")] = None,
    language: Annotated[str, typer.Option(help="zh, en, ja, ko or yue. Default: detect.")] = "",
    mode: Annotated[LanguageMode | None, typer.Option(help="How strictly the language is meant.")] = None,
    speed: Annotated[float, typer.Option(help="> 1 is faster; 0.25 to 4.")] = 1.0,
    gain: Annotated[float, typer.Option(help="Decibels on top of the voice's loudness.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same audio.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Keep this many best tokens; 1 is greedy.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Keep this much probability; 1 keeps all.")] = None,
    temperature: Annotated[float | None, typer.Option(help="< 1 is steadier, > 1 is livelier.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="> 1 discourages repetition.")] = None,
    cut: Annotated[CutMethod | None, typer.Option(help="Where the text is cut into utterances.")] = None,
    pause_ms: Annotated[int | None, typer.Option(help="Silence after each utterance.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the flow-matching decoder (v3, v4).")] = None,
    super_sampling: Annotated[bool, typer.Option("--super-sampling", help="From 24 kHz to 48 kHz (v3).")] = False,
    reference: Annotated[Path | None, typer.Option(help="Speak like this clip of 3 to 10 s.")] = None,
    transcript: Annotated[str, typer.Option(help="What is said in the reference clip.")] = "",
    transcript_language: Annotated[str, typer.Option(help="Its language. Default: detect.")] = "",
    pronounce: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD=PHONES",
            help="Say a word like this, such as 'Nikki=arpabet:N IH1 K IY0' or '重庆=pinyin:chong2 qing4' "
            "(also kana, jyutping; none: phones of the voice). Repeatable.",
        ),
    ] = None,
    normalize: Annotated[bool, typer.Option("--normalize/--no-normalize", help="Spell out numbers and units.")] = True,
    timeout: Annotated[float | None, typer.Option(help="Give up after this many seconds.")] = None,
    as_json: Json = False,
    server: Server = HERE,
) -> None:
    """Say something with a voice of the server, as it is made.

    Examples: voxswap speak --voice narrator "Hello" -o out.wav · echo Hello | voxswap speak -v narrator -o - | aplay
    """
    encoding, opened = _output(output, encoding)
    options = SpeechOptions(
        language_code=language,
        language_mode=mode,
        encoding=encoding,
        sample_rate_hz=rate,
        speaking_rate=speed,
        volume_gain_db=gain,
        sampling=Sampling(top_k, top_p, temperature, repetition_penalty, seed),
        prompt=Prompt(reference.read_bytes(), transcript, transcript_language) if reference else None,
        cut_method=cut,
        pause_ms=pause_ms,
        sample_steps=steps,
        super_sampling=super_sampling,
        pronunciations=[to_pronunciation(written) for written in pronounce or ()],
        normalize_text=normalize,
    )
    words = _text(text, file)
    with (
        server.client() as client,
        opened() as sink,
        closing(client.stream(words, voice, options, timeout_s=timeout)) as events,
    ):
        spoken = _deliver(events, sink)
    to_stderr = output == _STDOUT
    if as_json:
        typer.echo(to_json(_figures(spoken)), err=to_stderr)
    else:
        plain_console(stderr=to_stderr).print(_summary(spoken, output))


def _output(
    output: Path | None, encoding: AudioEncoding | None
) -> tuple[AudioEncoding, Callable[[], AbstractContextManager[outputs.Output]]]:
    """What to ask for, and where it goes; a player is looked for before anything is said."""
    if output is None:
        player = outputs.find_player()
        return AudioEncoding.WAV, lambda: outputs.to_player(player)
    if output == _STDOUT:
        return encoding or AudioEncoding.WAV, outputs.to_stdout
    chosen = encoding or outputs.encoding_of(output)
    return chosen, lambda: outputs.to_file(output, chosen)


def to_pronunciation(written: str) -> Pronunciation:
    """From `word=phones` or `word=alphabet:phones`."""
    phrase, _, said = (part.strip() for part in written.partition("="))
    if not phrase or not said:
        raise typer.BadParameter(f"{written!r} is not of the form WORD=PHONES", param_hint="--pronounce")
    alphabet, colon, rest = said.partition(":")
    if not colon:
        return Pronunciation(phrase, said)
    if alphabet not in set(PhoneticEncoding):
        choices = ", ".join(PhoneticEncoding)
        raise typer.BadParameter(f"no alphabet {alphabet!r}; choices: {choices}", param_hint="--pronounce")
    return Pronunciation(phrase, rest.strip(), PhoneticEncoding(alphabet))


def _text(text: str, file: Path | None) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8")
    if text != "-":
        return text
    if sys.stdin.isatty():
        raise OSError("nothing to say: give a text, --file, or text on standard input")
    return sys.stdin.read()


def _deliver(events: Iterator[SpeechEvent], sink: outputs.Output) -> Spoken:
    """Passes the audio on and watches the clock."""
    asked_s = time.perf_counter()
    started: StreamStarted | None = None
    first_s: float | None = None
    written_bytes = 0
    for event in events:
        if isinstance(event, StreamStarted):
            started = event
        elif isinstance(event, AudioChunk):
            sink.write(event.data)
            if event.data and first_s is None:
                first_s = time.perf_counter()
            written_bytes += len(event.data)
        elif isinstance(event, Notice):
            typer.secho(f"note: {event.message} ({event.code})", fg="yellow", err=True)
        elif isinstance(event, SynthesisDone) and started is not None:
            sink.finish(event.samples)
            end_s = time.perf_counter()
            return Spoken(
                started,
                event,
                1e3 * ((end_s if first_s is None else first_s) - asked_s),
                1e3 * (end_s - asked_s),
                written_bytes,
            )
    raise ConnectionError("the server ended the stream before it was done")


def _figures(spoken: Spoken) -> dict[str, object]:
    started, done = spoken.started, spoken.done
    return {
        "request_id": started.request_id,
        "voice_id": started.voice_id,
        "encoding": started.encoding,
        "sample_rate_hz": started.sample_rate_hz,
        "samples": done.samples,
        "audio_s": spoken.audio_s,
        "bytes": spoken.bytes,
        "first_audio_ms": spoken.first_audio_ms,
        "ttfa_ms": done.ttfa_ms,
        "total_ms": spoken.total_ms,
        "rtf": done.rtf,
        "queue_ms": done.queue_ms,
        "underrun_ms": done.underrun_ms,
        "cache_state": started.cache_state,
        "load_ms": started.load_ms,
        "seed": started.seed,
        "utterances": done.utterances,
        "semantic_tokens": done.semantic_tokens,
        "retried_utterances": done.retried_utterances,
    }


def _summary(spoken: Spoken, output: Path | None) -> str:
    started, done = spoken.started, spoken.done
    where = "played" if output is None else "standard output" if output == _STDOUT else str(output)
    loaded = f", loaded in {started.load_ms:.0f} ms" if started.load_ms else ""
    return (
        f"{started.voice_id}: {spoken.audio_s:.2f} s, {started.encoding} at {started.sample_rate_hz} Hz → {where}\n"
        f"TTFA {spoken.first_audio_ms:.0f} ms (server {done.ttfa_ms:.0f} ms) · RTF {done.rtf:.3f} · "
        f"voice was on {started.cache_state}{loaded} · seed {started.seed}"
    )
