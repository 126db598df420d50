"""Layer normalisation of the sum of two rows.

Knows nothing of what the rows are.
"""

from typing import Any

from llvmlite import ir

from voxswap_server.nn.native.emitter import FLOATS, I64, Emitter, index, number, vector


def emit_norm(module: ir.Module, size: int, width: int, epsilon: float) -> Any:
    """Function of (x, other, weight, bias, rows): x[m] = norm(x[m] + other[m]) * weight + bias, all rows of `size`."""
    while size % width:
        width //= 2
    emit = Emitter(module, "norm", (FLOATS, FLOATS, FLOATS, FLOATS, I64))
    emit.function.linkage = "internal"
    emit.function.attributes.add("noinline")
    x, other, weight, bias, rows = emit.function.args
    at, floats = emit.at, vector(width)
    zero = ir.Constant(floats, [0.0] * width)
    with emit.loop(index(0), rows, index(1)) as row:
        begin = at.mul(row.index, index(size))
        mine, added = at.gep(x, [begin]), at.gep(other, [begin])
        with emit.loop(index(0), index(size), index(width), [zero]) as body:
            value = at.fadd(emit.load(mine, body.index, floats), emit.load(added, body.index, floats))
            emit.store(value, mine, body.index)
            body.values[0] = at.fadd(body.values[0], value)
        mean = emit.splat(at.fdiv(emit.sum(body.values[0]), number(size)), width)
        with emit.loop(index(0), index(size), index(width), [zero]) as body:
            apart = at.fsub(emit.load(mine, body.index, floats), mean)
            body.values[0] = emit.fma(apart, apart, body.values[0])
        variance = at.fdiv(emit.sum(body.values[0]), number(size))
        deviation = emit.intrinsic("sqrt", at.fadd(variance, number(epsilon)))
        shrink = emit.splat(at.fdiv(number(1.0), deviation), width)
        with emit.loop(index(0), index(size), index(width)) as body:
            apart = at.fmul(at.fsub(emit.load(mine, body.index, floats), mean), shrink)
            scaled = emit.fma(apart, emit.load(weight, body.index, floats), emit.load(bias, body.index, floats))
            emit.store(scaled, mine, body.index)
    return emit.done()
