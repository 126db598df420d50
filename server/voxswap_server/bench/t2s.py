"""T2S: milliseconds of a prefill and of a step by rows and by backend, against what reading the weights once takes.

Knows nothing of sampling or of requests.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import torch
from torch import Tensor

from voxswap_server.bench.memory_speed import reading
from voxswap_server.bench.options import Options
from voxswap_server.bench.report import Reference, Row
from voxswap_server.bench.timing import Sample, Series, timed
from voxswap_server.bench.timing import interleaved as in_turn
from voxswap_server.bench.voices import Workbench, t2s_half
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.t2s import KVCache, PrefillRow, T2SConfig
from voxswap_server.nn.t2s_backends import Placement, TokenModel, chosen, load_t2s
from voxswap_store.layout_t2s import convert_t2s

TITLE: Final = "T2S: semantic tokens"
ROWS: Final = (1, 4, 8, 16)
PREFIX_TOKENS: Final = 150
CONTEXT_TOKENS: Final = 250
REFERENCE: Final = "torch"
"""The backend that all others are compared with."""
ROUNDED: Final = "int8"
_AGREED_TOKENS, _QUICK_TOKENS = 200, 20
_PROMPT_ONLY: Final = ("text_embedding.", "bert_projection.", "text_position.", "audio_embedding.")
"""Tensors of which a step reads a row at most."""


@torch.inference_mode()
def measure(options: Options, bench: Workbench) -> Iterator[Row]:
    """Steps with 250 positions of context each, prefills of 150 positions each, by every backend that runs here."""
    team = Team(options.threads)
    nets = networks(bench, team)
    exact = next(iter(nets))
    work: dict[str, Sample] = {
        f"read {name}": reading(step_bytes(net), team, options.clock) for name, net in nets.items()
    }
    work |= {
        f"{name} {rows}": timed(step(net, rows), clock=options.clock) for name, net in nets.items() for rows in ROWS
    }
    work["singles"] = timed(singles(nets[exact], ROWS[-2]), clock=options.clock)
    found = in_turn(work, options.rounds)
    for name in nets:
        yield from _steps(name, found)
    yield Row(
        "t2s", f"step of {_rows(ROWS[-2])}", "tokens/s", found[f"{exact} {ROWS[-2]}"].map(_rate(ROWS[-2])), "higher"
    )
    alone = Reference(f"{ROWS[-2]} steps of one row", found["singles"].map(_ms))
    yield Row("t2s", f"{ROWS[-2]} tokens, one step", "ms", found[f"{exact} {ROWS[-2]}"].map(_ms), reference=alone)
    yield from _prefills(nets, options)
    if ROUNDED in nets:
        agreed = agreement(nets[exact], nets[ROUNDED], _QUICK_TOKENS if options.quick else _AGREED_TOKENS)
        yield Row("t2s", "int8: greedy choices that are the exact ones", "%", Series((100 * agreed,)), "higher")


def networks(bench: Workbench, team: Team) -> dict[str, TokenModel]:
    """By name: what a CPU takes by itself, the reference, and what is rounded where that can be had."""
    converted = convert_t2s(*t2s_half(bench.size))
    config = T2SConfig.from_dict(converted.config)
    place = Placement(torch.device("cpu"), torch.float32, team)
    usual = chosen("auto", place)
    found = {usual: load_t2s(config, converted.tensors, place)}
    if usual != REFERENCE:
        found[REFERENCE] = load_t2s(config, converted.tensors, place, backend=REFERENCE)
        found[ROUNDED] = load_t2s(config, converted.tensors, place, precision="int8")
    return found


def step_bytes(net: TokenModel) -> int:
    """Of the weights that every step reads."""
    return sum(tensor.nbytes for name, tensor in net.tensors.items() if not name.startswith(_PROMPT_ONLY))


def agreement(exact: TokenModel, other: TokenModel, tokens: int) -> float:
    """Share of the places at which both like the same token best, along what the exact one says."""
    phones, prompt = torch.arange(1, PREFIX_TOKENS // 3), torch.arange(PREFIX_TOKENS * 2 // 3)
    rows = [PrefillRow(phones, None, prompt, net.new_cache(PREFIX_TOKENS, tokens)) for net in (exact, other)]
    mine, others = exact.prefill(rows[:1]), other.prefill(rows[1:])
    same = 0
    for _ in range(tokens):
        best: Tensor = mine.argmax(-1)
        same += int(best.equal(others.argmax(-1)))
        mine, others = exact.step(best, [rows[0].cache]), other.step(best, [rows[1].cache])
    return same / tokens


def _steps(name: str, found: Mapping[str, Series]) -> Iterator[Row]:
    """Of one backend: beside the reference, and beside the time that memory takes."""
    bound = Reference("reading its weights once", found[f"read {name}"].map(_ms))
    if name != REFERENCE:
        yield Row("t2s", f"{name}: step of {_rows(1)}", "ms", found[f"{name} 1"].map(_ms), reference=bound)
    for rows in ROWS:
        other = Reference(f"{REFERENCE}: the same", found[f"{REFERENCE} {rows}"].map(_ms))
        reference = other if name != REFERENCE else bound
        yield Row("t2s", f"{name}: step of {_rows(rows)}", "ms", found[f"{name} {rows}"].map(_ms), reference=reference)


def _prefills(nets: Mapping[str, TokenModel], options: Options) -> Iterator[Row]:
    sizes = ROWS[:2] if options.quick else ROWS[:3]
    work = {
        f"{name} {rows}": timed(prefill(net, rows), clock=options.clock) for name, net in nets.items() for rows in sizes
    }
    found = in_turn(work, options.rounds)
    for name in nets:
        for rows in sizes:
            other = Reference(f"{REFERENCE}: the same", found[f"{REFERENCE} {rows}"].map(_ms))
            what = f"{name}: prefill of {_rows(rows)}, {PREFIX_TOKENS} positions each"
            reference = None if name == REFERENCE else other
            yield Row("t2s", what, "ms", found[f"{name} {rows}"].map(_ms), reference=reference)


def step(net: TokenModel, rows: int) -> Callable[[], object]:
    """One step of rows that each have `CONTEXT_TOKENS` positions behind them."""
    caches = [_filled(net) for _ in range(rows)]
    tokens = torch.zeros(rows, dtype=torch.long)

    def once() -> None:
        net.step(tokens, caches)
        for cache in caches:
            cache.length = CONTEXT_TOKENS

    return once


def singles(net: TokenModel, rows: int) -> Callable[[], object]:
    """The same tokens, each in a step of its own."""
    each = [step(net, 1) for _ in range(rows)]

    def once() -> None:
        for one in each:
            one()

    return once


def prefill(net: TokenModel, rows: int) -> Callable[[], object]:
    """One prefill of rows of `PREFIX_TOKENS` positions, two thirds of them prompt tokens."""
    phones = torch.zeros(PREFIX_TOKENS // 3, dtype=torch.long)
    prompt = torch.zeros(PREFIX_TOKENS - phones.numel(), dtype=torch.long)
    batch = [PrefillRow(phones, None, prompt, net.new_cache(PREFIX_TOKENS, 1)) for _ in range(rows)]

    def once() -> None:
        for row in batch:
            row.cache.length = row.cache.text_tokens = 0
        net.prefill(batch)

    return once


def _filled(net: TokenModel) -> KVCache:
    cache = net.new_cache(CONTEXT_TOKENS, 1)
    cache.storage.zero_()
    cache.length, cache.text_tokens = CONTEXT_TOKENS, CONTEXT_TOKENS // 3
    return cache


def _rows(rows: int) -> str:
    return "one row" if rows == 1 else f"{rows} rows"


def _ms(seconds: float) -> float:
    return 1e3 * seconds


def _rate(rows: int) -> Callable[[float], float]:
    return lambda seconds: rows / seconds
