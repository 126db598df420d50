"""T2S: milliseconds of a prefill and of a step by rows, against what reading the weights once takes.

Knows nothing of sampling or of requests.
"""

from collections.abc import Callable, Iterator
from typing import Final

import torch

from voxswap_server.bench.machine import reading
from voxswap_server.bench.options import Options
from voxswap_server.bench.report import Reference, Row
from voxswap_server.bench.timing import Sample, timed
from voxswap_server.bench.timing import interleaved as in_turn
from voxswap_server.bench.voices import Workbench, t2s_half
from voxswap_server.nn.t2s import T2S, KVCache, PrefillRow, T2SConfig
from voxswap_store.layout_t2s import convert_t2s

TITLE: Final = "T2S: semantic tokens"
ROWS: Final = (1, 4, 8)
PREFIX_TOKENS: Final = 150
CONTEXT_TOKENS: Final = 250
_PROMPT_ONLY: Final = ("text_embedding.", "bert_projection.", "text_position.", "audio_embedding.")
"""Tensors of which a step reads a row at most."""


@torch.inference_mode()
def measure(options: Options, bench: Workbench) -> Iterator[Row]:
    """Steps with 250 positions of context each, prefills of 150 positions each."""
    converted = convert_t2s(*t2s_half(bench.size))
    net = T2S.from_tensors(T2SConfig.from_dict(converted.config), converted.tensors)
    read = {name: tensor.nbytes for name, tensor in net.tensors.items() if not name.startswith(_PROMPT_ONLY)}
    work: dict[str, Sample] = {"read": reading(sum(read.values()))}
    work |= {f"step {rows}": timed(step(net, rows)) for rows in ROWS}
    work["singles"] = timed(singles(net, ROWS[-1]))
    found = in_turn(work, options.rounds)
    bound = Reference("reading the weights once", found["read"].map(_ms))
    for rows in ROWS:
        series = found[f"step {rows}"]
        yield Row("t2s", f"step of {_rows(rows)}", "ms", series.map(_ms), reference=bound)
        yield Row("t2s", f"step of {_rows(rows)}", "tokens/s", series.map(lambda s, n=rows: n / s), "higher")  # type: ignore[misc]
    alone = Reference(f"{ROWS[-1]} steps of one row", found["singles"].map(_ms))
    yield Row("t2s", f"{ROWS[-1]} tokens, one step", "ms", found[f"step {ROWS[-1]}"].map(_ms), reference=alone)
    gigabytes = found["read"].map(lambda seconds: sum(read.values()) / seconds / 1e9)
    yield Row("t2s", "reading memory", "GB/s", gigabytes, "higher")
    yield from _prefills(net, options)


def _prefills(net: T2S, options: Options) -> Iterator[Row]:
    sizes = ROWS[:2] if options.quick else ROWS
    found = in_turn({str(rows): timed(prefill(net, rows)) for rows in sizes}, options.rounds)
    for rows in sizes:
        one = Reference(f"{rows} × a prefill of one row", found["1"].map(lambda s, n=rows: _ms(s) * n))  # type: ignore[misc]
        name = f"prefill of {_rows(rows)}, {PREFIX_TOKENS} positions each"
        yield Row("t2s", name, "ms", found[str(rows)].map(_ms), reference=one if rows > 1 else None)


def step(net: T2S, rows: int) -> Callable[[], object]:
    """One step of rows that each have `CONTEXT_TOKENS` positions behind them."""
    caches = [_filled(net) for _ in range(rows)]
    tokens = torch.zeros(rows, dtype=torch.long)

    def once() -> None:
        net.step(tokens, caches)
        for cache in caches:
            cache.length = CONTEXT_TOKENS

    return once


def singles(net: T2S, rows: int) -> Callable[[], object]:
    """The same tokens, each in a step of its own."""
    each = [step(net, 1) for _ in range(rows)]

    def once() -> None:
        for one in each:
            one()

    return once


def prefill(net: T2S, rows: int) -> Callable[[], object]:
    """One prefill of rows of `PREFIX_TOKENS` positions, two thirds of them prompt tokens."""
    phones = torch.zeros(PREFIX_TOKENS // 3, dtype=torch.long)
    prompt = torch.zeros(PREFIX_TOKENS - phones.numel(), dtype=torch.long)
    batch = [PrefillRow(phones, None, prompt, net.new_cache(PREFIX_TOKENS, 1)) for _ in range(rows)]

    def once() -> None:
        for row in batch:
            row.cache.length = row.cache.text_tokens = 0
        net.prefill(batch)

    return once


def _filled(net: T2S) -> KVCache:
    cache = net.new_cache(CONTEXT_TOKENS, 1)
    cache.storage.zero_()
    cache.length, cache.text_tokens = CONTEXT_TOKENS, CONTEXT_TOKENS // 3
    return cache


def _rows(rows: int) -> str:
    return "one row" if rows == 1 else f"{rows} rows"


def _ms(seconds: float) -> float:
    return 1e3 * seconds
