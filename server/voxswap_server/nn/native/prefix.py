"""Attention of a whole prefix: its text hears all text, every position behind it the text and what came since.

Knows nothing of layers. A head is one thread's: its keys are turned first, so that a query's scores of many positions
are formed at once; then a few queries at a time go through scores, softmax and mean without leaving the first caches.
Scores that nobody asks for are hardly computed. A query's sums depend on nothing but its own prefix.
"""

from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import Any, Final, Self

import torch
from llvmlite import ir
from torch import Tensor

from voxswap_server.nn.native.attention import KEPT, exponential
from voxswap_server.nn.native.compiler import Compiled, Processor, compiled, processor
from voxswap_server.nn.native.emitter import F32, FLOATS, I64, Emitter, index, number, vector
from voxswap_server.nn.native.team import TASK, Team, emit_meeting

_QUERIES: Final = 6
"""At a time: so many rows of sums fit in registers."""
_WORDS: Final = ("qkv", "out", "cache", "scratch", "positions", "text", "heads", "room", "own")
"""Of a call: places, then numbers. The room is that of a plane of the cache; `own` floats of scratch are a thread's."""
_PLACES: Final = 4
_NAMES: Final = {torch.float16: "float16", torch.float32: "float32"}


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the code is made for."""

    head_dim: int
    kept: str
    """What the cache has: a key of `attention.KEPT`."""
    width: int
    """Floats of a vector, which divides the head."""
    vectors: int
    """Of a row of sums at most."""

    @classmethod
    def of(cls, head_dim: int, kept: torch.dtype, cpu: Processor) -> Self:
        width = cpu.width
        while head_dim % width:
            width //= 2
        return cls(head_dim, _NAMES[kept], width, cpu.vectors)

    @property
    def panel(self) -> int:
        """Keys whose scores are formed together."""
        return self.width * self.vectors

    @property
    def part(self) -> int:
        """Numbers of a head whose means are formed together."""
        parts = self.head_dim // self.width
        return self.width * max(count for count in range(1, self.vectors + 1) if parts % count == 0)

    def own_floats(self, positions: int) -> int:
        """That a thread needs: keys, values, queries, their masses, their scores and a vector behind these."""
        row = -(-positions // self.panel) * self.panel
        return 2 * self.head_dim * row + _QUERIES * (self.head_dim + 1 + row + self.width)


class PrefixAttention:
    """Of heads of one size, for caches of one kind.

    Args:
        team: runs it.
        head_dim: of queries, keys and values.
        kept: of the cache.
        cpu: what it is made for.
    """

    def __init__(self, team: Team, head_dim: int, kept: torch.dtype, cpu: Processor | None = None) -> None:
        self._team = team
        self._shape = _Shape.of(head_dim, kept, cpu or processor())
        self._code = _code(self._shape)  # two threads may have had it made: the code lives as long as this one does
        self._entry = self._code.address("attend_prefix")

    def scratch(self, positions: int) -> Tensor:
        """For prefixes of at most so many."""
        return torch.empty(self._team.threads * self._shape.own_floats(positions))

    def run(self, qkv: Tensor, text: int, cache: Tensor, out: Tensor, scratch: Tensor) -> None:
        """Computes one row.

        Args:
            qkv: (N, 3 * heads * head_dim) queries, keys, values.
            text: so many of the positions hear each other; those behind them hear these and what is before them.
            cache: (2, heads, at least N, head_dim) contiguous; keys and values are written to it.
            out: (N, heads * head_dim) is written.
            scratch: of `scratch`.
        """
        positions, (_, heads, room, _) = qkv.shape[0], cache.shape
        places = [tensor.data_ptr() for tensor in (qkv, out, cache, scratch)]
        words = (*places, positions, text, heads, room, self._shape.own_floats(positions))
        self._team.run(self._entry, torch.tensor(words, dtype=torch.int64))


@cache
def _code(shape: _Shape) -> Compiled:
    """Machine code with the task "attend_prefix"."""
    module = ir.Module()
    _Prefix(module, shape, emit_meeting(module)).emit()
    return compiled(module)


class _Prefix:
    """Writes the task and its parts."""

    def __init__(self, module: ir.Module, shape: _Shape, meet: Any) -> None:
        self._module, self._shape, self._meet = module, shape, meet
        self._floats = vector(shape.width)
        self._nothing = ir.Constant(self._floats, [0.0] * shape.width)

    def emit(self) -> None:
        parts = {name: getattr(self, f"_{name}")() for name in ("keep", "turn", "ask", "score", "weigh", "mix")}
        emit, size, width = Emitter(self._module, "attend_prefix", TASK.args), self._shape.head_dim, self._shape.width
        at = emit.at
        thread, threads, given, shared = emit.function.args
        words = [emit.load(given, index(place), I64) for place in range(len(_WORDS))]
        qkv, out, _, scratch = (at.inttoptr(word, FLOATS) for word in words[:_PLACES])
        kept = at.inttoptr(words[2], ir.PointerType(KEPT[self._shape.kept]))
        positions, text, heads, room, own = words[_PLACES:]
        panel = index(self._shape.panel)
        row = at.mul(at.udiv(at.add(positions, at.sub(panel, index(1))), panel), panel)
        inner, long = at.mul(heads, index(size)), at.add(row, index(width))
        turned = at.gep(scratch, [at.mul(own, thread)])
        values = at.gep(turned, [at.mul(row, index(size))])
        queries = at.gep(values, [at.mul(row, index(size))])
        masses = at.gep(queries, [index(_QUERIES * size)])
        scores = at.gep(masses, [index(_QUERIES)])
        begin, end = emit.share(heads, thread, threads)
        with emit.loop(begin, end, index(1)) as head:
            query = at.gep(qkv, [at.mul(head.index, index(size))])
            key = at.gep(query, [inner])
            plane = at.mul(room, index(size))
            place = at.gep(kept, [at.mul(head.index, plane)])
            apart = at.mul(inner, index(3))
            at.call(parts["keep"], (key, inner, positions, place, at.mul(heads, plane), values))
            at.call(parts["turn"], (key, apart, positions, row, turned))
            with emit.loop(index(0), positions, index(_QUERIES)) as block:
                first = block.index
                at.call(parts["ask"], (query, apart, positions, first, queries))
                final = emit.least(at.add(first, index(_QUERIES - 1)), at.sub(positions, index(1)))
                limit = self._heard(emit, final, text)
                with emit.loop(index(0), limit, panel) as column:
                    target = at.gep(scores, [column.index])
                    at.call(parts["score"], (queries, at.gep(turned, [column.index]), row, target, long))
                at.call(parts["weigh"], (scores, long, positions, text, first, limit, masses))
                target = at.gep(out, [at.add(at.mul(first, inner), at.mul(head.index, index(size)))])
                left = at.sub(positions, first)
                at.call(parts["mix"], (scores, long, limit, values, masses, target, inner, left, queries))
        at.call(self._meet, (threads, shared))
        emit.done()

    def _heard(self, emit: Emitter, position: Any, text: Any) -> Any:
        """How many positions one hears."""
        at = emit.at
        return at.select(at.icmp_signed("<", position, text), text, at.add(position, index(1)))

    def _keep(self) -> Any:
        """Keys and values to the cache, and values once more where they lie close."""
        places = ir.PointerType(KEPT[self._shape.kept])
        emit = self._function("keep", (FLOATS, I64, I64, places, I64, FLOATS))
        key, inner, positions, keys, apart, values = emit.function.args
        at, size, width = emit.at, self._shape.head_dim, self._shape.width
        with emit.loop(index(0), positions, index(1)) as place:
            source, target = at.mul(place.index, at.mul(inner, index(3))), at.mul(place.index, index(size))
            for part in range(0, size, width):
                one = emit.load(key, at.add(source, index(part)), self._floats)
                other = emit.load(key, at.add(at.add(source, inner), index(part)), self._floats)
                offset = at.add(target, index(part))
                emit.store(other, values, offset)
                for found, start in ((one, index(0)), (other, apart)):
                    rounded = found if keys.type.pointee == F32 else at.fptrunc(found, vector(width, keys.type.pointee))
                    emit.store(rounded, keys, at.add(start, offset))
        return emit.done()

    def _turn(self) -> Any:
        """Keys as (head_dim, positions), scaled; behind the last there are repetitions of it."""
        emit = self._function("turn", (FLOATS, I64, I64, I64, FLOATS))
        key, apart, positions, row, turned = emit.function.args
        at, size, width = emit.at, self._shape.head_dim, self._shape.width
        scale, last = emit.splat(number(1 / sqrt(size)), width), at.sub(positions, index(1))
        with emit.loop(index(0), row, index(width)) as place:
            sources = [emit.least(at.add(place.index, index(line)), last) for line in range(width)]
            for part in range(0, size, width):
                found = [emit.load(key, at.add(at.mul(one, apart), index(part)), self._floats) for one in sources]
                for line, values in enumerate(emit.transposed(found)):
                    target = at.add(at.mul(row, index(part + line)), place.index)
                    emit.store(at.fmul(values, scale), turned, target)
        return emit.done()

    def _ask(self) -> Any:
        """Some queries, close together; behind the last there are repetitions of it."""
        emit = self._function("ask", (FLOATS, I64, I64, I64, FLOATS))
        query, apart, positions, first, queries = emit.function.args
        at, size = emit.at, self._shape.head_dim
        for line in range(_QUERIES):
            place = at.mul(emit.least(at.add(first, index(line)), at.sub(positions, index(1))), apart)
            for part in range(0, size, self._shape.width):
                emit.store(
                    emit.load(query, at.add(place, index(part)), self._floats), queries, index(line * size + part)
                )
        return emit.done()

    def _score(self) -> Any:
        """Each query times each key of a panel."""
        emit = self._function("score", (FLOATS, FLOATS, I64, FLOATS, I64))
        queries, turned, row, scores, long = emit.function.args
        at, size, width, vectors = emit.at, self._shape.head_dim, self._shape.width, self._shape.vectors
        sums: list[Any] = [self._nothing] * (_QUERIES * vectors)
        with emit.loop(index(0), index(size), index(1), sums) as body:
            start = at.mul(body.index, row)
            keys = [emit.load(turned, at.add(start, index(v * width)), self._floats) for v in range(vectors)]
            for line in range(_QUERIES):
                value = emit.splat(emit.load(queries, at.add(body.index, index(line * size)), F32), width)
                for v, key in enumerate(keys):
                    body.values[line * vectors + v] = emit.fma(value, key, body.values[line * vectors + v])
        for place, total in enumerate(body.values):
            line, v = divmod(place, vectors)
            emit.store(total, scores, at.add(at.mul(long, index(line)), index(v * width)))
        return emit.done()

    def _weigh(self) -> Any:
        """Scores become e to the power of their distance from the peak, 0 where nothing is heard; and their sums."""
        emit = self._function("weigh", (FLOATS, I64, I64, I64, I64, I64, FLOATS))
        scores, long, positions, text, first, limit, masses = emit.function.args
        at, width = emit.at, self._shape.width
        coldest = ir.Constant(self._floats, [float("-inf")] * width)
        with emit.loop(index(0), index(_QUERIES), index(1)) as line:
            mine = at.gep(scores, [at.mul(line.index, long)])
            position = emit.least(at.add(first, line.index), at.sub(positions, index(1)))
            with emit.loop(self._heard(emit, position, text), limit, index(width)) as body:
                emit.store(coldest, mine, body.index)
            emit.store(coldest, mine, limit)  # to the end of the last vector
            with emit.loop(index(0), limit, index(width), [coldest]) as body:
                found = emit.load(mine, body.index, self._floats)
                body.values[0] = emit.greater(found, body.values[0])
            peak = emit.splat(emit.greatest(body.values[0]), width)
            with emit.loop(index(0), limit, index(width), [self._nothing]) as body:
                weight = exponential(emit, at.fsub(emit.load(mine, body.index, self._floats), peak))
                emit.store(weight, mine, body.index)
                body.values[0] = at.fadd(body.values[0], weight)
            emit.store(emit.sum(body.values[0]), masses, line.index)
        return emit.done()

    def _mix(self) -> Any:
        """Means of the values, for as many queries as are left; those of the others go to a spare place."""
        kinds = (FLOATS, I64, I64, FLOATS, FLOATS, FLOATS, I64, I64, FLOATS)
        emit = self._function("mix", kinds)
        scores, long, limit, values, masses, out, inner, left, spare = emit.function.args
        at, size, width, part = emit.at, self._shape.head_dim, self._shape.width, self._shape.part
        vectors = part // width
        with emit.loop(index(0), index(size), index(part)) as column:
            sums: list[Any] = [self._nothing] * (_QUERIES * vectors)
            with emit.loop(index(0), limit, index(1), sums) as body:
                place = at.add(at.mul(body.index, index(size)), column.index)
                heard = [emit.load(values, at.add(place, index(v * width)), self._floats) for v in range(vectors)]
                for line in range(_QUERIES):
                    score = emit.load(scores, at.add(at.mul(long, index(line)), body.index), F32)
                    weight = emit.splat(score, width)
                    for v, value in enumerate(heard):
                        body.values[line * vectors + v] = emit.fma(weight, value, body.values[line * vectors + v])
            for line in range(_QUERIES):
                mass = emit.splat(emit.load(masses, index(line), F32), width)
                there = at.gep(out, [at.add(at.mul(inner, index(line)), column.index)])
                target = at.select(at.icmp_signed("<", index(line), left), there, spare)
                for v in range(vectors):
                    emit.store(at.fdiv(body.values[line * vectors + v], mass), target, index(v * width))
        return emit.done()

    def _function(self, name: str, arguments: tuple[Any, ...]) -> Emitter:
        emit = Emitter(self._module, name, arguments)
        emit.function.linkage = "internal"
        emit.function.attributes.add("noinline")
        return emit
