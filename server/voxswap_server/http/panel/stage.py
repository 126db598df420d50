"""Speaks the lines of a session to its audience, at the pace at which they are heard.

Knows nothing of queues or of who asks. Audio is sent a fraction of a second ahead of being heard, so a switch or a skip
is heard at once. The next sentence is made while one is being heard.
"""

import asyncio
import struct
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from voxswap_server.domain import (
    AudioChunk,
    AudioFormat,
    Language,
    LanguageMode,
    Notice,
    SynthesisDone,
    SynthesisRequest,
    Synthesizer,
)
from voxswap_server.http.panel.audience import Audience
from voxswap_server.http.panel.config import PanelConfig
from voxswap_server.http.panel.desk import VoiceDesk
from voxswap_server.http.panel.lines import Line
from voxswap_server.http.panel.take import Take
from voxswap_server.http.panel.timeline import LEVEL_S, Timeline, levels
from voxswap_server.text.sentences import SentenceCutter

FRAME_S = 0.1
"""Longest audio of one frame."""
FRAME_HEADER = struct.Struct("<Q")
"""Of a binary frame: the sample of the session's timeline at which its audio starts; 16-bit samples follow."""


@dataclass(slots=True)
class Saying:
    """What is being said now."""

    line: Line
    sentence: int = 0
    """Which of the session's sentences, so that a late switch knows that it is too late."""
    text: str = ""
    underrun_ms: float = 0.0


