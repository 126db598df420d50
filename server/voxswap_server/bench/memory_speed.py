"""How fast memory can be read and copied: the two speeds that bound everything else.

Knows nothing of voices. What reads best differs from machine to machine, so several ways take turns and the fastest
counts: PyTorch's sum, and sums of our own in one and in four streams, by as many threads, over memory in large pages.
"""

from functools import cache, partial
from typing import Any, Final

import torch
from llvmlite import ir
from torch import Tensor

from voxswap_server.bench.timing import Clock, Sample, timed
from voxswap_server.nn.native.compiler import Compiled, compiled, processor
from voxswap_server.nn.native.emitter import FLOATS, I64, Emitter, index, vector
from voxswap_server.nn.native.team import TASK, Team, emit_meeting
from voxswap_store.blocks import Blocks

_BLOCK_BYTES: Final = 256 * 2**20
"""Of a reference read or copy, at least: larger than any cache."""
_STREAMS: Final = (1, 4)
"""At once, by each thread."""
_ABREAST: Final = 16
"""Vectors that are added at once: no sum waits for itself."""
_SHARE: Final = 4096
"""Numbers: a thread has a multiple of it."""


def reading(size_bytes: int, team: Team, clock: Clock | None = None) -> Sample:
    """Seconds to read so many bytes of memory once, in the fastest way, from a block that no cache holds.

    PyTorch takes its own threads, which should be as many as the team's.
    """
    block = Blocks().take(_whole(max(size_bytes, _BLOCK_BYTES))).view(torch.float32).fill_(1)
    ways = [timed(block.sum, clock=clock)]
    ways += [timed(partial(added, block, streams, team), clock=clock) for streams in _STREAMS]
    share = size_bytes / block.nbytes
    return lambda: min(way() for way in ways) * share


def copying(size_bytes: int, clock: Clock | None = None) -> Sample:
    """Seconds to copy so many bytes from memory to memory."""
    source = torch.ones(max(size_bytes, _BLOCK_BYTES) // 4)
    target = torch.zeros_like(source)
    share = size_bytes / source.nbytes
    sample = timed(lambda: target.copy_(source), clock=clock)
    return lambda: sample() * share


def added(numbers: Tensor, streams: int, team: Team) -> float:
    """Sum of numbers (N,) float32, N a multiple of 4096; each thread reads its share in so many streams."""
    sums = torch.empty(team.threads, processor().width)
    team.call(_code(streams).address("read"), (numbers.data_ptr(), numbers.numel(), sums.data_ptr()))
    return float(sums.sum())


def _whole(size_bytes: int) -> int:
    return -(-size_bytes // (4 * _SHARE)) * 4 * _SHARE


@cache
def _code(streams: int) -> Compiled:
    """Machine code with the task "read". Arguments: numbers, how many, sums (threads, width)."""
    module, width = ir.Module(), processor().width
    meet = emit_meeting(module)
    emit = Emitter(module, "read", TASK.args)
    thread, threads, given, shared = emit.function.args
    at, floats = emit.at, vector(width)
    words = [emit.load(given, index(place), I64) for place in range(3)]
    numbers, sums = (at.inttoptr(words[place], FLOATS) for place in (0, 2))
    begin, end = emit.share(at.sdiv(words[1], index(_SHARE)), thread, threads)
    length = at.mul(at.sub(end, begin), index(_SHARE // streams))
    first = at.gep(numbers, [at.mul(begin, index(_SHARE))])
    starts = [at.gep(first, [at.mul(length, index(stream))]) for stream in range(streams)]
    total = _emit_sum(emit, starts, length, floats)
    emit.store(total, sums, at.mul(thread, index(width)))
    at.call(meet, (threads, shared))
    emit.done()
    return compiled(module)


def _emit_sum(emit: Emitter, starts: list[Any], length: Any, floats: Any) -> Any:
    """(width,) Of all streams."""
    each, zero = _ABREAST // len(starts), ir.Constant(floats, [0.0] * floats.count)
    with emit.loop(index(0), length, index(each * floats.count), [zero] * _ABREAST) as body:
        for place in range(_ABREAST):
            start, vectors = starts[place // each], index(place % each * floats.count)
            value = emit.load(start, emit.at.add(body.index, vectors), floats)
            body.values[place] = emit.at.fadd(body.values[place], value)
    total = body.values[0]
    for other in body.values[1:]:
        total = emit.at.fadd(total, other)
    return total
