"""A panel session: what callers may do, and the queue that it speaks.

Knows nothing of HTTP. All methods belong to one event loop.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from voxswap_server import logs
from voxswap_server.domain import ModelAdmin, Synthesizer
from voxswap_server.errors import RequestError
from voxswap_server.http.panel.audience import Audience
from voxswap_server.http.panel.config import PanelConfig
from voxswap_server.http.panel.desk import VoiceDesk
from voxswap_server.http.panel.lines import Line, Lines
from voxswap_server.http.panel.stage import Saying, Stage
from voxswap_server.http.problems import problem_of
from voxswap_server.ids import new_id


class SwitchAt(StrEnum):
    """When a new voice takes over."""

    NOW = "now"
    """It says the sentence that is being said again, as soon as it can."""
    NEXT = "next"
    """With the next sentence that begins once it is in memory."""


class PanelSession:
    """One session.

    Args:
        name: under which it is found.
        synthesizer: the engine, or a fake of it.
        admin: loads a voice before it is needed.
        config: bounds.
        clock: monotonic seconds.
    """

    def __init__(
        self, name: str, synthesizer: Synthesizer, admin: ModelAdmin, config: PanelConfig, clock: Callable[[], float]
    ) -> None:
        self.name = name
        self.audience = Audience(config.max_listeners)
        self.active_s = clock()
        """When it last had something to do."""
        self._admin = admin
        self._config = config
        self._clock = clock
        self._approval = False
        self._desk = VoiceDesk(config.default_voice)
        self._lines = Lines(config, clock)
        self._stage = Stage(synthesizer, self._desk, self.audience, config, clock, self._update)
        self._changed = asyncio.Event()
        self._speaking: asyncio.Task[Saying] | None = None
        self._background: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether nobody would miss it."""
        return not self.audience and self._speaking is None and not self._lines.waiting

    def say(self, text: str, *, user: str = "", voice_id: str = "") -> Line:
        """Queues a line.

        Raises:
            RequestError, TooManyLines: it is refused.
        """
        if not (voice_id or self._desk.anyone):
            raise RequestError(
                "no voice was chosen: switch to one first, or name one for this line, or set http.panel.default_voice",
                field="voice",
            )
        line, dropped = self._lines.offer(text, user=user, voice_id=voice_id, approved=not self._approval)
        for one in dropped:
            self._done(one, "dropped")
        self._update()
        return line

    def switch(self, voice_id: str, at: SwitchAt) -> None:
        """Another voice. What it cannot do is told to the audience, and the old one goes on."""
        if at is SwitchAt.NEXT and self._stage.saying is not None:
            self._desk.arm(voice_id)
            work = self._load(voice_id)
        else:
            self._desk.switching = voice_id
            work = self._cut_to(voice_id)
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        self._update()

    def skip(self) -> None:
        """Ends the line that is being said."""
        if self._speaking is not None:
            self._speaking.cancel()

    def panic(self) -> None:
        """Ends everything, now."""
        self._desk.stay()
        for line in self._lines.clear():
            self._done(line, "dropped")
        self.skip()
        self._stage.flush()
        self._update()

    def pause(self) -> None:
        if not self._stage.timeline.paused:
            self._stage.timeline.pause()
            self._update()

    def resume(self) -> None:
        if self._stage.timeline.paused:
            self._stage.timeline.resume()
            self._update()

    def moderate(self, *, approval: bool) -> None:
        """Whether lines wait until somebody lets them through."""
        self._approval = approval
        if not approval:
            self._lines.approve_all()
        self._update()

    def approve(self, number: int) -> None:
        """
        Raises:
            NoSuchLine: it does not wait.
        """
        self._lines.approve(number)
        self._update()

    def remove(self, number: int) -> None:
        """
        Raises:
            NoSuchLine: it does not wait.
        """
        self._done(self._lines.remove(number), "removed")
        self._update()

    def clear(self) -> None:
        """Forgets the lines that wait; the one that is being said goes on."""
        for line in self._lines.clear():
            self._done(line, "dropped")
        self._update()

    def state(self) -> dict[str, Any]:
        """Everything that a page shows."""
        saying, timeline = self._stage.saying, self._stage.timeline
        return {
            "type": "state",
            "session": self.name,
            "voice_id": self._desk.current,
            "armed": self._desk.armed,
            "switching": self._desk.switching,
            "paused": timeline.paused,
            "approval": self._approval,
            "saying": None if saying is None else asdict(saying.line) | {"sentence": saying.text},
            "queue": [asdict(line) for line in self._lines.waiting],
            "sample_rate_hertz": self._config.sample_rate_hz,
            "next_sample": timeline.sent,
            "listeners": len(self.audience),
        }

    async def run(self) -> None:
        """Speaks until it is cancelled."""
        try:
            while True:
                # Who switches while nothing is being said means the next line.
                free = not self._stage.timeline.paused and not self._desk.switching
                line = self._lines.take() if free else None
                if line is None:
                    self._changed.clear()
                    await self._changed.wait()
                else:
                    await self._speak(line)
        finally:
            for task in self._background:
                task.cancel()
            await asyncio.gather(*self._background, return_exceptions=True)

    async def _speak(self, line: Line) -> None:
        """One line to its end, however it ends."""
        request_id = new_id()
        with logs.request_context(request_id, request_id):
            self._speaking = asyncio.create_task(self._stage.say(line))
            try:
                await asyncio.wait({self._speaking})
            finally:
                self._speaking.cancel()
                await asyncio.wait({self._speaking})
                self._tell_outcome(line, self._speaking, request_id)
                self._speaking = None
                self._update()

    def _tell_outcome(self, line: Line, spoken: "asyncio.Task[Saying]", request_id: str) -> None:
        if spoken.cancelled():
            self._stage.flush()
            self._done(line, "skipped")
        elif (error := spoken.exception()) is not None:
            problem = problem_of(error, request_id).document
            self._done(line, "failed", reason=problem["reason"], message=problem["detail"])
            bug = error if problem["status"] >= 500 else None
            level = logging.ERROR if bug else logging.INFO
            logs.canonical("panel", error=bug, level=level, session=self.name, line=line.number, code=problem["reason"])
        else:
            self._done(line, "spoken", underrun_ms=round(spoken.result().underrun_ms, 1))
            logs.canonical("panel", session=self.name, line=line.number, code="OK")

    async def _cut_to(self, voice_id: str) -> None:
        try:
            if self._stage.saying is None:
                await self._admin.load_voice(voice_id)
                if self._desk.arrive(voice_id):
                    self._stage.tell_voice()
            else:
                await self._stage.cut_to(voice_id)
        except Exception as error:
            self._keep_voice(voice_id, error)
        self._update()

    async def _load(self, voice_id: str) -> None:
        """Has a voice ready before its turn."""
        try:
            await self._admin.load_voice(voice_id)
            self._desk.loaded(voice_id)
        except Exception as error:
            self._keep_voice(voice_id, error)
            self._update()

    def _keep_voice(self, voice_id: str, error: Exception) -> None:
        """Whatever went wrong: whoever speaks goes on, and it is told."""
        self._desk.give_up(voice_id)
        request_id = new_id()
        problem = problem_of(error, request_id).document
        if problem["status"] >= 500:
            with logs.request_context(request_id, request_id):
                logs.canonical("panel", error=error, level=logging.ERROR, session=self.name, code=problem["reason"])
        self.audience.tell({"type": "warning", "code": problem["reason"], "message": problem["detail"]})

    def _done(self, line: Line, outcome: str, **more: Any) -> None:
        self.audience.tell({"type": "line_done", "line": line.number, "outcome": outcome, **more})

    def _update(self) -> None:
        """Something changed: whoever waits looks again, and everyone is told."""
        self.active_s = self._clock()
        self._changed.set()
        self._stage.wake()
        self.audience.tell(self.state())
