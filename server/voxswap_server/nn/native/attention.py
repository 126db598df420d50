"""One new position of one head attends to all positions before it, and to itself.

Knows nothing of rows and layers. Keys and values lie position by position, as the cache keeps them.
"""

from math import sqrt
from typing import Any, Final

from llvmlite import ir

from voxswap_server.nn.native.emitter import F32, FLOATS, I32, I64, Emitter, index, number, vector

KEPT: Final = {"float16": ir.HalfType(), "float32": F32}
"""What keys and values are kept as, by the name of their dtype."""
_LINE_BYTES: Final = 64

_ABREAST: Final = 4
"""Positions at once: their sums do not wait for one another."""
_WIDEST: Final = 16
_LOG2E: Final = 1.4426950408889634
_LN2_HIGH: Final = 0.693359375
_LN2_LOW: Final = -2.12194440e-4
_EXP: Final = (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0)
"""Taylor's polynomial: on half a power of two around 0 its error is below that of a single-precision number."""
_COLDEST: Final = -87.0


def emit_attention(module: ir.Module, head_dim: int, width: int, kept: str) -> Any:
    """Function of (query, key, value, kept keys, kept values, length, scores, out, kept keys of the next head).

    Query, key, value and out are (head_dim,); the key and the value are kept at place `length` first, as `kept` says.
    `scores` has room for length + 1 numbers and one vector more. Values are asked for while keys are read, and the next
    head's keys while values are: memory is never waited for twice.
    """
    places = ir.PointerType(KEPT[kept])
    emit = Emitter(module, "attend", (FLOATS, FLOATS, FLOATS, places, places, I64, FLOATS, FLOATS, places))
    emit.function.linkage = "internal"
    emit.function.attributes.add("noinline")
    query, key, value, keys, values, length, scores, out, following = emit.function.args
    at, floats = emit.at, vector(head_dim)
    place = at.mul(length, index(head_dim))
    for new, old in ((key, keys), (value, values)):
        one = emit.load(new, index(0), floats)
        emit.store(one if kept == "float32" else at.fptrunc(one, vector(head_dim, KEPT[kept])), old, place)
    positions = at.add(length, index(1))
    peak = _emit_scores(emit, query, (keys, values), positions, scores, head_dim)
    mass = _emit_softmax(emit, scores, positions, peak, width)
    heard = _emit_mean(emit, (values, following), positions, scores, head_dim)
    emit.store(at.fdiv(heard, emit.splat(mass, head_dim)), out, index(0))
    return emit.done()


def _as_floats(emit: Emitter, kept: Any, place: Any, width: int) -> Any:
    """A vector of what is kept, in single precision."""
    floats, element = vector(width), kept.type.pointee
    raw = emit.load(kept, place, vector(width, element))
    return raw if element == F32 else emit.at.fpext(raw, floats)


def _emit_scores(emit: Emitter, query: Any, kept: tuple[Any, Any], positions: Any, scores: Any, head_dim: int) -> Any:
    """Query times every key; returns the largest. Values are asked for meanwhile."""
    at = emit.at
    keys, values = kept
    width = _part_of(head_dim)
    floats, scale = vector(width), emit.splat(number(1 / sqrt(head_dim)), width)
    asked = [at.fmul(emit.load(query, index(part), floats), scale) for part in range(0, head_dim, width)]

    def products(place: Any) -> Any:
        """(width,) What the scores of one position are the sum of."""
        total = ir.Constant(floats, [0.0] * width)
        for part, piece in enumerate(asked):
            key = _as_floats(emit, keys, at.add(at.mul(place, index(head_dim)), index(part * width)), width)
            total = emit.fma(piece, key, total)
        return total

    peaks = ir.Constant(floats, [float("-inf")] * width)
    whole = at.mul(at.sdiv(positions, index(width)), index(width))
    with emit.loop(index(0), whole, index(width), [peaks]) as body:
        _announce(emit, values, body.index, width, head_dim)
        found = emit.sums([products(at.add(body.index, index(offset))) for offset in range(width)])
        emit.store(found, scores, body.index)
        body.values[0] = at.select(at.fcmp_ordered(">", found, body.values[0]), found, body.values[0])
    peak = emit.greatest(body.values[0])
    with emit.loop(whole, positions, index(1), [peak]) as body:
        score = emit.sum(products(body.index))
        emit.store(score, scores, body.index)
        body.values[0] = at.select(at.fcmp_ordered(">", score, body.values[0]), score, body.values[0])
    return body.values[0]


