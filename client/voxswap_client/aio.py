"""The client for asyncio.

Knows nothing of messages: `calls` says what each RPC sends and how its answer is read. A client belongs to the event
loop in which it was made.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Self

from google.protobuf.message import Message
from grpc import aio

from voxswap_client import calls
from voxswap_client.aio_caller import AsyncCaller
from voxswap_client.calls import Metadata, Rpc
from voxswap_client.connection import DEFAULT_ADDRESS, Stubs, Tls, connect_aio, stubs_of
from voxswap_client.convert.live import to_request
from voxswap_client.errors import NotFound
from voxswap_client.live import LiveEvent, LiveInput
from voxswap_client.live_session import AsyncLiveSession
from voxswap_client.residency import CacheStats, Health, Resident, ResidentEvent
from voxswap_client.retry import RetryPolicy, Timing
from voxswap_client.session import Session, bearing, new_request_id
from voxswap_client.speech import Speech, SpeechEvent, SpeechOptions
from voxswap_client.voices import NewVoice, SpeakerMatch, Voice, VoiceChanges

_DEFAULT_OPTIONS = SpeechOptions()


class AsyncClient:
    """Speaks to one voxswap server. Every method raises classes of `voxswap_client.errors`.

    A method that has one answer tries again as `retry` says, all within `timeout_s` seconds: its own argument, else the
    client's. Streams and uploads have no limit but their own argument. Cancelling a task cancels its call.

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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.address = address
        headers = (*bearing(api_key), *metadata)
        session = Session(timeout_s, retry or RetryPolicy(), headers, timing or Timing())
        self._channel: aio.Channel | None = None
        if stubs is None:
            self._channel = connect_aio(address, tls)
            stubs = stubs_of(self._channel)
        self._caller = AsyncCaller(stubs, session, sleep)

    async def close(self) -> None:
        """Closes the connection; calls that run are cancelled."""
        if self._channel is not None:
            await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Speaking.

    async def synthesize(
        self,
        text: str,
        voice_id: str,
        options: SpeechOptions = _DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        request_id: str = "",
    ) -> Speech:
        """The whole audio of a short text, as one file. Longer ones (about a minute) need `stream`."""
        return await self._caller.ask(calls.synthesize(text, voice_id, options), timeout_s, request_id)

    def stream(
        self,
        text: str,
        voice_id: str,
        options: SpeechOptions = _DEFAULT_OPTIONS,
        *,
        timeout_s: float | None = None,
        request_id: str = "",
    ) -> AsyncGenerator[SpeechEvent, None]:
        """Yields StreamStarted, the audio as it is made, and SynthesisDone.

        A try that fails before its first audio may be repeated, and its events are not seen. Closing the generator
        (`contextlib.aclosing` does so in time) cancels the synthesis.
        """
        return self._caller.listen(calls.stream(text, voice_id, options), timeout_s, request_id or new_request_id())

    @asynccontextmanager
    async def live(
        self,
        voice_id: str,
        options: SpeechOptions = _DEFAULT_OPTIONS,
        *,
        max_ahead_s: float | None = None,
        timeout_s: float | None = None,
        request_id: str = "",
    ) -> AsyncIterator[AsyncLiveSession]:
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
        session = AsyncLiveSession()
        events = self.live_events(
            session.inputs(), voice_id, options, max_ahead_s=max_ahead_s, timeout_s=timeout_s, request_id=request_id
        )
        async with aclosing(events):
            yield session.reading(events)

    async def live_events(
        self,
        inputs: AsyncIterable[LiveInput],
        voice_id: str,
        options: SpeechOptions = _DEFAULT_OPTIONS,
        *,
        max_ahead_s: float | None = None,
        timeout_s: float | None = None,
        request_id: str = "",
    ) -> AsyncGenerator[LiveEvent, None]:
        """What a live stream answers to inputs; never tried again.

        If `inputs` raises, what it gave before is spoken, and then its error is raised.
        """
        request_id = request_id or new_request_id()
        rpc = calls.live((), voice_id, options, max_ahead_s)
        async with aclosing(self._caller.converse(rpc, _messages(rpc, inputs), timeout_s, request_id)) as events:
            async for event in events:
                yield event

    # Voices.

    async def list_voices(self, language_code: str = "", *, timeout_s: float | None = None) -> tuple[Voice, ...]:
        """All voices, or those that speak a language, by rising id."""
        voices: list[Voice] = []
        page_token, more = "", True
        while more:
            page = await self._caller.ask(calls.list_voices(language_code, page_token), timeout_s)
            voices += page.voices
            page_token = page.next_page_token
            more = bool(page_token)
        return tuple(voices)

    async def get_voice(self, voice_id: str, *, timeout_s: float | None = None) -> Voice:
        return await self._caller.ask(calls.get_voice(voice_id), timeout_s)

    async def create_voice(self, voice: NewVoice, *, timeout_s: float | None = None) -> Voice:
        """Uploads a voice. No limit of time unless it is given one.

        Raises:
            OSError: a file cannot be read.
        """
        rpc = await asyncio.to_thread(calls.create_voice, voice)  # hashes its files
        return await self._caller.send(rpc, timeout_s)

    async def update_voice(self, voice_id: str, changes: VoiceChanges, *, timeout_s: float | None = None) -> Voice:
        return await self._caller.ask(calls.update_voice(voice_id, changes), timeout_s)

    async def delete_voice(self, voice_id: str, *, timeout_s: float | None = None) -> None:
        await self._caller.ask(calls.delete_voice(voice_id), timeout_s)

    async def embed_speaker(self, audio: bytes, *, timeout_s: float | None = None) -> tuple[float, ...]:
        """The speaker embedding of a whole audio file, of length 1."""
        return await self._caller.ask(calls.embed_speaker(audio), timeout_s)

    async def compare_speakers(self, first: bytes, second: bytes, *, timeout_s: float | None = None) -> float:
        """Cosine similarity of the speakers of two audio files, -1 to 1."""
        return await self._caller.ask(calls.compare_speakers(first, second), timeout_s)

    async def find_voices(
        self, audio: bytes, limit: int = 5, *, timeout_s: float | None = None
    ) -> tuple[SpeakerMatch, ...]:
        """The voices whose reference audio is nearest to an audio file, nearest first."""
        return await self._caller.ask(calls.find_voices(audio, limit), timeout_s)

    # Residency.

    async def load_voice(self, voice_id: str, *, timeout_s: float | None = None) -> Resident:
        """Makes a voice resident, and answers when it is."""
        return await self._caller.ask(calls.load_voice(voice_id), timeout_s)

    async def unload_voice(self, voice_id: str, *, wait: bool = False, timeout_s: float | None = None) -> None:
        """Frees a voice; with `wait`, answers when its memory is free."""
        await self._caller.ask(calls.unload_voice(voice_id, wait=wait), timeout_s)

    async def pin_voice(self, voice_id: str, *, timeout_s: float | None = None) -> Resident:
        """Makes a voice resident and keeps it from eviction."""
        return await self._caller.ask(calls.pin_voice(voice_id), timeout_s)

    async def unpin_voice(self, voice_id: str, *, timeout_s: float | None = None) -> Resident:
        return await self._caller.ask(calls.unpin_voice(voice_id), timeout_s)

    async def list_residents(self, *, timeout_s: float | None = None) -> tuple[Resident, ...]:
        return await self._caller.ask(calls.list_residents(), timeout_s)

    async def cache_stats(self, *, timeout_s: float | None = None) -> CacheStats:
        return await self._caller.ask(calls.cache_stats(), timeout_s)

    @asynccontextmanager
    async def watch_residents(self, *, timeout_s: float | None = None) -> AsyncIterator[AsyncIterator[ResidentEvent]]:
        """Events of residency, without end. None is missed from the moment that the block is entered."""
        async with self._caller.watch(calls.watch_residents(), timeout_s) as events:
            yield events

    # The server itself.

    async def health(self, service: str = "", *, timeout_s: float | None = None) -> Health:
        """Whether a service (a full name; "" is liveness) can serve."""
        try:
            return await self._caller.ask(calls.health(service), timeout_s)
        except NotFound:
            return calls.unknown_service(service)

    async def voice_health(self, voice_id: str, *, timeout_s: float | None = None) -> Health:
        """Whether one voice can speak."""
        return await self.health(calls.VOICE_SERVICE + voice_id, timeout_s=timeout_s)


async def _messages(rpc: Rpc[Any], inputs: AsyncIterable[LiveInput]) -> AsyncIterator[Message]:
    if callable(rpc.message):
        for first in rpc.message():
            yield first
    async for given in inputs:
        yield to_request(given)
