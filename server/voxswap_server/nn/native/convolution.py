"""Convolutions over time that keep the length and the number of channels, with half the products of the plain sum.

A sequence lies frame by frame, (positions, channels). Tiles of outputs that are `dilation` apart are computed by
`toom_cook`: sums of inputs, of which a long kernel's parts share most, are multiplied with sums of taps as matrices
over all channels, and the products are summed up to outputs. What is done to each number before and after (a leaky
ReLU, the bias, the residual) costs no pass of its own. Knows nothing of networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Final

from llvmlite import ir

from voxswap_server.nn.native.compiler import Compiled, Processor, compiled
from voxswap_server.nn.native.emitter import F32, FLOATS, I64, Emitter, index, number, vector
from voxswap_server.nn.native.team import TASK, emit_meeting
from voxswap_server.nn.native.toom_cook import LONG, SHORT, ToomCook

_ROWS: Final = 6
"""Of a tile of products that has as many vectors a row as the processor allows; narrower ones have more rows."""
_UNROLLED: Final = 4
_MOST_CHANNELS: Final = 1024
_BLOCK_FLOATS: Final = 64 * 1024
"""Sums of inputs that a thread holds at once: with as many products they fit in a core's second cache."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the code is made for; wide layers of any number of channels share theirs."""

    short: bool
    """The kernel fits `SHORT`."""
    width: int
    """Floats of a vector."""
    vectors: int
    """Of a tile of products: its row, a panel."""
    rows: int
    """Of the same tile."""
    narrow: bool
    """A panel is all there is, and has more rows than the processor's widest tile."""

    @classmethod
    def of(cls, channels: int, kernel: int, cpu: Processor) -> "Shape | None":
        """None where the channels do not fill vectors."""
        if channels % cpu.width or channels > _MOST_CHANNELS:
            return None
        whole = channels // cpu.width
        vectors = max(count for count in range(1, cpu.vectors + 1) if whole % count == 0)
        narrow = whole == vectors < cpu.vectors
        return cls(kernel <= SHORT.taps, cpu.width, vectors, _ROWS * cpu.vectors // vectors, narrow)

    @property
    def scheme(self) -> ToomCook:
        return SHORT if self.short else LONG

    @property
    def panel(self) -> int:
        """Outputs that are computed together."""
        return self.vectors * self.width


@dataclass(frozen=True, slots=True)
class Plan:
    """How one sequence is cut. A tile is one row of each matrix."""

    parts: int
    """Short kernels that the kernel is made of."""
    size: int
    """Rows of a block; of the last one some may be for nothing."""
    blocks: int
    scratch_floats: int
    """Sums of taps, then what each thread has for itself."""

    @classmethod
    def of(cls, shape: Shape, channels: int, positions: int, kernel: int, dilation: int, threads: int) -> "Plan":
        """Every thread has its share, if there is enough."""
        scheme = shape.scheme
        parts = _up(kernel, scheme.taps)
        tiles = _up(positions, scheme.outputs * dilation) * dilation
        blocks = max(_up(tiles * scheme.products * channels, _BLOCK_FLOATS), min(threads, tiles))
        size = _up(_up(tiles, blocks), shape.rows) * shape.rows
        mixed = (size + (parts - 1) * dilation) * channels
        own = scheme.products * (mixed + size * shape.panel) + channels
        return cls(parts, size, _up(tiles, size), scheme.products * parts * channels**2 + threads * own)


def _up(count: int, of: int) -> int:
    """Of so many to hold that many."""
    return -(-count // of)


WORDS: Final = (
    *("x", "y", "weight", "bias", "residual", "scratch"),
    *("positions", "channels", "kernel", "dilation", "parts", "size", "blocks"),
)
"""Of a call: places, where a residual of 0 is none, then numbers. The weight is (out, kernel, in)."""


@cache
def convolution_code(shape: Shape, slope: float) -> Compiled:
    """Machine code with the task "convolve": y = convolution(leaky ReLU(x)) + bias + residual."""
    module = ir.Module()
    _Convolution(module, shape, slope, emit_meeting(module)).emit()
    return compiled(module)


class _Convolution:
    """Writes the task and its parts. Of all but the rows of narrow layers the number of channels is an argument."""

    def __init__(self, module: ir.Module, shape: Shape, slope: float, meet: Any) -> None:
        self._module, self._shape, self._slope, self._meet = module, shape, slope, meet
        self._scheme, self._floats = shape.scheme, vector(shape.width)
        self._nothing = ir.Constant(self._floats, [0.0] * shape.width)
        self._zeros = self._table("zeros", [0.0] * _MOST_CHANNELS)
        self._of_taps = self._table("of_taps", [float(value) for row in self._scheme.of_taps() for value in row])

    def emit(self) -> None:
        taps, inputs, multiply, outputs = self._taps(), self._inputs(), self._multiply(), self._outputs()
        emit, products = Emitter(self._module, "convolve", TASK.args), index(self._scheme.products)
        at, panel = emit.at, index(self._shape.panel)
        thread, threads, given, shared = emit.function.args
        words = [emit.load(given, index(place), I64) for place in range(len(WORDS))]
        x, y, weight, bias, residual, scratch = (at.inttoptr(word, FLOATS) for word in words[:6])
        positions, channels, kernel, dilation, parts, size, blocks = words[6:]
        side = at.udiv(channels, index(self._shape.width))
        begin, end = emit.share(at.mul(side, side), thread, threads)
        at.call(taps, (weight, scratch, channels, kernel, parts, begin, end))
        at.call(self._meet, (threads, shared))
        rows = at.add(size, at.mul(at.sub(parts, index(1)), dilation))
        sums, plane = at.mul(rows, channels), at.mul(parts, at.mul(channels, channels))
        own = at.mul(products, at.add(sums, at.mul(size, panel)))
        mixed = at.gep(scratch, [at.add(at.mul(products, plane), at.mul(at.add(own, channels), thread))])
        made, spare = at.gep(mixed, [at.mul(products, sums)]), at.gep(mixed, [own])
        begin, end = emit.share(blocks, thread, threads)
        with emit.loop(begin, end, index(1)) as block:
            first = at.mul(block.index, size)
            at.call(inputs, (x, positions, channels, kernel, dilation, first, rows, mixed))
            with emit.loop(index(0), channels, panel) as column:
                place = at.mul(at.mul(column.index, channels), parts)
                with emit.loop(index(0), products, index(1)) as product:
                    one = at.gep(mixed, [at.mul(product.index, sums)])
                    other = at.gep(scratch, [at.add(at.mul(product.index, plane), place)])
                    result = at.gep(made, [at.mul(product.index, at.mul(size, panel))])
                    at.call(multiply, (one, other, result, channels, size, parts, at.mul(dilation, channels)))
                at.call(
                    outputs,
                    (made, first, size, positions, channels, dilation, column.index, bias, residual, y, spare),
                )
        at.call(self._meet, (threads, shared))
        emit.done()

    def _taps(self) -> Any:
        """Sums of taps of some squares of channels: [product][panel][part][in][out of the panel]."""
        emit = self._function("sum_taps", (FLOATS, FLOATS, I64, I64, I64, I64, I64))
        weight, summed, channels, kernel, parts, begin, end = emit.function.args
        at, scheme, width, size = emit.at, self._scheme, index(self._shape.width), index(self._shape.panel)
        side, plane = at.udiv(channels, width), at.mul(parts, at.mul(channels, channels))
        with emit.loop(begin, end, index(1)) as square:
            out, inner = (at.mul(found(square.index, side), width) for found in (at.udiv, at.urem))
            panel, column = at.udiv(out, size), at.urem(out, size)
            with emit.loop(index(0), parts, index(1)) as part:
                row = at.add(at.mul(at.add(at.mul(panel, parts), part.index), channels), inner)
                place = at.add(at.mul(row, size), column)
                tap = at.mul(part.index, index(scheme.taps))
                source = at.gep(weight, [at.add(at.mul(at.add(at.mul(out, kernel), tap), channels), inner)])
                with emit.loop(index(0), index(scheme.products), index(1)) as product:
                    factors = at.gep(self._of_taps, [at.mul(product.index, index(scheme.taps))])
                    rows = self._summed_taps(emit, source, factors, channels, kernel, at.sub(kernel, tap))
                    target = at.gep(summed, [at.add(at.mul(product.index, plane), place)])
                    for line, values in enumerate(emit.transposed(rows)):
                        emit.store(values, target, index(line * self._shape.panel))
        return emit.done()

    def _summed_taps(
        self, emit: Emitter, source: Any, factors: Any, channels: Any, kernel: Any, there: Any
    ) -> list[Any]:
        """One product's taps, of which so many are there: for each of some outputs a vector of inputs."""
        at, width = emit.at, self._shape.width
        rows: list[Any] = [self._nothing] * width
        for tap in range(self._scheme.taps):
            has = at.icmp_signed("<", index(tap), there)
            factor = emit.splat(emit.load(factors, index(tap), F32), width)
            for line in range(width):
                offset = at.mul(at.add(at.mul(kernel, index(line)), index(tap)), channels)
                place = at.select(has, at.gep(source, [offset]), self._zeros)
                rows[line] = emit.fma(emit.load(place, index(0), self._floats), factor, rows[line])
        return rows

    def _inputs(self) -> Any:
        """Sums of inputs of some tiles, [product][tile][channel]; what lies outside of the sequence is 0."""
        emit = self._function("sum_inputs", (FLOATS, I64, I64, I64, I64, I64, I64, FLOATS))
        x, positions, channels, kernel, dilation, first, rows, mixed = emit.function.args
        at, width = emit.at, self._shape.width
        slope, plane = emit.splat(number(self._slope), width), at.mul(rows, channels)
        before = at.mul(at.udiv(kernel, index(2)), dilation)
        with emit.loop(index(0), rows, index(1)) as row:
            start = at.sub(self._position(emit, at.add(first, row.index), dilation), before)
            sources = []
            for place in range(self._scheme.products):
                position = at.add(start, at.mul(dilation, index(place)))
                inside = at.icmp_unsigned("<", position, positions)
                sources.append(at.select(inside, at.gep(x, [at.mul(position, channels)]), self._zeros))
            with emit.loop(index(0), channels, index(width)) as body:
                values = [emit.load(source, body.index, self._floats) for source in sources]
                values = [emit.greater(value, at.fmul(value, slope)) for value in values]
                target = at.gep(mixed, [at.add(at.mul(row.index, channels), body.index)])
                for product, value in enumerate(self._of_inputs(emit, values)):
                    emit.store(value, target, at.mul(plane, index(product)))
        return emit.done()

    def _multiply(self) -> Any:
        """Rows of one product: the sums of inputs times those of taps, all parts of the kernel together."""
        emit = self._function("multiply", (FLOATS, FLOATS, FLOATS, I64, I64, I64, I64))
        mixed, taps, made, channels, size, parts, apart = emit.function.args
        at, shape, panel = emit.at, self._shape, index(self._shape.panel)
        if shape.narrow:  # so that the places of many rows need no registers
            channels = panel
        with emit.loop(index(0), size, index(shape.rows)) as block:
            first = at.gep(mixed, [at.mul(block.index, channels)])
            nothing: list[Any] = [self._nothing] * (shape.rows * shape.vectors)
            with emit.loop(index(0), parts, index(1), nothing) as part:
                x = at.gep(first, [at.mul(part.index, apart)])
                column = at.gep(taps, [at.mul(part.index, at.mul(channels, panel))])
                with emit.loop(index(0), channels, index(_UNROLLED), part.values) as body:
                    for step in range(_UNROLLED):
                        k = at.add(body.index, index(step))
                        self._step(emit, at.gep(x, [k]), channels, at.gep(column, [at.mul(k, panel)]), body.values)
                part.values = body.values
            target = at.gep(made, [at.mul(block.index, panel)])
            for place, total in enumerate(part.values):
                emit.store(total, target, index(place * shape.width))
        return emit.done()

    def _step(self, emit: Emitter, x: Any, channels: Any, taps: Any, sums: list[Any]) -> None:
        """What one channel of each row gives to each output."""
        shape = self._shape
        factors = [emit.load(taps, index(v * shape.width), self._floats) for v in range(shape.vectors)]
        for m in range(shape.rows):
            value = emit.splat(emit.load(x, emit.at.mul(channels, index(m)), F32), shape.width)
            for v, factor in enumerate(factors):
                sums[m * shape.vectors + v] = emit.fma(factor, value, sums[m * shape.vectors + v])

    def _outputs(self) -> Any:
        """Sums products of some tiles up to outputs of one panel, and adds bias and residual."""
        kinds = (FLOATS, I64, I64, I64, I64, I64, I64, FLOATS, FLOATS, FLOATS, FLOATS)
        emit = self._function("sum_products", kinds)
        made, first, size, positions, channels, dilation, panel, bias, residual, y, spare = emit.function.args
        at, shape = emit.at, self._shape
        plane, shift = at.mul(size, index(shape.panel)), at.gep(bias, [panel])
        alone = at.icmp_unsigned("==", at.ptrtoint(residual, I64), index(0))
        with emit.loop(index(0), size, index(1)) as row:
            start = self._position(emit, at.add(first, row.index), dilation)
            targets, others = [], []
            for place in range(self._scheme.outputs):
                position = at.add(start, at.mul(dilation, index(place)))
                outside = at.icmp_signed(">=", position, positions)
                offset = at.add(at.mul(position, channels), panel)
                targets.append(at.select(outside, spare, at.gep(y, [offset])))
                others.append(at.select(at.or_(alone, outside), self._zeros, at.gep(residual, [offset])))
            source = at.gep(made, [at.mul(row.index, index(shape.panel))])
            for column in (index(start) for start in range(0, shape.panel, shape.width)):
                products = range(self._scheme.products)
                places = [at.add(at.mul(plane, index(product)), column) for product in products]
                values = self._of_products(emit, [emit.load(source, place, self._floats) for place in places])
                for value, target, other in zip(values, targets, others, strict=True):
                    shifted = at.fadd(value, emit.load(shift, column, self._floats))
                    emit.store(at.fadd(shifted, emit.load(other, column, self._floats)), target, column)
        return emit.done()

    def _position(self, emit: Emitter, tile: Any, dilation: Any) -> Any:
        """The first output of a tile: neighbouring tiles begin at neighbouring positions, `dilation` of them."""
        at = emit.at
        group, rest = at.udiv(tile, dilation), at.urem(tile, dilation)
        return at.add(at.mul(at.mul(group, dilation), index(self._scheme.outputs)), rest)

    def _of_inputs(self, emit: Emitter, values: list[Any]) -> list[Any]:
        """Sums of inputs; the rows of two opposite points differ in the sign of every second number."""
        rows = self._scheme.of_inputs()
        found = [self._weighed(emit, row, values) for row in rows[: int(self._scheme.zero)]]
        for row in rows[len(found) : -1 : 2]:
            halves = [
                self._weighed(emit, [factor if place % 2 == odd else 0 for place, factor in enumerate(row)], values)
                for odd in (len(row) % 2, 1 - len(row) % 2)
            ]  # the one with the highest power, which is 1 in both rows, comes first
            found += [emit.at.fadd(*halves), emit.at.fsub(*halves)]
        return [*found, self._weighed(emit, rows[-1], values)]

    def _of_products(self, emit: Emitter, values: list[Any]) -> list[Any]:
        """Outputs; what two opposite products give is added up and subtracted once for all of them."""
        rows, at, zero = self._scheme.of_products(), emit.at, int(self._scheme.zero)
        pairs = list(zip(values[zero:-1:2], values[zero + 1 : -1 : 2], strict=True))
        sums = [at.fadd(*pair) for pair in pairs], [at.fsub(*pair) for pair in pairs]
        return [
            self._weighed(emit, [*row[:zero], *row[zero:-1:2], row[-1]], [*values[:zero], *sums[power % 2], values[-1]])
            for power, row in enumerate(rows)
        ]

    def _weighed(self, emit: Emitter, factors: Sequence[Fraction | int], values: Sequence[Any]) -> Any:
        """The sum of values, each times its factor; those of 0 are left out, those of 1 not multiplied."""
        pairs = sorted(zip(factors, values, strict=True), key=lambda pair: pair[0] != 1)
        total: Any = None
        for factor, value in pairs:
            by = emit.splat(number(float(factor)), self._shape.width)
            if factor == 1:
                total = value if total is None else emit.at.fadd(total, value)
            elif factor != 0:
                total = emit.at.fmul(value, by) if total is None else emit.fma(value, by, total)
        return total

    def _function(self, name: str, arguments: Sequence[Any]) -> Emitter:
        emit = Emitter(self._module, name, arguments)
        emit.function.linkage = "internal"
        emit.function.attributes.add("noinline")
        return emit

    def _table(self, name: str, values: Sequence[float]) -> Any:
        """Numbers that never change."""
        kind = ir.ArrayType(F32, len(values))
        table = ir.GlobalVariable(self._module, kind, name)
        table.initializer, table.global_constant, table.linkage = ir.Constant(kind, values), True, "internal"
        return table.gep([index(0), index(0)])
