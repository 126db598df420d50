"""One utterance as routines: phones and a prompt -> semantic tokens -> waveform.

Knows nothing of threads, of scheduling, of other utterances or of gRPC: it yields the device calls that it needs and is
sent their results. All state lives in the local variables of these generators and in the feed between them.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from typing import Any

import torch
from torch import Tensor

from voxswap_server.engine.faults import TokenWatch
from voxswap_server.engine.feed import TokenFeed
from voxswap_server.engine.job import DeviceCall, Emit, Growth, Work
from voxswap_server.engine.prompts import EncodedPrompt
from voxswap_server.engine.text_encoder import EncodedText
from voxswap_server.engine.voice import Voice
from voxswap_server.nn.decoder import TokenStream
from voxswap_server.nn.noise import NoiseSource
from voxswap_server.nn.sampling import SamplerState, Sampling, draw, token_limit
from voxswap_server.nn.specs import TOKEN_RATE_HZ
from voxswap_server.nn.t2s import KVCache, PrefillRow
from voxswap_server.nn.t2s_backends import TokenModel

PIECE_TOKENS = (10, 15, 25, 40)
"""How much audio each decoded piece holds (40 ms a token): small first ones are heard early, larger ones cost less."""
CHUNK_TOKENS = (6, 8, 12, 18, 28, 50)
"""How much more is heard after each chunk of tokens that are still being drawn. The last number repeats, and grows in
long utterances: the prior reads all tokens again for each chunk."""
FULL_TOKENS = PIECE_TOKENS[-1] * 3 // 2
"""In company a stream's audio is put off until there is so much: the most that `latents.spans` leaves in one piece."""
LONG_CHUNK = 4
"""A chunk of a long utterance is this part of what there is."""
_STILL_TOKENS = 2
"""So many different tokens say nothing yet: a voice that takes its time repeats one or two before its first sound."""
_LONGEST_LEAD_TOKENS = 25
_MORE_SAID_TOKENS = 8
"""Than silent before, in what the first chunk is made of."""


@dataclass(frozen=True, slots=True)
class SpeechParams:
    """What a request asks for, every default filled in."""

    sampling: Sampling
    seed: int
    speed: float
    """> 1 is faster."""
    pause_s: float
    """Silence after each utterance."""
    sample_steps: int
    """Of the flow-matching decoder."""
    exact: bool = True
    """Decode no token of an utterance before all of them are there."""
    live: bool = True
    """Somebody listens while it is made."""
    align: bool = False
    """Tell when each word and phone is heard."""


def semantic_tokens(
    voice: Voice,
    prompt: EncodedPrompt,
    text: EncodedText,
    params: SpeechParams,
    noise: NoiseSource,
    *,
    feed: TokenFeed | None = None,
    watch: TokenWatch | None = None,
) -> Generator[Work, Any, Tensor]:
    """Draws the semantic tokens (T,) of one utterance, a step at a time.

    Args:
        voice: leased.
        prompt: what is continued.
        text: the utterance.
        params: of the request.
        noise: of the utterance.
        feed: is given each token as it is drawn, and says how urgent the next one is; closing it ends the drawing.
        watch: is shown each token before the feed is.

    Raises:
        DegenerateAudio: the watch says so, or the utterance does not end.
    """
    t2s, feed = voice.t2s, feed or TokenFeed()
    limit = token_limit(t2s.config.max_s)
    phones = torch.cat((prompt.phones, text.phones))
    cache = t2s.new_cache(phones.numel() + prompt.tokens.numel(), limit)
    row = PrefillRow(phones, _joined_bert(t2s, prompt, text), prompt.tokens, cache)
    state = SamplerState.from_prompt(prompt.tokens, t2s.config.vocab_size)
    logits = yield DeviceCall(
        "t2s",
        partial(_prefill, t2s),
        row,
        batch_key=("prefill", voice.t2s_key),
        cost=phones.numel() + prompt.tokens.numel(),
        later_s=feed.later_s,
    )
    step, key = partial(_step, t2s), ("step", voice.t2s_key)
    while not feed.closed:
        drawn = draw(logits, state, params.sampling, noise)
        if drawn.stop:
            break
        if watch is not None:
            watch.see(drawn.token)
        feed.put(drawn.token)
        if len(state.tokens) == limit:
            if watch is not None:
                raise watch.runaway()
            break
        logits = yield DeviceCall("t2s", step, (drawn.token, cache), batch_key=key, later_s=feed.later_s)
    return torch.tensor(state.tokens, dtype=torch.long)