def _announce(emit: Emitter, kept: Any, place: Any, count: int, head_dim: int) -> None:
    """Asks for so many positions from one on."""
    line = _LINE_BYTES // (4 if kept.type.pointee == F32 else 2)
    begin = emit.at.mul(place, index(head_dim))
    for offset in range(0, count * head_dim, line):
        emit.prefetch(kept, emit.at.add(begin, index(offset)))


def _part_of(head_dim: int) -> int:
    """A power of two that divides it, and so many numbers a vector."""
    return min(_WIDEST, head_dim & -head_dim)


def _emit_softmax(emit: Emitter, scores: Any, positions: Any, peak: Any, width: int) -> Any:
    """Scores become e to the power of their distance from the peak; returns their sum."""
    at, floats = emit.at, vector(width)
    # Behind the last score: nothing, to the end of a vector.
    emit.store(ir.Constant(floats, [float("-inf")] * width), scores, positions)
    with emit.loop(index(0), positions, index(width), [ir.Constant(floats, [0.0] * width)]) as body:
        distance = at.fsub(emit.load(scores, body.index, floats), emit.splat(peak, width))
        weight = exponential(emit, distance)
        emit.store(weight, scores, body.index)
        body.values[0] = at.fadd(body.values[0], weight)
    return emit.sum(body.values[0])


def _emit_mean(emit: Emitter, kept: tuple[Any, Any], positions: Any, scores: Any, head_dim: int) -> Any:
    """Sum of the values, each times its weight. The next keys are asked for meanwhile."""
    values, following = kept
    at, floats = emit.at, vector(head_dim)
    totals: list[Any] = [ir.Constant(floats, [0.0] * head_dim)] * _ABREAST
    for start, stop, step in _strides(emit, positions):
        with emit.loop(start, stop, index(step), totals) as body:
            _announce(emit, following, body.index, step, head_dim)
            for offset in range(step):
                place = at.add(body.index, index(offset))
                weight = emit.splat(emit.load(scores, place, number(0).type), head_dim)
                value = _as_floats(emit, values, at.mul(place, index(head_dim)), head_dim)
                body.values[offset] = emit.fma(weight, value, body.values[offset])
        totals = body.values
    return at.fadd(at.fadd(totals[0], totals[1]), at.fadd(totals[2], totals[3]))


def _strides(emit: Emitter, positions: Any) -> tuple[tuple[Any, Any, int], ...]:
    """Several positions at a time, then what is left one by one."""
    whole = emit.at.mul(emit.at.sdiv(positions, index(_ABREAST)), index(_ABREAST))
    return (index(0), whole, _ABREAST), (whole, positions, 1)


def exponential(emit: Emitter, x: Any) -> Any:
    """The exponential of each place, none of which is above 0; far below it comes to 0, of no number comes none."""
    at, width = emit.at, x.type.count

    def constant(value: float) -> Any:
        return ir.Constant(x.type, [value] * width)

    clipped = at.select(at.fcmp_ordered(">", x, constant(_COLDEST)), x, constant(_COLDEST))
    power = emit.intrinsic("rint", at.fmul(clipped, constant(_LOG2E)))
    rest = emit.fma(power, constant(-_LN2_HIGH), clipped)
    rest = emit.fma(power, constant(-_LN2_LOW), rest)
    total = constant(_EXP[0])
    for factor in _EXP[1:]:
        total = emit.fma(total, rest, constant(factor))
    whole = vector(width, I32)
    exponent = at.fptosi(at.fadd(power, constant(127.0)), whole)
    scale = at.bitcast(at.shl(exponent, ir.Constant(whole, [23] * width)), x.type)
    found = at.fadd(at.fmul(total, scale), at.fsub(x, x))  # x - x is nothing, or no number where x is none
    return at.select(at.fcmp_ordered("<", x, constant(_COLDEST)), constant(0.0), found)