class Stage:
    """Where lines are spoken, one at a time.

    Args:
        synthesizer: the engine, or a fake of it.
        desk: who speaks.
        audience: who hears it.
        config: bounds.
        clock: monotonic seconds.
        on_change: called whenever what a page shows has changed.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        desk: VoiceDesk,
        audience: Audience,
        config: PanelConfig,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self.timeline = Timeline(config.sample_rate_hz, clock)
        self.saying: Saying | None = None
        self._synthesizer = synthesizer
        self._desk = desk
        self._audience = audience
        self._config = config
        self._on_change = on_change
        self._woken = asyncio.Event()
        self._sentences = 0
        self._swap: Take | None = None
        self._playing: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Something changed that may let it go on."""
        self._woken.set()

    def flush(self) -> None:
        """What was sent and not heard is to be dropped by those who play it."""
        heard = self.timeline.heard
        self.timeline.flush()
        self._audience.tell({"type": "flush", "heard_sample": heard, "next_sample": self.timeline.sent})

    def tell_voice(self) -> None:
        message = {"type": "voice_changed", "voice_id": self._desk.current, "start_sample": self.timeline.sent}
        self._audience.tell(message)

    async def say(self, line: Line) -> Saying:
        """Speaks a line.

        Raises:
            VoxswapError: it cannot be spoken to its end.
        """
        saying = self.saying = Saying(line)
        take: Take | None = None
        following: Take | None = None
        try:
            sentences = cut(line.text)
            for index, text in enumerate(sentences):
                take, following = following, None
                if self._desk.take_over():
                    self.tell_voice()
                if take is not None and take.voice_id not in {"", self._voice_of(saying)}:
                    await take.aclose()  # a switch came after it had been begun
                    take = None
                take = take or self._take(saying, text)
                following = self._take(saying, sentences[index + 1], take) if sentences[index + 1 :] else None
                self._sentences += 1
                saying.sentence, saying.text = self._sentences, text
                take = await self._hear(saying, take)
                await take.aclose()
        finally:
            self.saying = None
            for one in (take, following, self._swap):
                if one is not None:
                    await one.aclose()
            self._swap = None
        return saying

    async def cut_to(self, voice_id: str) -> None:
        """Makes the sentence that is being said anew in another voice, and cuts to that when it can be heard.

        Raises:
            VoxswapError: the voice cannot speak it; whoever speaks goes on.
        """
        saying = self.saying
        if saying is None:
            return
        sentence, take = saying.sentence, Take(self._synthesizer, lambda: self._request(voice_id, saying.text))
        try:
            await take.audible()
            if not self._desk.arrive(voice_id):
                return
            if self.saying is saying and saying.sentence == sentence and self._playing is not None:
                saying.line = replace(saying.line, voice_id="")
                self._swap = take
                self._playing.cancel()
            self.tell_voice()
        finally:
            if self._swap is not take:
                await take.aclose()

    async def _hear(self, saying: Saying, take: Take) -> Take:
        """One sentence to its end; the take that it was heard from, which a switch may have changed.

        Where it does not come to its end, nothing of that take is made any more.
        """
        whole = False
        try:
            while True:
                self._playing = asyncio.create_task(self._play(saying, take))
                try:
                    await asyncio.wait({self._playing})
                finally:
                    self._playing.cancel()
                if not self._playing.cancelled():
                    self._playing.result()
                    whole = True
                    return take
                swap, self._swap = self._swap, None
                if swap is None:
                    raise asyncio.CancelledError
                self.flush()
                old, take = take, swap
                await old.aclose()
        finally:
            if not whole:
                await take.aclose()

    async def _play(self, saying: Saying, take: Take) -> None:
        step, begun = round(FRAME_S * self._config.sample_rate_hz), False
        while (event := await take.next()) is not None:
            if isinstance(event, AudioChunk):
                pcm = np.frombuffer(event.data, "<i2")
                for start in range(0, pcm.size, step):
                    await self._room()
                    if not begun:
                        begun = True
                        self._begin(saying, take)
                    self._send(pcm[start : start + step])
            elif isinstance(event, Notice):
                self._audience.tell({"type": "warning", "code": event.code, "message": event.message})
            elif isinstance(event, SynthesisDone):
                saying.underrun_ms += event.underrun_ms
                told = {"ttfa_ms": round(event.ttfa_ms, 1), "rtf": round(event.rtf, 3)}
                self._audience.tell({"type": "sentence_done", "line": saying.line.number, **told})

    async def _room(self) -> None:
        """Waits until more may be sent."""
        while self.timeline.paused or self.timeline.ahead_s > self._config.ahead_s:
            self._woken.clear()
            left_s = None if self.timeline.paused else self.timeline.ahead_s - self._config.ahead_s
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._woken.wait()

    def _begin(self, saying: Saying, take: Take) -> None:
        self._audience.tell(
            {
                "type": "sentence",
                "line": saying.line.number,
                "user": saying.line.user,
                "text": saying.text,
                "voice_id": take.voice_id,
                "start_sample": self.timeline.sent,
            }
        )
        self._on_change()

    def _send(self, pcm: NDArray[np.int16]) -> None:
        start_sample, rate_hz = self.timeline.sent, self._config.sample_rate_hz
        told = {
            "type": "levels",
            "start_sample": start_sample,
            "step_samples": round(LEVEL_S * rate_hz),
            "heard_in_ms": round(self.timeline.ahead_s * 1000, 1),
            "levels": levels(pcm, rate_hz),
        }
        self.timeline.send(pcm.size)
        self._audience.play(FRAME_HEADER.pack(start_sample) + pcm.tobytes(), told)

    def _take(self, saying: Saying, text: str, after: Take | None = None) -> Take:
        return Take(self._synthesizer, lambda: self._request(self._voice_of(saying), text), after)

    def _voice_of(self, saying: Saying) -> str:
        return saying.line.voice_id or self._desk.coming

    def _request(self, voice_id: str, text: str) -> SynthesisRequest:
        return SynthesisRequest(
            request_id=uuid.uuid4().hex,
            voice_id=voice_id,
            text=text,
            language=Language("", LanguageMode.AUTO),
            audio=AudioFormat(sample_rate_hz=self._config.sample_rate_hz),
        )


def cut(text: str) -> list[str]:
    """The sentences of a line."""
    cutter = SentenceCutter()
    return [*cutter.push(text), *cutter.flush()]
