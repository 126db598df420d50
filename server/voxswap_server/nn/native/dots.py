"""Rows of activations times a matrix of 8 bits, by instructions that add four products of bytes at once.

Knows nothing of layers. Each row of activations is rounded to 16 bits, as far as its largest number reaches, and every
number of it is two bytes, high and low, which are multiplied apart. Sums are whole numbers and exact, so whatever the
number of rows and of threads, a row's result does not depend on its company, not by a bit.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, Final

from llvmlite import ir

from voxswap_server.nn.native.compiler import Processor
from voxswap_server.nn.native.emitter import BYTES, F32, FLOATS, I32, I64, Emitter, external, index, number, vector
from voxswap_server.nn.native.panels import GROUP, GROUP_BYTES, PANEL, ZERO

_I8: Final = ir.IntType(8)
_LARGEST: Final = 127 * 256 + 127
"""What the largest number of a row is rounded to: two bytes with signs reach so far."""
_NOTHING: Final = 1e-30
"""A row whose largest number is below this is all zeros."""
_PAIR: Final = 2 * GROUP
"""Bytes of a group of a row: the high ones, then the low ones."""
_TAIL_BYTES: Final = 128
"""Behind the bytes of a row: room for a whole vector, then its scale and two sums."""
_SCALE, _HIGH, _LOW = (_TAIL_BYTES - GROUP * place for place in (3, 2, 1))
"""Of the tail."""
_ROWS: Final = 3
"""Of a tile at most: so many sums, high and low, fit in registers."""
_BLOCK: Final = 48
"""Rows that are rounded at a time: they stay in a cache while all columns of a matrix pass."""
_AHEAD_BYTES: Final = 4096


def room_bytes(rows: int, inputs: int) -> int:
    """That each thread needs for so many rows of at most so many numbers."""
    return min(rows, _BLOCK) * (_PAIR * -(-inputs // GROUP) + _TAIL_BYTES)


def emit_dots(module: ir.Module, cpu: Processor) -> Any:
    """Writes y[m, n] = max(floor, scale[n] * sum over k of x[m, k] w[k, n] + bias[n]) for columns first <= n < last.

    Arguments: as of `linear.emit_linear`; columns begin with a panel, and the room is that of `room_bytes`.
    """
    arguments = (FLOATS, I64, BYTES, I64, I64, FLOATS, FLOATS, FLOATS, I64, I64, I64, I64, F32, BYTES)
    rounded = _emit_rounding(module, cpu.width)
    whole, single = _Tiles(module, cpu, cpu.vectors), _Tiles(module, cpu, 1)
    emit = Emitter(module, "linear_dots", arguments)
    x, ldx, _, _, depth, _, _, _, _, rows, first, last, _, room = emit.function.args
    at = emit.at
    columns = index(cpu.vectors * cpu.width)
    stop = at.add(first, at.mul(at.sdiv(at.sub(last, first), columns), columns))
    with emit.loop(index(0), rows, index(_BLOCK)) as block:
        count = emit.least(at.sub(rows, block.index), index(_BLOCK))
        at.call(rounded, (at.gep(x, [at.mul(block.index, ldx)]), ldx, depth, count, room))
        for tiles, begin, end in ((whole, first, stop), (single, stop, last)):
            with emit.loop(begin, end, index(tiles.vectors * cpu.width)) as body:
                tiles.call(emit, body.index, block.index, count)
    return emit.done()


def _stride(emit: Emitter, depth: Any) -> tuple[Any, Any]:
    """Groups of a row, and bytes from one rounded row to the next."""
    groups = emit.at.sdiv(emit.at.add(depth, index(GROUP - 1)), index(GROUP))
    return groups, emit.at.add(emit.at.mul(groups, index(_PAIR)), index(_TAIL_BYTES))


def _emit_rounding(module: ir.Module, width: int) -> Any:
    """Function of (x, its row length, k, rows, room): the rows in bytes, each with its scale and its sums.

    The sums are those of its high and of its low bytes times `ZERO`: what a product is too large by.
    """
    emit = Emitter(module, "round_rows", (FLOATS, I64, I64, I64, BYTES))
    emit.function.linkage = "internal"
    emit.function.attributes.add("noinline")
    x, ldx, depth, rows, room = emit.function.args
    at = emit.at
    groups, stride = _stride(emit, depth)
    with emit.loop(index(0), rows, index(1)) as row:
        mine, out = at.gep(x, [at.mul(row.index, ldx)]), at.gep(room, [at.mul(row.index, stride)])
        tail = at.gep(out, [at.mul(groups, index(_PAIR))])
        peak, nothing = _emit_peak(emit, mine, depth, width)
        emit.store(at.fadd(at.fmul(peak, number(1 / _LARGEST)), nothing), tail, index(_SCALE))
        some = at.fcmp_ordered(">", peak, number(_NOTHING))
        grow = at.select(some, at.fdiv(number(_LARGEST), peak), number(0.0))
        sums = _emit_bytes(emit, mine, depth, grow, out, width)
        for total, place in zip(sums, (_HIGH, _LOW), strict=True):
            emit.store(at.mul(total, ir.Constant(I32, ZERO)), tail, index(place))
    return emit.done()


def _parts(emit: Emitter, depth: Any, width: int) -> tuple[tuple[Any, Any, int], ...]:
    """Whole vectors of a row, then what is left one by one."""
    whole = emit.at.mul(emit.at.sdiv(depth, index(width)), index(width))
    return (index(0), whole, width), (whole, depth, 1)


def _emit_peak(emit: Emitter, x: Any, depth: Any, width: int) -> tuple[Any, Any]:
    """The largest absolute value of a row; and 0, or no number where one of them is none or without end."""
    at, peak, nothing = emit.at, number(0.0), number(0.0)
    for start, stop, step in _parts(emit, depth, width):
        floats = vector(step)
        zero = ir.Constant(floats, [0.0] * step)
        with emit.loop(start, stop, index(step), [zero, zero]) as body:
            value = emit.load(x, body.index, floats)
            size = emit.intrinsic("fabs", value)
            body.values[1] = at.fadd(body.values[1], at.fsub(value, value))
            body.values[0] = at.select(at.fcmp_ordered(">", size, body.values[0]), size, body.values[0])
        found = emit.greatest(body.values[0])
        peak = at.select(at.fcmp_ordered(">", found, peak), found, peak)
        nothing = at.fadd(nothing, emit.sum(body.values[1]))
    return peak, nothing


def _emit_bytes(emit: Emitter, x: Any, depth: Any, grow: Any, out: Any, width: int) -> list[Any]:
    """A row in bytes, its last group filled up with zeros; returns the sum of the high ones and of the low ones."""
    at = emit.at
    totals: list[Any] = [ir.Constant(I32, 0)] * 2
    for start, stop, step in _parts(emit, depth, width):
        whole, floats = vector(step, I32), vector(step)
        if step == 1:
            last = at.mul(at.sdiv(start, index(GROUP)), index(_PAIR))
            emit.store(ir.Constant(vector(_PAIR * width // GROUP, _I8), [0] * (_PAIR * width // GROUP)), out, last)
        with emit.loop(start, stop, index(step), [ir.Constant(whole, [0] * step)] * 2) as body:
            value = at.fmul(emit.load(x, body.index, floats), emit.splat(grow, step))
            known = at.select(at.fcmp_ordered("ord", value, value), value, ir.Constant(floats, [0.0] * step))
            steps = at.fptosi(emit.intrinsic("rint", known), whole)
            eight = ir.Constant(whole, [8] * step)
            high = at.ashr(at.add(steps, ir.Constant(whole, [ZERO] * step)), eight)
            low = at.sub(steps, at.shl(high, eight))
            _emit_pair(emit, high, low, out, body.index)
            body.values = [at.add(total, part) for total, part in zip(body.values, (high, low), strict=True)]
        totals = [at.add(total, emit.count(part)) for total, part in zip(totals, body.values, strict=True)]
    return totals


def _emit_pair(emit: Emitter, high: Any, low: Any, out: Any, k: Any) -> None:
    """Stores the bytes of some numbers from the k-th on: whole groups, or one number."""
    at, width = emit.at, high.type.count
    high, low = (at.trunc(part, vector(width, _I8)) for part in (high, low))
    place = at.add(at.mul(at.sdiv(k, index(GROUP)), index(_PAIR)), at.srem(k, index(GROUP)))
    if width == 1:
        emit.store(high, out, place)
        emit.store(low, out, at.add(place, index(GROUP)))
        return
    groups = width // GROUP
    order = [half * groups + group for group in range(groups) for half in range(2)]
    high, low = (at.bitcast(part, vector(groups, I32)) for part in (high, low))
    emit.store(
        at.bitcast(
            at.shuffle_vector(high, low, ir.Constant(vector(2 * groups, I32), order)), vector(_PAIR * groups, _I8)
        ),
        out,
        place,
    )


class _Tiles:
    """Some vectors of columns, for any number of rows."""

    def __init__(self, module: ir.Module, cpu: Processor, vectors: int) -> None:
        self.vectors = vectors
        self._made = {rows: _emit_tile(module, rows, vectors, cpu.width) for rows in range(1, _ROWS + 1)}

    def call(self, emit: Emitter, column: Any, start: Any, count: Any) -> None:
        """All rows of a block, `count` from `start` on, in tiles of nearly equal size."""
        _, _, w, _, depth, scale, bias, y, ldy, _, _, last, floor, room = emit.function.args
        at = emit.at
        groups, stride = _stride(emit, depth)
        panel = at.mul(at.sdiv(column, index(PANEL)), at.mul(groups, index(GROUP_BYTES)))
        weights = at.gep(w, [at.add(panel, at.mul(at.srem(column, index(PANEL)), index(GROUP)))])
        tiles = at.sdiv(at.add(count, index(_ROWS - 1)), index(_ROWS))
        left = at.sub(last, column)
        with emit.loop(index(0), tiles, index(1)) as body:
            begin, end = emit.share(count, body.index, tiles)
            place = at.add(at.mul(at.add(start, begin), ldy), column)
            given = (
                at.gep(room, [at.mul(begin, stride)]),
                weights,
                groups,
                at.gep(scale, [column]),
                at.gep(bias, [column]),
                at.gep(y, [place]),
                ldy,
                left,
                floor,
            )
            emit.choose(at.sub(end, begin), self._made, given)


def _emit_tile(module: ir.Module, rows: int, vectors: int, width: int) -> Any:
    """Some rows of some columns: sums in registers, from the first group to the last.

    Arguments: rounded rows, weights, groups, scale, bias, y, its row length, columns that there are, floor.
    """
    arguments = (BYTES, BYTES, I64, FLOATS, FLOATS, FLOATS, I64, I64, F32)
    emit = Emitter(module, f"dots_{rows}x{vectors}", arguments)
    emit.function.linkage = "internal"
    emit.function.attributes.add("noinline")
    x, w, groups, scale, bias, y, ldy, left, floor = emit.function.args
    at = emit.at
    stride = at.add(at.mul(groups, index(_PAIR)), index(_TAIL_BYTES))
    mine = [at.gep(x, [at.mul(stride, index(m))]) for m in range(rows)]
    places = list(product(range(rows), range(2), range(vectors)))
    sums = _emit_sums(emit, mine, w, groups, vectors, width)
    tails = [at.gep(row, [at.mul(groups, index(_PAIR))]) for row in mine]
    totals = dict(zip(places, sums, strict=True))
    for m, v in product(range(rows), range(vectors)):
        found = _emit_total(emit, tails[m], totals[m, 0, v], totals[m, 1, v], width)
        place = at.add(at.mul(ldy, index(m)), index(v * width))
        given = (at.gep(scale, [index(v * width)]), at.gep(bias, [index(v * width)]), at.gep(y, [place]))
        if vectors > 1:
            _emit_out(emit, found, floor, given, index(0))
        else:
            _emit_some(emit, found, floor, given, left)
    return emit.done()


def _emit_sums(emit: Emitter, rows: Sequence[Any], w: Any, groups: Any, vectors: int, width: int) -> list[Any]:
    """Sums of products (rows x high, low x vectors), of bytes as they are."""
    at = emit.at
    whole = vector(width, I32)
    dot = external(emit.module, f"llvm.x86.avx512.vpdpbusd.{32 * width}", whole, (whole, whole, whole))
    ways = 2 if len(rows) * vectors <= 4 else 1  # so many sums that none waits for itself
    sums: list[Any] = [ir.Constant(whole, [0] * width)] * (2 * len(rows) * vectors)
    apart = [sums] * ways
    even = at.mul(at.sdiv(groups, index(ways)), index(ways))
    for start, stop, step in ((index(0), even, ways), (even, groups, 1)):
        with emit.loop(start, stop, index(step), [each for some in apart for each in some]) as body:
            for way in range(step):
                group = at.add(body.index, index(way))
                place = at.mul(group, index(GROUP_BYTES))
                parts = [emit.load(w, at.add(place, index(v * width * GROUP)), whole) for v in range(vectors)]
                emit.prefetch(w, at.add(place, index(_AHEAD_BYTES)))
                for m, half in product(range(len(rows)), range(2)):
                    asked = at.add(at.mul(group, index(_PAIR)), index(half * GROUP))
                    value = emit.splat(emit.load(rows[m], asked, I32), width)
                    for v, part in enumerate(parts):
                        slot = way * len(sums) + (2 * m + half) * vectors + v
                        body.values[slot] = at.call(dot, (body.values[slot], part, value))
        apart = [body.values[way * len(sums) : (way + 1) * len(sums)] for way in range(ways)]
    return [at.add(*some) for some in zip(*apart, strict=True)] if ways > 1 else apart[0]


def _emit_total(emit: Emitter, tail: Any, high: Any, low: Any, width: int) -> Any:
    """(width,) What the sums of bytes stand for, without the scales of columns."""
    at = emit.at
    high = at.sub(high, emit.splat(emit.load(tail, index(_HIGH), I32), width))
    low = at.sub(low, emit.splat(emit.load(tail, index(_LOW), I32), width))
    floats = vector(width)
    high, low = at.sitofp(high, floats), at.sitofp(low, floats)
    total = emit.fma(high, ir.Constant(floats, [256.0] * width), low)
    return at.fmul(total, emit.splat(emit.load(tail, index(_SCALE), F32), width))


def _emit_out(emit: Emitter, total: Any, floor: Any, given: Sequence[Any], place: Any) -> None:
    """Scales, shifts and stores."""
    scale, bias, y = given
    at, floats = emit.at, total.type
    lowest = emit.splat(floor, floats.count)
    total = at.fadd(at.fmul(total, emit.load(scale, place, floats)), emit.load(bias, place, floats))
    total = at.select(at.fcmp_ordered("<", total, lowest), lowest, total)  # what is no number stays none
    emit.store(total, y, place)


def _emit_some(emit: Emitter, totals: Any, floor: Any, given: Sequence[Any], left: Any) -> None:
    """Of one vector, which may be the last of a matrix: as many columns as there are."""
    at, width = emit.at, totals.type.count
    with at.if_else(at.icmp_signed(">=", left, index(width))) as (whole, part):
        with whole:
            _emit_out(emit, totals, floor, given, index(0))
        with part, emit.loop(index(0), left, index(1)) as body:
            one = at.extract_element(totals, at.trunc(body.index, I32))
            _emit_out(emit, emit.splat(one, 1), floor, given, body.index)
