"""`voxswap live`: type, and it is spoken."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from voxswap_client.cli import output as outputs
from voxswap_client.cli.connecting import HERE, Server
from voxswap_client.cli.session import told_plainly
from voxswap_client.live import LiveEvent, SwitchPoint, UtteranceCancelled
from voxswap_client.live_session import LiveSession
from voxswap_client.speech import (
    AudioChunk,
    AudioEncoding,
    Notice,
    Sampling,
    SpeechOptions,
    StreamStarted,
    SynthesisDone,
    VoiceChanged,
)

HELP = "/voice ID [now|phrase|sentence] · /stop · /speed 1.2 · /help · /quit"
_POINTS = {"now": SwitchPoint.NOW, "phrase": SwitchPoint.NEXT_PHRASE, "sentence": SwitchPoint.NEXT_SENTENCE}
_AHEAD_S = 0.5
"""Sent to a player ahead of what it plays: how late a barge-in is heard."""
_TICK_S = 0.1


@told_plainly
def live(
    voice: Annotated[str, typer.Option("--voice", "-v", help="Id of the voice to begin with.", show_default=False)],
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write. Default: play it.")] = None,
    language: Annotated[str, typer.Option(help="zh, en, ja, ko or yue. Default: detect.")] = "",
    rate: Annotated[int | None, typer.Option(help="Sample rate in Hz. Default: the voice's own.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same audio.")] = None,
    at: Annotated[SwitchPoint, typer.Option(help="When /voice takes effect, if it does not say.")] = SwitchPoint.NOW,
    crossfade_ms: Annotated[int, typer.Option(help="Cross-fade of a switch, 0 to 1000.")] = 60,
    server: Server = HERE,
) -> None:
    """Speak each line that is typed. A line that begins with / is a command: /voice slate, /stop, /speed 1.2, /quit.

    Example: voxswap live --voice narrator
    """
    encoding = AudioEncoding.WAV if output is None else outputs.encoding_of(output)
    opened = outputs.to_player(outputs.find_player()) if output is None else outputs.to_file(output, encoding)
    options = SpeechOptions(
        language_code=language, encoding=encoding, sample_rate_hz=rate, sampling=Sampling(seed=seed)
    )
    prompt = Typist(at, crossfade_ms)
    ahead_s = _AHEAD_S if output is None else None
    with (
        server.client() as client,
        opened as sink,
        client.live(voice, options, max_ahead_s=ahead_s) as session,
    ):
        typing = threading.Thread(target=prompt.read, args=(session, sys.stdin), daemon=True)
        typing.start()
        hear(session, sink, Clockwork(session) if output is None else None)


class Typist:
    """Turns lines into what is said.

    Args:
        at: when a switch takes effect that does not say.
        crossfade_ms: of switches.
    """

    def __init__(self, at: SwitchPoint, crossfade_ms: int) -> None:
        self._at = at
        self._crossfade_ms = crossfade_ms

    def read(self, session: LiveSession, lines: Iterable[str]) -> None:
        """Says all lines, then ends the session."""
        if sys.stdin.isatty():
            typer.secho(HELP, dim=True, err=True)
        for line in lines:
            words = line.split()
            if not words:
                continue
            if words[0] in {"/quit", "/exit"}:
                break
            try:
                self._take(session, line.strip(), words)
            except ValueError as error:
                typer.secho(f"{error} — {HELP}", fg="yellow", err=True)
        session.end()

    def _take(self, session: LiveSession, line: str, words: list[str]) -> None:
        if not words[0].startswith("/"):
            session.say(f"{line}\n")
            session.flush()
            return
        command = _COMMANDS.get(words[0])
        if command is None:
            raise ValueError(f"no command {words[0]}")
        command(self, session, words[1:])

    def voice(self, session: LiveSession, words: list[str]) -> None:
        """Does `/voice ID [when]`."""
        if not words or (len(words) > 1 and words[1] not in _POINTS):
            raise ValueError("/voice needs an id, then one of now, phrase, sentence")
        session.switch(words[0], _POINTS[words[1]] if len(words) > 1 else self._at, self._crossfade_ms)

    def stop(self, session: LiveSession, _words: list[str]) -> None:
        """Does `/stop`."""
        session.stop()

    def speed(self, session: LiveSession, words: list[str]) -> None:
        """Does `/speed FACTOR`."""
        if len(words) != 1:
            raise ValueError("/speed needs a factor, such as 1.2")
        session.set_speaking_rate(float(words[0]))

    def help(self, _session: LiveSession, _words: list[str]) -> None:
        """Does `/help`."""
        typer.secho(HELP, dim=True, err=True)


_COMMANDS: Mapping[str, Callable[[Typist, LiveSession, list[str]], None]] = {
    "/voice": Typist.voice,
    "/stop": Typist.stop,
    "/speed": Typist.speed,
    "/help": Typist.help,
}


class Clockwork:
    """Tells the server where a player is that begins with the first chunk and cannot be asked."""

    def __init__(self, session: LiveSession) -> None:
        self._session = session
        self._rate_hz = 0
        self._sent = 0
        self._played = 0.0
        self._seen_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def heard(self, event: LiveEvent) -> None:
        """Follows the events of the stream."""
        if isinstance(event, StreamStarted):
            self._rate_hz, self._seen_s = event.sample_rate_hz, time.monotonic()
            self._thread.start()
        elif isinstance(event, AudioChunk):
            self._sent = event.start_sample + event.samples
        elif isinstance(event, SynthesisDone):
            self._over.set()

    def _tick(self) -> None:
        while not self._over.wait(_TICK_S):
            now_s = time.monotonic()
            self._played = min(self._sent, self._played + (now_s - self._seen_s) * self._rate_hz)
            self._seen_s = now_s
            self._session.playhead(int(self._played))


def hear(session: LiveSession, sink: outputs.Output, clock: Clockwork | None) -> None:
    """Passes the audio on and tells the rest, to the end of the stream.

    Raises:
        ConnectionError: the end never came.
    """
    rate_hz = 1
    for event in session:
        if clock is not None:
            clock.heard(event)
        match event:
            case StreamStarted():
                rate_hz = event.sample_rate_hz
                _told(f"{event.voice_id} at {rate_hz} Hz, seed {event.seed}")
            case AudioChunk():
                sink.write(event.data)
            case VoiceChanged():
                _told(f"{event.voice_id} from {event.start_sample / rate_hz:.2f} s")
            case UtteranceCancelled():
                _told(f"stopped after {event.heard_text!r}; not heard: {event.unheard_text!r}")
            case Notice():
                _told(f"note: {event.message} ({event.code})", "yellow")
            case SynthesisDone():
                sink.finish(event.samples)
                _told(f"{event.samples / rate_hz:.2f} s spoken")
                return
    raise ConnectionError("the server ended the stream before it was done")


def _told(line: str, colour: str | None = None) -> None:
    with suppress(BrokenPipeError):
        typer.secho(line, fg=colour, dim=colour is None, err=True)