def whole_row(voice: Voice, prompt: EncodedPrompt, text: EncodedText, tokens: Tensor) -> PrefillRow:
    """An utterance that was drawn, (T,) tokens, to be read once more: how its tokens look at its phones."""
    phones, drawn = torch.cat((prompt.phones, text.phones)), torch.cat((prompt.tokens, tokens))
    cache = voice.t2s.new_cache(phones.numel() + drawn.numel(), 0)
    return PrefillRow(phones, _joined_bert(voice.t2s, prompt, text), drawn, cache, looks=[])


def waveform(
    voice: Voice,
    prompt: EncodedPrompt,
    text: EncodedText,
    tokens: Tensor,
    params: SpeechParams,
    noise: NoiseSource,
) -> Generator[Work, Any, int]:
    """Decodes one utterance, emitting pieces as they are ready; returns how many samples they had."""
    pieces = voice.decoder.synthesize(
        tokens,
        text.phones,
        prompt.conditioning,
        noise,
        speed=params.speed,
        steps=params.sample_steps,
        piece_tokens=PIECE_TOKENS,
    )
    return (yield from _made(pieces))


def streamed_waveform(
    voice: Voice, prompt: EncodedPrompt, feed: TokenFeed, params: SpeechParams, noise: NoiseSource
) -> Generator[Work, Any, int]:
    """Decodes one utterance while its tokens are being drawn, emitting audio as it is ready; returns its samples.

    What the prior is told when follows from numbers of tokens alone, so the same tokens are the same audio under any
    load; how much of it is made at once may depend on the load.
    Where the version cannot, or the request wants it exact, all tokens come first.

    Raises:
        Exception: what the drawing failed with.
    """
    yield from feed.until(1)
    if feed.text is None:
        raise ValueError("tokens came before their text")
    phones = feed.text.phones
    stream = None if params.exact else voice.decoder.stream(phones, prompt.conditioning, noise, speed=params.speed)
    if stream is None:
        yield from feed.until(float("inf"))
        tokens = torch.tensor(feed.tokens, dtype=torch.long)
        return (yield from waveform(voice, prompt, feed.text, tokens, params, noise))
    chunks, samples = Chunks(stream, feed, (yield from _lead_tokens(feed))), 0
    while not chunks.final:
        yield from feed.until(chunks.end)
        samples += yield from _made(chunks.pieces(), chunks)
        feed.heard = chunks.heard
    return samples


def _lead_tokens(feed: TokenFeed) -> Generator[Work, Any, int]:
    """Waits until something is said; returns how many tokens come before that."""
    lead = 0
    while lead < _LONGEST_LEAD_TOKENS and (yield from feed.until(lead + 1)):
        if len(set(feed.tokens[: lead + 1])) > _STILL_TOKENS:
            break
        lead += 1
    return lead


