"""Rows of activations times a matrix that stays as it lies on disk: half precision, single precision or 8 bits.

Knows nothing of layers. Weights are (in, out), or of 8 bits in panels, and are read once for all rows; they become
single precision in a register, sums are single precision. Whatever the number of rows and of threads, each sum is
formed in the same order, so a row's result does not depend on its company, not by a bit. Where the processor has
instructions for products of bytes, those of 8 bits are computed by them.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from llvmlite import ir

from voxswap_server.nn.native.compiler import Processor
from voxswap_server.nn.native.dots import emit_dots
from voxswap_server.nn.native.emitter import BYTES, F32, FLOATS, I32, I64, Emitter, index, number, vector
from voxswap_server.nn.native.panels import GROUP, GROUP_BYTES, PANEL, ZERO

KINDS: Final = {"float16": ir.HalfType(), "float32": F32, "int8": ir.IntType(8)}
"""Elements of a matrix, by the name of their dtype."""
_BYTES: Final = {"float16": 2, "float32": 4}
_LINE_BYTES: Final = 64
_AHEAD: Final = 16
"""Rows of weights."""
ROWS: Final = 6
"""Of a tile at most: so many sums fit in registers."""
_UNROLLED: Final = 4
_BAND: Final = 8
"""Rows of weights that are read abreast for one row of activations: as many streams as a processor foresees."""


def emit_linear(module: ir.Module, kind: str, cpu: Processor) -> Any:
    """Writes y[m, n] = max(floor, scale[n] * sum over k of x[m, k] w[k, n] + bias[n]) for columns first <= n < last.

    Arguments: x, its row length, w, its row length, k, scale, bias, y, its row length, m, first, last, floor, room. The
    scale is read for int8 alone, and the room (see `dots.room_bytes`) is used for it alone.
    """
    if kind == "int8" and cpu.dots:
        return emit_dots(module, cpu)
    weights = ir.PointerType(KINDS[kind])
    arguments = (FLOATS, I64, weights, I64, I64, FLOATS, FLOATS, FLOATS, I64, I64, I64, I64, F32, BYTES)
    emit = Emitter(module, f"linear_{kind}", arguments)
    *_, rows_in_all, first, last, _floor, _room = emit.function.args
    if kind != "int8":
        first = _alone(emit, _emit_band(module, kind, cpu), cpu.width)
    for shape in _shapes(cpu, kind):
        columns = shape.vectors * shape.width
        tiles = _Tiles(module, kind, shape)
        whole = emit.at.sdiv(emit.at.sub(last, first), index(columns))
        if shape.only:  # for more rows the next shape is the better one
            whole = emit.at.select(emit.at.icmp_signed("<=", rows_in_all, index(shape.rows)), whole, index(0))
        stop = emit.at.add(first, emit.at.mul(whole, index(columns)))
        with emit.loop(first, stop, index(columns)) as body:
            _rows_of(emit, tiles, body.index)
        first = stop
    return emit.done()


def _alone(emit: Emitter, band: Any, width: int) -> Any:
    """Whole vectors of columns for a row without company; returns the first column that is left."""
    x, _, w, ldw, depth, _, bias, y, _, rows, first, last, floor, _ = emit.function.args
    at = emit.at
    vectors = at.sdiv(at.sub(last, first), index(width))
    single = at.icmp_signed("==", rows, index(1))
    stop = at.add(first, at.mul(at.select(single, vectors, index(0)), index(width)))
    with at.if_then(at.icmp_signed("<", first, stop)):
        at.call(band, (x, w, ldw, depth, bias, y, first, stop, floor))
    return stop


def _emit_band(module: ir.Module, kind: str, cpu: Processor) -> Any:
    """One row of activations: a few rows of weights at a time, each from the first column to the last.

    Memory is read fastest in few long streams. Sums wait in y, in the first cache, and are formed in a tile's order.

    Arguments: x, w, its row length, k, bias, y, first column, last, floor; columns are whole vectors.
    """
    weights, width = ir.PointerType(KINDS[kind]), cpu.width
    emit = Emitter(module, f"band_{kind}", (FLOATS, weights, I64, I64, FLOATS, FLOATS, I64, I64, F32))
    emit.function.linkage = "internal"
    emit.function.attributes.add("noinline")
    x, w, ldw, depth, bias, y, first, last, floor = emit.function.args
    at, floats, stride = emit.at, vector(width), index(cpu.vectors * width)
    with emit.loop(first, last, index(width)) as column:
        emit.store(ir.Constant(floats, [0.0] * width), y, column.index)
    whole = at.mul(at.sdiv(depth, index(_BAND)), index(_BAND))
    wide = at.add(first, at.mul(at.sdiv(at.sub(last, first), stride), stride))
    for start, stop, count in ((index(0), whole, _BAND), (whole, depth, 1)):
        with emit.loop(start, stop, index(count)) as body:
            numbers = [at.add(body.index, index(k)) for k in range(count)]
            rows = [(at.gep(w, [at.mul(k, ldw)]), emit.splat(emit.load(x, k, F32), width)) for k in numbers]
            for begin, end, vectors in ((first, wide, cpu.vectors), (wide, last, 1)):
                with emit.loop(begin, end, index(vectors * width)) as column:
                    places = [at.add(column.index, index(v * width)) for v in range(vectors)]
                    _emit_onto(emit, rows, places, y, kind, floats)
    with emit.loop(first, last, index(width)) as column:
        _emit_end(emit, emit.load(y, column.index, floats), bias, floor, y, column.index)
    return emit.done()


def _emit_onto(
    emit: Emitter, rows: Sequence[tuple[Any, Any]], places: Sequence[Any], y: Any, kind: str, floats: Any
) -> None:
    """Adds the products of some rows of weights, each with its number, to the sums in y."""
    sums = [emit.load(y, place, floats) for place in places]
    for row, value in rows:
        parts = [_weights(emit, row, place, kind, floats.count) for place in places]
        sums = [emit.fma(part, value, total) for part, total in zip(parts, sums, strict=True)]
    for place, total in zip(places, sums, strict=True):
        emit.store(total, y, place)


def _emit_end(emit: Emitter, total: Any, bias: Any, floor: Any, y: Any, place: Any, of_bias: Any | None = None) -> None:
    """What a sum comes to, stored."""
    at, floats = emit.at, total.type
    lowest = emit.splat(floor, floats.count)
    total = at.fadd(total, emit.load(bias, place if of_bias is None else of_bias, floats))
    emit.store(at.select(at.fcmp_ordered("<", total, lowest), lowest, total), y, place)  # what is no number stays none


class _Shape(NamedTuple):
    """Of a tile: as many sums as registers hold, and the longer a stretch of a row of weights the better."""

    rows: int
    """At most."""
    vectors: int
    width: int
    only: bool = False
    """It is not for more rows than it holds at once."""


def _shapes(cpu: Processor, kind: str) -> tuple[_Shape, ...]:
    """In the order in which columns are covered: whole tiles, single vectors, the last few one by one."""
    vectors, width = cpu.vectors, cpu.width
    alone = (_Shape(1, 4 * vectors, width, only=True),) if kind == "int8" else ()  # for others there is the band
    return (
        *alone,
        _Shape(3, 2 * vectors, width, only=True),
        _Shape(ROWS, vectors, width),
        _Shape(1, 1, width),
        _Shape(1, 1, 1),
    )


class _Tiles:
    """Of one shape, for any number of rows.

    The first block of rows finds the weights in memory and asks for them ahead of time; those behind it find them in a
    cache, where asking would only cost.
    """

    def __init__(self, module: ir.Module, kind: str, shape: _Shape) -> None:
        self.rows = shape.rows
        self._kind = kind
        sizes = range(1, shape.rows + 1)
        eager = shape.vectors > 1 and kind != "int8"  # panels are read from front to back, which is foreseen
        self.first = {size: _emit_tile(module, kind, size, shape, ahead=eager) for size in sizes}
        self.later = self.first
        if eager and not shape.only:  # blocks are nearly equal, so where there are several none is below half
            halves = range((shape.rows + 1) // 2, shape.rows + 1)
            self.later = {size: _emit_tile(module, kind, size, shape, ahead=False) for size in halves}

    def place(self, emit: Emitter, depth: Any, column: Any) -> Any:
        """Where a column begins, in elements."""
        return _column_of_panels(emit, depth, column) if self._kind == "int8" else column


def _rows_of(emit: Emitter, tiles: _Tiles, column: Any) -> None:
    """All rows of some columns, in blocks of nearly equal size."""
    x, ldx, w, ldw, depth, scale, bias, y, ldy, rows, *_, floor, _room = emit.function.args
    at = emit.at
    blocks = at.sdiv(at.add(rows, index(tiles.rows - 1)), index(tiles.rows))
    with emit.loop(index(0), blocks, index(1)) as body:
        begin, end = emit.share(rows, body.index, blocks)
        given = (
            at.gep(x, [at.mul(begin, ldx)]),
            ldx,
            at.gep(w, [tiles.place(emit, depth, column)]),
            ldw,
            depth,
            at.gep(scale, [column]),
            at.gep(bias, [column]),
            at.gep(y, [at.add(at.mul(begin, ldy), column)]),
            ldy,
            floor,
        )
        size = at.sub(end, begin)
        with at.if_else(at.icmp_signed("==", body.index, index(0))) as (first, later):
            with first:
                emit.choose(size, tiles.first, given)
            with later:
                emit.choose(size, tiles.later, given)


def _emit_tile(module: ir.Module, kind: str, rows: int, shape: _Shape, *, ahead: bool) -> Any:
    """Some rows of some columns: sums in registers, from the first k to the last."""
    arguments = (FLOATS, I64, ir.PointerType(KINDS[kind]), I64, I64, FLOATS, FLOATS, FLOATS, I64, F32)
    _, vectors, width, _ = shape
    emit = Emitter(module, f"tile_{kind}_{rows}x{vectors}x{width}{'_ahead' if ahead else ''}", arguments)
    emit.function.linkage = "internal"
    emit.function.attributes.add("noinline")
    x, ldx, w, ldw, depth, scale, bias, y, ldy, floor = emit.function.args
    at, floats = emit.at, vector(width)
    sums: list[Any] = [ir.Constant(floats, [0.0] * width)] * (rows * vectors)
    unrolled = at.mul(at.sdiv(depth, index(_UNROLLED)), index(_UNROLLED))
    for start, stop, step in ((index(0), unrolled, _UNROLLED), (unrolled, depth, 1)):
        with emit.loop(start, stop, index(step), sums) as body:
            for offset in range(step):
                k = at.add(body.index, index(offset))
                row = at.mul(k, ldw)
                if ahead:
                    _announce(emit, w, at.mul(at.add(k, index(_AHEAD)), ldw), kind, vectors * width)
                if kind == "int8":
                    parts = [_from_panels(emit, w, depth, k, v * width, width) for v in range(vectors)]
                else:
                    parts = [_weights(emit, w, at.add(row, index(v * width)), kind, width) for v in range(vectors)]
                for m in range(rows):
                    value = emit.splat(emit.load(x, at.add(at.mul(ldx, index(m)), k), F32), width)
                    for v, part in enumerate(parts):
                        body.values[m * vectors + v] = emit.fma(part, value, body.values[m * vectors + v])
        sums = body.values
    for m in range(rows):
        for v in range(vectors):
            place = index(v * width)
            total = sums[m * vectors + v]
            if kind == "int8":
                total = at.fmul(total, emit.load(scale, place, floats))
            _emit_end(emit, total, bias, floor, y, at.add(at.mul(ldy, index(m)), place), place)
    return emit.done()


def _announce(emit: Emitter, base: Any, offset: Any, kind: str, columns: int) -> None:
    """Asks for the stretch of a row that is multiplied a little later: rows lie too far apart to be foreseen."""
    line = _LINE_BYTES // _BYTES[kind]
    for column in range(0, columns, line):
        emit.prefetch(base, emit.at.add(offset, index(column)))


def _weights(emit: Emitter, base: Any, offset: Any, kind: str, width: int) -> Any:
    """A vector of weights in single precision."""
    raw = emit.load(base, offset, vector(width, KINDS[kind]))
    if kind == "float16":
        return emit.at.fpext(raw, vector(width))
    return raw


def _column_of_panels(emit: Emitter, depth: Any, column: Any) -> Any:
    """Bytes from the beginning of a matrix in panels to the first group of a column."""
    at = emit.at
    groups = at.sdiv(at.add(depth, index(GROUP - 1)), index(GROUP))
    panel = at.mul(at.sdiv(column, index(PANEL)), at.mul(groups, index(GROUP_BYTES)))
    return at.add(panel, at.mul(at.srem(column, index(PANEL)), index(GROUP)))


def _from_panels(emit: Emitter, base: Any, depth: Any, k: Any, column: int, width: int) -> Any:
    """A vector of weights of 8 bits in single precision; `base` is where the tile's first column begins."""
    at, whole = emit.at, vector(width, I32)
    place = at.add(_column_of_panels(emit, depth, index(column)), at.mul(at.sdiv(k, index(GROUP)), index(GROUP_BYTES)))
    signs = ir.Constant(whole, [ZERO * 0x01010101] * width)
    groups = at.xor(emit.load(base, place, whole), signs)
    top = at.trunc(at.mul(index(8), at.sub(index(GROUP - 1), at.srem(k, index(GROUP)))), I32)
    moved = at.shl(groups, emit.splat(top, width))
    return at.sitofp(at.ashr(moved, ir.Constant(whole, [24] * width)), vector(width))


def lowest() -> Any:
    """A floor that is none."""
    return number(float("-inf"))
