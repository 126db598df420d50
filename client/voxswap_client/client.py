"""The client for threads.

Knows nothing of messages: `calls` says what each RPC sends and how its answer is read. One client may be shared by any
number of threads.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Self

import grpc

from voxswap_client import calls
from voxswap_client.caller import Caller
from voxswap_client.calls import Metadata
from voxswap_client.connection import DEFAULT_ADDRESS, Stubs, Tls, connect, stubs_of
from voxswap_client.errors import NotFound
from voxswap_client.live import LiveEvent, LiveInput
from voxswap_client.live_session import LiveSession
from voxswap_client.residency import CacheStats, Health, Resident, ResidentEvent
from voxswap_client.retry import RetryPolicy, Timing
from voxswap_client.session import Session, bearing, new_request_id
from voxswap_client.speech import Speech, SpeechEvent, SpeechOptions
from voxswap_client.voices import NewVoice, SpeakerMatch, Voice, VoiceChanges

_DEFAULT_OPTIONS = SpeechOptions()


class Client:
    """Speaks to one voxswap server. Every method raises classes of `voxswap_client.errors`.

    A method that has one answer tries again as `retry` says, all within `timeout_s` seconds: its own argument, else the
    client's. Streams and uploads have no limit but their own argument.

    Args:
        address: host:port.
        tls: None speaks plain text.
        api_key: for servers that ask for one. Without TLS, whoever is on the way can read it.
        timeout_s: for calls with one answer; None is no limit.
        retry: when a call is tried again.
        metadata: sent with every call.
        stubs: used instead of a connection.
        timing: clock and chance of the retries.
        sleep: waits between tries, in seconds.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        tls: Tls | None = None,
        api_key: str = "",
        timeout_s: float | None = 60.0,
        retry: RetryPolicy | None = None,
        metadata: Metadata = (),
        stubs: Stubs | None = None,
        timing: Timing | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.address = address
        headers = (*bearing(api_key), *metadata)
        session = Session(timeout_s, retry or RetryPolicy(), headers, timing or Timing())
        self._channel: grpc.Channel | None = None
        if stubs is None:
            self._channel = connect(address, tls)
            stubs = stubs_of(self._channel)
        self._caller = Caller(stubs, session, sleep)

    def close(self) -> None:
        """Closes the connection; calls that run are cancelled."""
        if self._channel is not None:
            self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Speaking.

    def synthesize(
        self,
        text: str,
        voice_id: str,
        options: SpeechOptions = _DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        request_id: str = "",
    ) -> Speech:
        """The whole audio of a short text, as one file. Longer ones (about a minute) need `stream`."""
        return self._caller.ask(calls.synthesize(text, voice_id, options), timeout_s, request_id)

    def stream(
        self,
        text: str,
        voice_id: str,
        options: SpeechOptions = _DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        request_id: str = "",
    ) -> Generator[SpeechEvent, None, None]:
        """Yields StreamStarted, the audio as it is made, and SynthesisDone.

        A try that fails before its first audio may be repeated, and its events are not seen. Closing the generator
        cancels the synthesis.
        """
        return self._caller.listen(calls.stream(text, voice_id, options), timeout_s, request_id or new_request_id())

    @contextmanager
    def live(
        self,
        voice_id: str,
        options: SpeechOptions = _DEFAULT_OPTIONS,
        *,
        max_ahead_s: float | None = None,
        timeout_s: float | None = None,
        request_id: str = "",
    ) -> Iterator[LiveSession]:
        """A live stream to hold: text is spoken while it comes, voices change, the listener may interrupt.

        Leaving the block cancels what is still spoken.

        Args:
            voice_id: the voice that it begins with.
            options: as of `stream`; a prompt is that of the first voice alone.
            max_ahead_s: audio is sent at most so far ahead of the playhead, which is 0 until it is told. None: no
                limit before the first playhead.
            timeout_s: for the whole stream.
            request_id: for the logs.
        """
        session = LiveSession()
        events = self.live_events(
            session.inputs(), voice_id, options, max_ahead_s=max_ahead_s, timeout_s=timeout_s, request_id=request_id
        )
        try:
            with closing(events):
                yield session.reading(events)
        finally:
            session.end()  # whoever waits for the next input is let go

    def live_events(
        self,
        inputs: Iterable[LiveInput],
        voice_id: str,
        options: SpeechOptions = _DEFAULT_OPTIONS,
        *,
        max_ahead_s: float | None = None,
        timeout_s: float | None = None,
        request_id: str = "",
    ) -> Generator[LiveEvent, None, None]:
        """What a live stream answers to inputs; never tried again.

        `inputs` is read by a thread of gRPC's. If it raises, what it gave before is spoken, then its error is raised.
        """
        request_id = request_id or new_request_id()
        yield from self._caller.converse(calls.live(inputs, voice_id, options, max_ahead_s), timeout_s, request_id)

    # Voices.

    def list_voices(self, language_code: str = "", *, timeout_s: float | None = None) -> tuple[Voice, ...]:
        """All voices, or those that speak a language, by rising id."""
        voices: list[Voice] = []
        page_token, more = "", True
        while more:
            page = self._caller.ask(calls.list_voices(language_code, page_token), timeout_s)
            voices += page.voices
            page_token = page.next_page_token
            more = bool(page_token)
        return tuple(voices)

    def get_voice(self, voice_id: str, *, timeout_s: float | None = None) -> Voice:
        return self._caller.ask(calls.get_voice(voice_id), timeout_s)

    def create_voice(self, voice: NewVoice, *, timeout_s: float | None = None) -> Voice:
        """Uploads a voice. No limit of time unless it is given one.

        Raises:
            OSError: a file cannot be read.
        """
        return self._caller.send(calls.create_voice(voice), timeout_s)

    def update_voice(self, voice_id: str, changes: VoiceChanges, *, timeout_s: float | None = None) -> Voice:
        return self._caller.ask(calls.update_voice(voice_id, changes), timeout_s)

    def delete_voice(self, voice_id: str, *, timeout_s: float | None = None) -> None:
        self._caller.ask(calls.delete_voice(voice_id), timeout_s)

    def embed_speaker(self, audio: bytes, *, timeout_s: float | None = None) -> tuple[float, ...]:
        """The speaker embedding of a whole audio file, of length 1."""
        return self._caller.ask(calls.embed_speaker(audio), timeout_s)

    def compare_speakers(self, first: bytes, second: bytes, *, timeout_s: float | None = None) -> float:
        """Cosine similarity of the speakers of two audio files, -1 to 1."""
        return self._caller.ask(calls.compare_speakers(first, second), timeout_s)

    def find_voices(self, audio: bytes, limit: int = 5, *, timeout_s: float | None = None) -> tuple[SpeakerMatch, ...]:
        """The voices whose reference audio is nearest to an audio file, nearest first."""
        return self._caller.ask(calls.find_voices(audio, limit), timeout_s)

    # Residency.

    def load_voice(self, voice_id: str, *, timeout_s: float | None = None) -> Resident:
        """Makes a voice resident, and answers when it is."""
        return self._caller.ask(calls.load_voice(voice_id), timeout_s)

    def unload_voice(self, voice_id: str, *, wait: bool = False, timeout_s: float | None = None) -> None:
        """Frees a voice; with `wait`, answers when its memory is free."""
        self._caller.ask(calls.unload_voice(voice_id, wait=wait), timeout_s)

    def pin_voice(self, voice_id: str, *, timeout_s: float | None = None) -> Resident:
        """Makes a voice resident and keeps it from eviction."""
        return self._caller.ask(calls.pin_voice(voice_id), timeout_s)

    def unpin_voice(self, voice_id: str, *, timeout_s: float | None = None) -> Resident:
        return self._caller.ask(calls.unpin_voice(voice_id), timeout_s)

    def list_residents(self, *, timeout_s: float | None = None) -> tuple[Resident, ...]:
        return self._caller.ask(calls.list_residents(), timeout_s)

    def cache_stats(self, *, timeout_s: float | None = None) -> CacheStats:
        return self._caller.ask(calls.cache_stats(), timeout_s)

    @contextmanager
    def watch_residents(self, *, timeout_s: float | None = None) -> Iterator[Iterator[ResidentEvent]]:
        """Events of residency, without end. None is missed from the moment that the `with` block is entered."""
        with self._caller.watch(calls.watch_residents(), timeout_s) as events:
            yield events

    # The server itself.

    def health(self, service: str = "", *, timeout_s: float | None = None) -> Health:
        """Whether a service (a full name; "" is liveness) can serve."""
        try:
            return self._caller.ask(calls.health(service), timeout_s)
        except NotFound:
            return calls.unknown_service(service)

    def voice_health(self, voice_id: str, *, timeout_s: float | None = None) -> Health:
        """Whether one voice can speak."""
        return self.health(calls.VOICE_SERVICE + voice_id, timeout_s=timeout_s)
