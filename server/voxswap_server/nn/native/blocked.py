"""Many rows of activations times a matrix, block by block as a core's first cache holds it.

`linear` reads a stretch of weights anew for every few rows, which is right for the few rows of a step. Of the hundreds
of a prefill each would come from the second cache, slower than they are multiplied: here some rows of weights become a
block of single precision, which all rows of activations meet before the next one is made. Sums wait in memory meanwhile
and are formed in the order of `linear`, so they are the same to the bit. Knows nothing of layers.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Self

import torch
from llvmlite import ir
from torch import Tensor

from voxswap_server.nn.native.compiler import Compiled, Processor, compiled, processor
from voxswap_server.nn.native.emitter import F32, FLOATS, I64, Emitter, index, vector
from voxswap_server.nn.native.linear import KINDS, ROWS, lowest
from voxswap_server.nn.native.team import TASK, Team, emit_meeting

FEWEST_ROWS: Final = 4 * ROWS
"""Below, a block is made for longer than it is used."""
_DEPTH: Final = 128
"""Rows of weights in a block: with as many columns as a tile has they fill two thirds of a first cache."""
_UNROLLED: Final = 4
_AHEAD: Final = 16
"""Rows of weights that are asked for before they are needed."""
_LINE_FLOATS: Final = 16
_WORDS: Final = ("x", "weight", "bias", "y", "scratch", "rows", "inputs", "outputs", "cut")
_PLACES: Final = 5


@dataclass(frozen=True, slots=True)
class Shape:
    """What the code is made for."""

    kind: str
    """Of the weights: "float16" or "float32"."""
    width: int
    """Floats of a vector."""
    vectors: int
    """Of a tile's row."""

    @classmethod
    def of(cls, kind: str, cpu: Processor) -> Self:
        return cls(kind, cpu.width, cpu.vectors)

    @property
    def panel(self) -> int:
        """Columns of a tile."""
        return self.width * self.vectors


class BlockedLinear:
    """Products with weights of one kind.

    Args:
        team: runs them.
        kind: of the weights, "float16" or "float32".
        cpu: what they are made for.
    """

    def __init__(self, team: Team, kind: str, cpu: Processor | None = None) -> None:
        self._team = team
        self._shape = Shape.of(kind, cpu or processor())
        self._code = _code(self._shape)
        self._entry = self._code.address("multiply_blocks")

    def fits(self, rows: int, inputs: int, outputs: int) -> bool:
        """Whether this computes such a product, and sooner than `linear` does."""
        return rows >= FEWEST_ROWS and inputs % _UNROLLED == 0 and outputs % self._shape.panel == 0

    def run(self, x: Tensor, weight: int, bias: int, y: Tensor, *, cut: bool) -> None:
        """Computes x (N, in) times the weights (in, out) plus the bias (out,) -> y (N, out), both contiguous.

        Args:
            x: as many rows as `fits` says.
            weight: where they lie.
            bias: where it lies, in single precision.
            y: is written.
            cut: puts 0 for what is below.
        """
        (rows, inputs), outputs, panel = x.shape, y.shape[1], self._shape.panel
        scratch = torch.empty(self._team.threads * _own_floats(rows, panel))
        words = (x.data_ptr(), weight, bias, y.data_ptr(), scratch.data_ptr(), rows, inputs, outputs, cut)
        self._team.call(self._entry, words)


