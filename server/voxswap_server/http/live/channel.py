"""`GET /v1/live`: a WebSocket that is one live stream.

Knows nothing of how speech is made. Back-pressure goes both ways: events are read no faster than the caller takes them,
and messages no faster than the engine does.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing

from voxswap_server.canonical import SpeechOnRecord
from voxswap_server.domain import AudioChunk
from voxswap_server.domain_live import LiveMessage, LiveSynthesizer
from voxswap_server.errors import Cancelled
from voxswap_server.http.calls import Call
from voxswap_server.http.live import messages
from voxswap_server.http.sockets import Channel, Socket
from voxswap_server.logs import annotate


class Live:
    """The channel of this surface."""

    def __init__(self, synthesizer: LiveSynthesizer) -> None:
        self._synthesizer = synthesizer

    def channels(self) -> tuple[Channel, ...]:
        return (Channel("/v1/live", self.speak),)

    async def speak(self, call: Call, socket: Socket) -> None:
        await socket.open()
        first = messages.read(await heard(socket))
        config = messages.to_config(first, request_id=call.request_id, deadline_s=call.deadline_s)
        annotate(voice=config.speech.voice_id)
        record = SpeechOnRecord()
        async with aclosing(self._synthesizer.live(config, said(socket))) as events:
            async for event in events:
                record.show(event)
                if isinstance(event, AudioChunk):
                    await socket.send(messages.frame_of(event))
                    continue
                await socket.tell(messages.told(event))


async def said(socket: Socket) -> AsyncIterator[LiveMessage]:
    """What the caller says, until it says that it is the end.

    Raises:
        Cancelled: it went away without.
        RequestError: it says what cannot be said.
    """
    while (message := messages.to_message(messages.read(await heard(socket)))) is not None:
        yield message


async def heard(socket: Socket) -> str | bytes:
    """The next frame.

    Raises:
        Cancelled: the caller went away.
    """
    frame = await socket.hear()
    if frame is None:
        raise Cancelled("the caller went away")
    return frame