class Chunks:
    """What a stream says of a feed, chunk after chunk. Implements `job.Growth`.

    Args:
        stream: of the utterance.
        feed: its tokens.
        lead_tokens: before anything is said.
    """

    def __init__(self, stream: TokenStream, feed: TokenFeed, lead_tokens: int = 0) -> None:
        self._stream = stream
        self._feed = feed
        self._ends = _chunk_ends(stream.delay_tokens, lead_tokens)
        self.end = next(self._ends)
        """Tokens after which the next chunk is decoded."""
        self.final = False
        """There is none."""
        self.heard = 0
        """Tokens that were spoken, once the pieces are through."""
        self._gathers = False
        self._whole = False

    @property
    def _known(self) -> bool:
        return len(self._feed.tokens) >= self.end

    def pieces(self) -> Iterator[Tensor]:
        """The next chunk, or all that are there when the device begins with it, if it gathers."""
        early, ends = not self.heard and not self._whole, list[int]()
        while (not ends or self._gathers) and not self.final and (self._known or self._feed.ended):
            self.final = not self._known
            ends.append(len(self._feed.tokens) if self.final else self.end)
            if not self.final:
                self.end = next(self._ends)
        if ends:
            tokens = torch.tensor(self._feed.tokens[: ends[-1]], dtype=torch.long)
            self._stream.push(tokens, final=self.final, before=ends[:-1])
            self.heard = len(tokens) - (0 if self.final else self._stream.delay_tokens)
        yield from self._stream.speak((CHUNK_TOKENS[0], PIECE_TOKENS[-1]) if early else PIECE_TOKENS[-1:])

    def gather(self, *, whole: bool) -> None:
        """As `Growth.gather`."""
        self._gathers, self._whole = True, whole

    def later_s(self) -> float:
        """As `Growth.later_s`: a token behind those that make it grow, until it fills a piece."""
        waiting = len(self._feed.tokens) - self._stream.delay_tokens - self._feed.heard
        full = waiting >= FULL_TOKENS or not self._feed.grows
        return 0.0 if full else self._feed.unheard_s + 1 / TOKEN_RATE_HZ


def _chunk_ends(delay_tokens: int, lead_tokens: int) -> Iterator[int]:
    """After how many tokens the chunks of an utterance are decoded.

    A prior that has seen little but the silence before the first sound may take it for a sound that is held, which no
    voice was taught: the first chunk has more of what is said than of what comes before it.
    """
    known = max(delay_tokens, 2 * lead_tokens + _MORE_SAID_TOKENS - CHUNK_TOKENS[0])
    for size in chain(CHUNK_TOKENS, repeat(CHUNK_TOKENS[-1])):
        known += max(size, known // LONG_CHUNK if size == CHUNK_TOKENS[-1] else 0)
        yield known


def _made(pieces: Iterator[Tensor], growth: Growth | None = None) -> Generator[Work, Any, int]:
    """Emits pieces, each made by a device call of its own; returns how many samples they had.

    Args:
        pieces: made as they are asked for.
        growth: of what the first of them begins with.
    """
    samples = 0
    while (piece := (yield DeviceCall("decode", _next_piece, pieces, growth=growth))) is not None:
        growth = None
        samples += piece.size
        if piece.size:  # a step of the work may have made none yet
            yield Emit(piece)
    return samples


def _prefill(t2s: TokenModel, rows: list[PrefillRow]) -> list[Tensor]:
    return list(t2s.prefill(rows))


def _step(t2s: TokenModel, rows: list[tuple[int, KVCache]]) -> list[Tensor]:
    tokens = torch.tensor([token for token, _ in rows], dtype=torch.long, device=t2s.device)
    return list(t2s.step(tokens, [cache for _, cache in rows]))


def _next_piece(calls: list[Iterator[Tensor]]) -> list[Any]:
    """Decoding has no batch key, so there is one iterator; None when it is through."""
    piece = next(calls[0], None)
    return [None if piece is None else piece.numpy(force=True)]


def _joined_bert(t2s: TokenModel, prompt: EncodedPrompt, text: EncodedText) -> Tensor | None:
    """Features of the prompt's phones, then of the utterance's: (bert_dim, P), or None where both are zeros."""
    if prompt.bert is None and text.bert is None:
        return None
    width = t2s.config.bert_dim

    def filled(bert: Tensor | None, phones: Tensor) -> Tensor:
        return torch.zeros(width, phones.numel()) if bert is None else bert

    return torch.cat((filled(prompt.bert, prompt.phones), filled(text.bert, text.phones)), dim=1)
