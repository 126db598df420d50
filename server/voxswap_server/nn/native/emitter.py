"""Loops, vectors and pointers of LLVM's intermediate representation, as the author of a kernel thinks of them.

Knows nothing of what is computed. A vector is as wide as its type says; LLVM splits it over what the processor has.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from llvmlite import ir

F32: Final = ir.FloatType()
I32: Final = ir.IntType(32)
I64: Final = ir.IntType(64)
VOID: Final = ir.VoidType()
FLOATS: Final = ir.PointerType(F32)
BYTES: Final = ir.PointerType(ir.IntType(8))
WORDS: Final = ir.PointerType(I64)
"""Pointers are handed over as words of 64 bits: that is how tables of them lie in memory."""


def vector(width: int, element: Any = F32) -> Any:
    return ir.VectorType(element, width)


def index(value: int) -> Any:
    return ir.Constant(I64, value)


def number(value: float) -> Any:
    return ir.Constant(F32, value)


def external(module: ir.Module, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    """A function of LLVM or of libc, declared once a module."""
    known = module.globals.get(name)
    return known or ir.Function(module, ir.FunctionType(result, arguments), name)


@dataclass(slots=True)
class Loop:
    """The inside of a loop; after it, `values` are what the last round left."""

    index: Any
    values: list[Any]
    """Carried from round to round: replace them before the body ends."""


class Emitter:
    """Writes one function, from top to bottom."""

    def __init__(self, module: ir.Module, name: str, arguments: Sequence[Any], result: Any = VOID) -> None:
        self.module = module
        self.function = ir.Function(module, ir.FunctionType(result, arguments), name)
        self.at = ir.IRBuilder(self.function.append_basic_block())

    @contextmanager
    def loop(self, start: Any, stop: Any, step: Any, carried: Sequence[Any] = ()) -> Iterator[Loop]:
        """For index = start; index < stop; index += step: any number of rounds, none too."""
        before = self.at.block
        head, body, end = (self.function.append_basic_block() for _ in range(3))
        self.at.branch(head)
        self.at.position_at_end(head)
        counter = self._phi(start, before)
        phis = [self._phi(value, before) for value in carried]
        self.at.cbranch(self.at.icmp_signed("<", counter, stop), body, end)
        self.at.position_at_end(body)
        inside = Loop(counter, list(phis))
        yield inside
        counter.add_incoming(self.at.add(counter, step), self.at.block)
        for phi, value in zip(phis, inside.values, strict=True):
            phi.add_incoming(value, self.at.block)
        self.at.branch(head)
        self.at.position_at_end(end)
        inside.values = phis

    def load(self, base: Any, offset: Any, kind: Any) -> Any:
        """A value of type `kind` at an offset counted in elements of `base`; aligned like its elements."""
        place = self.at.bitcast(self.at.gep(base, [offset]), ir.PointerType(kind))
        return self.at.load(place, align=_alignment(kind))

    def store(self, value: Any, base: Any, offset: Any) -> None:
        place = self.at.bitcast(self.at.gep(base, [offset]), ir.PointerType(value.type))
        self.at.store(value, place, align=_alignment(value.type))

    def prefetch(self, base: Any, offset: Any) -> None:
        """Asks for the cache line there; any place will do, even one that is not ours."""
        kinds = (BYTES, I32, I32, I32)
        reading, soon, data = (ir.Constant(I32, value) for value in (0, 3, 1))
        place = self.at.bitcast(self.at.gep(base, [offset]), BYTES)
        self.at.call(external(self.module, "llvm.prefetch.p0", VOID, kinds), (place, reading, soon, data))

    def splat(self, value: Any, width: int) -> Any:
        """The same number in every place of a vector."""
        kind = vector(width, value.type)
        nothing = ir.Constant(kind, ir.Undefined)
        first = self.at.insert_element(nothing, value, ir.Constant(I32, 0))
        return self.at.shuffle_vector(first, nothing, ir.Constant(vector(width, I32), [0] * width))

    def intrinsic(self, name: str, *values: Any) -> Any:
        """An operation of LLVM on vectors of one type."""
        kind = values[0].type
        function = external(self.module, f"llvm.{name}.{_suffix(kind)}", kind, [value.type for value in values])
        return self.at.call(function, values)

    def fma(self, one: Any, other: Any, onto: Any) -> Any:
        return self.intrinsic("fma", one, other, onto)

    def sum(self, values: Any) -> Any:
        """Of a vector's places, in halves: always the same order."""
        return self._folded(values, self.at.fadd)

    def count(self, values: Any) -> Any:
        """Sum of a vector's places, which are whole numbers."""
        return self._folded(values, self.at.add)

    def greatest(self, values: Any) -> Any:
        """Of a vector's places."""
        return self._folded(
            values, lambda one, other: self.at.select(self.at.fcmp_ordered(">", one, other), one, other)
        )

    def sums(self, vectors: Sequence[Any]) -> Any:
        """Of as many vectors as each has places, a power of two: one vector of their sums, in order."""
        while len(vectors) > 1:
            vectors = [self._pairs(one, other) for one, other in zip(vectors[::2], vectors[1::2], strict=True)]
        return vectors[0]

    def transposed(self, rows: Sequence[Any]) -> list[Any]:
        """Of as many vectors as each has places, a power of two: the vector of their first places, of their second."""
        width: int = rows[0].type.count
        found, half = list(rows), width // 2
        while half:  # squares of this size change places
            low = [place + (width - half if place & half else 0) for place in range(width)]
            for one in (row for row in range(width) if not row & half):
                pair = found[one], found[one + half]
                found[one] = self.at.shuffle_vector(*pair, _places(low))
                found[one + half] = self.at.shuffle_vector(*pair, _places([place + half for place in low]))
            half //= 2
        return found

    def greater(self, one: Any, other: Any) -> Any:
        """Place by place; what is no number stays none."""
        return self.at.select(self.at.fcmp_ordered("<", one, other), other, one)

    def _pairs(self, one: Any, other: Any) -> Any:
        """Sums of neighbours: those of the first vector, then those of the second."""
        width: int = one.type.count
        even, odd = (_places(range(start, 2 * width, 2)) for start in (0, 1))
        return self.at.fadd(self.at.shuffle_vector(one, other, even), self.at.shuffle_vector(one, other, odd))

    def _folded(self, values: Any, join: Callable[[Any, Any], Any]) -> Any:
        width: int = values.type.count
        while width > 1 and width % 2 == 0:
            width //= 2
            nothing = ir.Constant(values.type, ir.Undefined)
            halves = (_places(range(start, start + width)) for start in (0, width))
            values = join(*(self.at.shuffle_vector(values, nothing, half) for half in halves))
        total = self.at.extract_element(values, ir.Constant(I32, 0))
        for place in range(1, width):
            total = join(total, self.at.extract_element(values, ir.Constant(I32, place)))
        return total

    def share(self, whole: Any, number: Any, of: Any) -> tuple[Any, Any]:
        """Where the share of one of several equals begins and ends."""
        begin = self.at.sdiv(self.at.mul(whole, number), of)
        return begin, self.at.sdiv(self.at.mul(whole, self.at.add(number, index(1))), of)

    def least(self, one: Any, other: Any) -> Any:
        return self.at.select(self.at.icmp_signed("<", one, other), one, other)

    def choose(self, number: Any, functions: Mapping[int, Any], given: Sequence[Any]) -> None:
        """Calls the function of this number; none where there is none."""
        after = self.function.append_basic_block()
        choice = self.at.switch(number, after)
        for number_of, function in functions.items():
            block = self.function.append_basic_block()
            choice.add_case(index(number_of), block)
            self.at.position_at_end(block)
            self.at.call(function, given)
            self.at.branch(after)
        self.at.position_at_end(after)

    def done(self) -> Any:
        """Ends a function that returns nothing."""
        self.at.ret_void()
        return self.function

    def _phi(self, value: Any, block: Any) -> Any:
        phi = self.at.phi(value.type)
        phi.add_incoming(value, block)
        return phi


def _alignment(kind: Any) -> int:
    """Bytes: that of one element, for tensors begin where they like."""
    element = kind.element if isinstance(kind, ir.VectorType) else kind
    if isinstance(element, ir.HalfType):
        return 2
    return element.width // 8 if isinstance(element, ir.IntType) else 4


def _suffix(kind: Any) -> str:
    return f"v{kind.count}f32" if isinstance(kind, ir.VectorType) else "f32"


def _places(numbers: Sequence[int]) -> Any:
    return ir.Constant(vector(len(numbers), I32), list(numbers))
