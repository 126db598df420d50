"""The token generator: prefill, steps and draws as the case lists them, with its recorded noise.

Knows nothing of text and waveforms: phones, text features and prompt tokens come in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from voxswap_server.nn.noise import SMALLEST_EXPONENTIAL, NoiseSource, RecordedNoise, ZeroNoise
from voxswap_server.nn.sampling import EARLY_STOP_RATE_HZ, EOS_FREE_STEPS, MAX_STEPS, SamplerState, Sampling, draw
from voxswap_server.nn.sampling import penalised as apply_penalty
from voxswap_server.nn.t2s import PrefillRow
from voxswap_server.nn.t2s_backends import TokenModel
from voxswap_server.parity.cases import CallSettings, Case
from voxswap_server.parity.compare import Row, Stage, whole_numbers

_END_OF_ROW = -1
_NAIVE = "infer_panel_naive"


@dataclass
class _Generation:
    """One row while it runs."""

    input: PrefillRow
    state: SamplerState
    drawn: list[int] = field(default_factory=list)
    """Every token, the one that ended it too."""
    ended: bool = False
    """By the end of speech, not by a limit."""


class _SampleNoise:
    """One draw of [rows still running, vocabulary] a step; the stream goes on from call to call."""

    def __init__(self, seed: int | None) -> None:
        # The legacy stream is what the goldens are defined by.
        self._random = None if seed is None else np.random.RandomState(seed)

    def sources(self, step: int, rows: int, vocab: int) -> list[NoiseSource]:
        if self._random is None:
            return [ZeroNoise()] * rows
        width = vocab - 1 if step < EOS_FREE_STEPS else vocab
        draws = self._random.standard_exponential((rows, width)).astype(np.float32)
        clocks = torch.from_numpy(np.maximum(draws, np.float32(SMALLEST_EXPONENTIAL)))
        return [RecordedNoise(exponentials={step: row}) for row in clocks]


class _Stages:
    """Compares what the case stores of each step; steps count over all calls."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._step = 0
        self._logits, self._penalised = Stage(case.name, "logits"), Stage(case.name, "penalised")

    def compare(self, logits: Tensor, running: Sequence[_Generation], penalty: float, place: str = "") -> None:
        """Logits (B, vocab) of the running rows, before they draw. `place` is "last", or "" for the next step."""
        if not place:
            place = str(self._step)
            self._step += 1
        name = f"s1_logits_{place}"
        if self._case.has(name):
            golden = self._case.array(name)
            self._logits.tensors(logits[:, : golden.shape[1]], golden, f"step {place}")
        name = f"s1_penalised_{place}"
        if self._case.has(name):
            golden = self._case.array(name)
            width = golden.shape[1]
            rows = zip(logits[:, :width].numpy(), running, strict=True)
            ours = np.stack([apply_penalty(row, one.state.seen[:width], penalty) for row, one in rows])
            self._penalised.tensors(ours, golden, f"step {place}")

    def rows(self) -> list[Row]:
        return [stage.row() for stage in (self._logits, self._penalised) if stage.compared]


@torch.inference_mode()
def replay_t2s(case: Case, t2s: TokenModel, bert: Sequence[Tensor | None]) -> list[Row]:
    """Rows "logits", "tokens", and where they are stored "penalised" and "samples".

    Args:
        case: what to replay; upstream's own phones and prompt tokens are used.
        t2s: the network.
        bert: text features (bert_dim, phones) of every segment; None stands for zeros.
    """
    stages = _Stages(case)
    noise = _SampleNoise(case.record.sample_noise.seed if case.record.sample_noise else None)
    ours: list[int] = []
    theirs: list[int] = []
    drawn: list[int] = []
    if case.streams:
        theirs = list(_flat(case.record.s1_stream_tokens))
    for call in case.calls():
        generations = [_start(case, t2s, phones, bert) for phones in call.all_phones]
        _run(t2s, generations, call.kw, stages, noise)
        for generation, kept in zip(generations, call.tokens, strict=True):
            ours += [*_kept(generation, naive=call.fn.startswith(_NAIVE), prompt=case.has_prompt), _END_OF_ROW]
            theirs += [*kept, _END_OF_ROW]
            drawn += generation.drawn
    for index in case.targets if case.streams else ():
        generation = _start(case, t2s, case.prompt_phones + case.record.text_segments[index].phones, bert)
        _run(t2s, [generation], _stream_settings(case, t2s), stages, noise)
        ours += generation.drawn
    rows = [*stages.rows(), whole_numbers(case.name, "tokens", ours, theirs)]
    if case.has("s1_samples"):
        rows.append(whole_numbers(case.name, "samples", drawn, case.array("s1_samples").tolist()))
    return rows