def _own_floats(rows: int, panel: int) -> int:
    """That a thread needs: the sums of all rows, then a block."""
    return (-(-rows // ROWS) * ROWS + _DEPTH) * panel


@cache
def _code(shape: Shape) -> Compiled:
    """Machine code with the task "multiply_blocks"."""
    module = ir.Module()
    _Blocked(module, shape, emit_meeting(module)).emit()
    return compiled(module)


class _Blocked:
    """Writes the task and its parts. A panel of columns is one thread's."""

    def __init__(self, module: ir.Module, shape: Shape, meet: Any) -> None:
        self._module, self._shape, self._meet = module, shape, meet
        self._floats = vector(shape.width)
        self._weights = ir.PointerType(KINDS[shape.kind])

    def emit(self) -> None:
        clear, widen, multiply, end = self._clear(), self._widen(), self._multiply(), self._end()
        emit, panel = Emitter(self._module, "multiply_blocks", TASK.args), index(self._shape.panel)
        at = emit.at
        thread, threads, given, shared = emit.function.args
        words = [emit.load(given, index(place), I64) for place in range(len(_WORDS))]
        x, _, bias, y, scratch = (at.inttoptr(word, FLOATS) for word in words[:_PLACES])
        weight = at.inttoptr(words[1], self._weights)
        rows, inputs, outputs, cut = words[_PLACES:]
        floor = at.select(at.icmp_signed("!=", cut, index(0)), ir.Constant(F32, 0.0), lowest())
        tiles = at.sdiv(at.add(rows, index(ROWS - 1)), index(ROWS))
        held = at.mul(tiles, at.mul(index(ROWS), panel))
        sums = at.gep(scratch, [at.mul(at.add(held, at.mul(index(_DEPTH), panel)), thread)])
        block = at.gep(sums, [held])
        begin, stop = emit.share(at.sdiv(outputs, panel), thread, threads)
        with emit.loop(begin, stop, index(1)) as body:
            column = at.mul(body.index, panel)
            at.call(clear, (sums, held))
            with emit.loop(index(0), inputs, index(_DEPTH)) as depth:
                count = emit.least(at.sub(inputs, depth.index), index(_DEPTH))
                source = at.gep(weight, [at.add(at.mul(depth.index, outputs), column)])
                at.call(widen, (source, outputs, count, block))
                at.call(multiply, (at.gep(x, [depth.index]), inputs, block, count, sums, rows, tiles))
            at.call(end, (sums, at.gep(bias, [column]), floor, at.gep(y, [column]), outputs, rows, tiles))
        at.call(self._meet, (threads, shared))
        emit.done()

    def _clear(self) -> Any:
        emit = self._function("clear", (FLOATS, I64))
        sums, held = emit.function.args
        with emit.loop(index(0), held, index(self._shape.width)) as body:
            emit.store(ir.Constant(self._floats, [0.0] * self._shape.width), sums, body.index)
        return emit.done()

    def _widen(self) -> Any:
        """Some rows of a panel of weights, close together and in single precision."""
        emit = self._function("widen", (self._weights, I64, I64, FLOATS))
        source, apart, count, block = emit.function.args
        at, shape = emit.at, self._shape
        kind = KINDS[shape.kind]
        with emit.loop(index(0), count, index(1)) as body:
            row, target = at.mul(body.index, apart), at.mul(body.index, index(shape.panel))
            ahead = at.mul(at.add(body.index, index(_AHEAD)), apart)
            for place in range(0, shape.panel, _LINE_FLOATS if kind == F32 else 2 * _LINE_FLOATS):
                emit.prefetch(source, at.add(ahead, index(place)))
            for place in range(0, shape.panel, shape.width):
                raw = emit.load(source, at.add(row, index(place)), vector(shape.width, kind))
                found = raw if kind == F32 else at.fpext(raw, self._floats)
                emit.store(found, block, at.add(target, index(place)))
        return emit.done()

    def _first_of(self, emit: Emitter, tile: Any, rows: Any) -> Any:
        """A tile's first row: the last tile has as many as the others, some of them once more."""
        return emit.least(emit.at.mul(tile, index(ROWS)), emit.at.sub(rows, index(ROWS)))

    def _multiply(self) -> Any:
        """All rows of activations times a block, onto the sums."""
        emit = self._function("multiply", (FLOATS, I64, FLOATS, I64, FLOATS, I64, I64))
        x, apart, block, count, sums, rows, tiles = emit.function.args
        at, shape = emit.at, self._shape
        places = [index(place * shape.width) for place in range(ROWS * shape.vectors)]
        with emit.loop(index(0), tiles, index(1)) as tile:
            first = at.gep(x, [at.mul(self._first_of(emit, tile.index, rows), apart)])
            mine = at.gep(sums, [at.mul(tile.index, index(ROWS * shape.panel))])
            found = [emit.load(mine, place, self._floats) for place in places]
            with emit.loop(index(0), count, index(_UNROLLED), found) as body:
                for step in range(_UNROLLED):
                    k = at.add(body.index, index(step))
                    self._step(emit, at.gep(first, [k]), apart, at.gep(block, [at.mul(k, index(shape.panel))]), body)
            for place, total in zip(places, body.values, strict=True):
                emit.store(total, mine, place)
        return emit.done()

    def _step(self, emit: Emitter, x: Any, apart: Any, weights: Any, body: Any) -> None:
        """What one row of weights gives to each sum of a tile."""
        shape = self._shape
        parts = [emit.load(weights, index(v * shape.width), self._floats) for v in range(shape.vectors)]
        for m in range(ROWS):
            value = emit.splat(emit.load(x, emit.at.mul(apart, index(m)), F32), shape.width)
            for v, part in enumerate(parts):
                place = m * shape.vectors + v
                body.values[place] = emit.fma(part, value, body.values[place])

    def _end(self) -> Any:
        """Sums with their bias, none below the floor, to where they belong."""
        emit = self._function("end", (FLOATS, FLOATS, F32, FLOATS, I64, I64, I64))
        sums, bias, floor, y, apart, rows, tiles = emit.function.args
        at, shape = emit.at, self._shape
        least = emit.splat(floor, shape.width)
        shifts = [emit.load(bias, index(v * shape.width), self._floats) for v in range(shape.vectors)]
        with emit.loop(index(0), tiles, index(1)) as tile:
            target = at.gep(y, [at.mul(self._first_of(emit, tile.index, rows), apart)])
            mine = at.gep(sums, [at.mul(tile.index, index(ROWS * shape.panel))])
            for m in range(ROWS):
                for v, shift in enumerate(shifts):
                    place = index(v * shape.width)
                    total = at.fadd(emit.load(mine, index(m * shape.panel + v * shape.width), self._floats), shift)
                    emit.store(emit.greater(total, least), target, at.add(at.mul(apart, index(m)), place))
        return emit.done()

    def _function(self, name: str, arguments: tuple[Any, ...]) -> Emitter:
        emit = Emitter(self._module, name, arguments)
        emit.function.linkage = "internal"
        emit.function.attributes.add("noinline")
        return emit
