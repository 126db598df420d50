"""One request as a routine: the prompt, then its utterances in order, each followed by its pause.

Tokens of the next utterances are drawn while the present one is heard, as strands of the same job within a budget; what
they become is delivered in order, and nothing of an utterance outlives its delivery. Knows nothing of threads, of
scheduling or of gRPC.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from voxswap_server.audio.loudness import Loudness
from voxswap_server.engine.alignment import aligned
from voxswap_server.engine.faults import SoundWatch, TokenWatch
from voxswap_server.engine.feed import TokenFeed
from voxswap_server.engine.job import Begin, Emit, Routine, Tell, UtteranceRetried, UtteranceSpoken, Work
from voxswap_server.engine.pipeline import SpeechParams, semantic_tokens, streamed_waveform
from voxswap_server.engine.prompts import EncodedPrompt
from voxswap_server.engine.text_encoder import EncodedText, TextRoutine
from voxswap_server.engine.voice import Voice
from voxswap_server.errors import DegenerateAudio
from voxswap_server.nn.noise import PhiloxNoise, derived_seed

RETRIES = 1
"""Of an utterance that was not fit to be heard."""


@dataclass(frozen=True, slots=True)
class SpeechLine:
    """An utterance and the silence after it."""

    text: TextRoutine | None
    """Encodes it; None: there is only silence."""
    pause_ms: int | None
    """None is the usual pause of the request."""


@dataclass(frozen=True, slots=True)
class LookAhead:
    """How far the tokens of a request may run ahead of its audio."""

    utterances: int = 3
    """Whose tokens are drawn at once, the one that is heard included."""
    audio_s: float = 20.0
    """No further utterance is begun while tokens for so much audio wait."""


@dataclass(slots=True, eq=False)
class _Utterance:
    """One that was begun."""

    number: int
    """Counts the utterances of a request, silences not included: its noise is that of (seed, number)."""
    feed: TokenFeed
    noise: PhiloxNoise
    pause_samples: int


def speak(
    voice: Voice,
    params: SpeechParams,
    prompt: Generator[Work, Any, EncodedPrompt],
    lines: Iterable[SpeechLine],
    ahead: LookAhead = LookAhead(),
    *,
    first: int = 0,
) -> Routine:
    """Speaks lines in order.

    Args:
        voice: a leased bundle; the lease outlives the routine.
        params: what is asked for.
        prompt: encodes the prompt.
        lines: in order; taken as they are needed.
        ahead: how far tokens may run ahead.
        first: number of the first utterance, where these are not the first lines of their stream.

    Raises:
        DegenerateAudio: an utterance was not fit to be heard, and could not be spoken again.
    """
    encoded = yield from prompt
    yield from _Speech(voice, params, encoded, iter(lines), ahead, first).run()


class _Speech:
    """The state of one `speak`."""

    def __init__(
        self,
        voice: Voice,
        params: SpeechParams,
        prompt: EncodedPrompt,
        lines: Iterator[SpeechLine],
        ahead: LookAhead,
        first: int,
    ) -> None:
        self._voice = voice
        self._params = params
        self._prompt = prompt
        self._lines: Iterator[SpeechLine] | None = lines
        self._ahead = ahead
        self._next = first
        self._rate_hz = voice.spec.sample_rate_hz
        self._checked = voice.manifest.check_speech
        self._begun: deque[_Utterance | int] = deque()
        """Utterances, and silences by their samples, in the order in which they are heard."""
        self._feeds: deque[TokenFeed] = deque()
        """Of the utterances that were begun and are not through."""
        self._silent = params.live
        """Nothing was heard yet, and somebody listens for it: nothing else runs beside that."""

    def run(self) -> Routine:
        yield from self._begin_some()
        while self._begun:
            item = self._begun.popleft()
            if isinstance(item, int):
                yield from _silence(item, self._rate_hz)
            else:
                yield from self._spoken(item)
            yield from self._begin_some()

    # --- ahead ---------------------------------------------------------------------------------------------------

    def _begin_some(self) -> Generator[Work, Any, None]:
        """Begins what may be begun; at least one, if nothing is under way."""
        while self._lines is not None and self._may_begin():
            line = next(self._lines, None)
            if line is None:
                self._lines = None
                return
            usual = int(self._params.pause_s * self._rate_hz)
            pause = usual if line.pause_ms is None else line.pause_ms * self._rate_hz // 1000
            if line.text is None:
                self._begun.append(pause)
                continue
            self._begun.append((yield from self._started(self._next, line.text, pause, before=tuple(self._feeds))))
            self._next += 1

    def _may_begin(self) -> bool:
        if not self._feeds:
            return not self._begun
        waiting_s = sum(feed.unheard_s for feed in self._feeds)
        return not self._silent and len(self._feeds) < self._ahead.utterances and waiting_s < self._ahead.audio_s

    def _started(
        self,
        number: int,
        text: TextRoutine,
        pause_samples: int,
        *,
        attempt: int = 0,
        before: tuple[TokenFeed, ...] = (),
    ) -> Generator[Work, Any, _Utterance]:
        noise = PhiloxNoise(derived_seed(self._params.seed, attempt), number)
        feed = TokenFeed(before)
        self._feeds.append(feed)
        yield Begin(self._drawn(text, feed, noise))
        return _Utterance(number, feed, noise, pause_samples)

    def _drawn(self, text: TextRoutine, feed: TokenFeed, noise: PhiloxNoise) -> Generator[Work, Any, None]:
        """The strand of an utterance's tokens; whatever befalls it is told to its reader."""
        try:
            feed.text = yield from text
            watch = TokenWatch(feed.text.phones.numel()) if self._checked else None
            arguments = self._voice, self._prompt, feed.text, self._params, noise
            yield from semantic_tokens(*arguments, feed=feed, watch=watch)
        except Exception as error:
            feed.fail(error)
        else:
            feed.end()

    # --- heard ---------------------------------------------------------------------------------------------------

    def _spoken(self, utterance: _Utterance) -> Generator[Work, Any, None]:
        """Makes the audio of an utterance; where it is unfit before any of it was heard, once more."""
        for attempt in range(1, RETRIES + 2):
            watch, loudness = SoundWatch(), Loudness(self._rate_hz)
            try:
                samples = yield from self._listened(utterance, watch, loudness)
                break
            except DegenerateAudio as fault:
                if watch.samples or attempt > RETRIES:
                    raise
                yield Tell(UtteranceRetried(fault.fault, fault.message))
                utterance = yield from self._again(utterance, attempt)
        text = utterance.feed.text
        if self._params.align and text is not None:
            tokens = utterance.feed.tokens
            yield Tell((yield from aligned(self._voice, self._prompt, text, tokens, samples, loudness)))
        yield from _silence(utterance.pause_samples, self._rate_hz)
        yield Tell(UtteranceSpoken(len(utterance.feed.tokens), samples + utterance.pause_samples))

    def _again(self, utterance: _Utterance, attempt: int) -> Generator[Work, Any, _Utterance]:
        text = utterance.feed.text
        if text is None:
            raise ValueError("an utterance without text cannot be unfit")
        pause = utterance.pause_samples
        return (yield from self._started(utterance.number, _known(text), pause, attempt=attempt))

    def _listened(self, utterance: _Utterance, watch: SoundWatch, loudness: Loudness) -> Generator[Work, Any, int]:
        """Passes the audio of an utterance on, and tends to the utterances after it."""
        making = streamed_waveform(self._voice, self._prompt, utterance.feed, self._params, utterance.noise)
        answer: Any = None
        try:
            while True:
                try:
                    work = making.send(answer)
                except StopIteration as end:
                    samples: int = end.value
                    break
                if isinstance(work, Emit):
                    if self._checked:
                        watch.hear(work.samples)
                    if self._params.align:
                        loudness.push(work.samples)
                answer = yield work
                if isinstance(work, Emit):
                    self._silent = False
                yield from self._begin_some()
            if self._checked:
                watch.end()
            return samples
        finally:
            making.close()
            utterance.feed.close()
            self._feeds.remove(utterance.feed)


def _known(text: EncodedText) -> TextRoutine:
    """A text that was encoded before, as a routine."""
    yield from ()
    return text


def _silence(samples: int, rate_hz: int) -> Generator[Work, Any, None]:
    """In pieces of at most a second, so that no chunk of an answer grows with it."""
    for start in range(0, samples, rate_hz):
        yield Emit(np.zeros(min(rate_hz, samples - start), np.float32))