def segment_of(case: Case, phones: Sequence[int]) -> int:
    """Index of the segment that a row of prompt and target phones speaks."""
    target = tuple(phones[len(case.prompt_phones) :])
    return next(index for index in case.targets if case.record.text_segments[index].phones == target)


def _start(case: Case, t2s: TokenModel, phones: Sequence[int], bert: Sequence[Tensor | None]) -> _Generation:
    prompt = torch.tensor(case.record.prompt_semantic if case.has_prompt else (), dtype=torch.long)
    segments = ([0] if case.has_prompt else []) + [segment_of(case, phones)]
    features = None
    if any(bert[index] is not None for index in segments):
        features = torch.cat([_filled(case, bert, index, t2s.config.bert_dim) for index in segments], dim=1)
    cache = t2s.new_cache(len(phones) + len(prompt), MAX_STEPS)
    row = PrefillRow(torch.tensor(phones), features, prompt, cache)
    return _Generation(row, SamplerState.from_prompt(prompt, t2s.config.vocab_size))


def _filled(case: Case, bert: Sequence[Tensor | None], index: int, width: int) -> Tensor:
    part = bert[index]
    return torch.zeros(width, len(case.record.text_segments[index].phones)) if part is None else part


def _run(
    t2s: TokenModel, generations: Sequence[_Generation], settings: CallSettings, stages: _Stages, noise: _SampleNoise
) -> None:
    """Runs rows together until each has ended; rows that have leave the batch."""
    params = Sampling(settings.top_k, settings.top_p, settings.temperature, settings.repetition_penalty)
    running = list(generations)
    logits = t2s.prefill([one.input for one in running])
    for step in range(MAX_STEPS):
        stages.compare(logits, running, params.repetition_penalty)
        for row, one, source in zip(
            logits, running, noise.sources(step, len(running), t2s.config.vocab_size), strict=True
        ):
            result = draw(row, one.state, params, source)
            one.drawn.append(result.token)
            one.ended = result.stop
        # Upstream stops early once there are more tokens than the limit.
        going = [one for one in running if not one.ended and len(one.drawn) <= settings.early_stop_num]
        if not going:
            stages.compare(logits, running, params.repetition_penalty, "last")
            return
        running = going
        logits = t2s.step(torch.tensor([one.drawn[-1] for one in running]), [one.input.cache for one in running])


def _kept(generation: _Generation, *, naive: bool, prompt: bool) -> list[int]:
    """What upstream keeps: at a limit its naive function loses the first token and its batched one the last."""
    if generation.ended:
        return generation.drawn[:-1]
    if not naive:
        return generation.drawn[:-1]
    return generation.drawn[1:] if prompt else generation.drawn


def _stream_settings(case: Case, t2s: TokenModel) -> CallSettings:
    asked = case.inputs.model_dump(include={"top_k", "top_p", "temperature", "repetition_penalty"})
    return CallSettings(**asked, early_stop_num=int(EARLY_STOP_RATE_HZ * t2s.config.max_s))


def _flat(tokens: Iterable[object]) -> Iterable[int]:
    for token in tokens:
        if isinstance(token, list | tuple):
            yield from _flat(token)
        elif isinstance(token, int):
            yield token
