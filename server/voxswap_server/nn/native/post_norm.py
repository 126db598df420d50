"""A step of a post-norm transformer: one new position of each row through all layers, in one call.

Knows nothing of tokens: embedded rows come in, what the head makes of them goes out. Rows bring their own keys and
values, each as long as it is, at any place in memory.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from llvmlite import ir

from voxswap_server.nn.native.attention import KEPT, emit_attention
from voxswap_server.nn.native.compiler import Compiled, Processor, compiled, processor
from voxswap_server.nn.native.dots import room_bytes
from voxswap_server.nn.native.emitter import BYTES, F32, FLOATS, I64, WORDS, Emitter, index
from voxswap_server.nn.native.linear import KINDS, emit_linear, lowest
from voxswap_server.nn.native.norm import emit_norm
from voxswap_server.nn.native.panels import PANEL
from voxswap_server.nn.native.team import TASK, emit_meeting

MATRICES: Final = ("qkv", "out", "ffn_in", "ffn_out")
"""Of a layer; each is three words of the table: weight, scale, bias."""
NORMS: Final = ("norm1", "norm2")
"""Of a layer; each is two words behind the matrices: weight, bias."""
LAYER_WORDS: Final = 3 * len(MATRICES) + 2 * len(NORMS)
ROW_WORDS: Final = 3
"""Of a row: where its keys and values are, how many positions there is room for, how many there are."""
_TILE: Final = PANEL
"""Columns of a matrix that stay with one thread."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the code is made for."""

    kind: str
    """Of the matrices: a key of `linear.KINDS`."""
    width: int
    heads: int
    inner: int
    layers: int
    outputs: int
    epsilon: float

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def kept(self) -> str:
        """What keys and values are kept as: a key of `attention.KEPT`. Halves lose far less than rounded weights do."""
        return "float16" if self.kind == "int8" else "float32"

    def scratch_floats(self, rows: int, threads: int, longest: int) -> int:
        """That a step needs: shared rows, then for each thread its own rows and scores."""
        return self._shared_floats * rows + threads * self._own_floats(rows, longest)

    @property
    def _shared_floats(self) -> int:
        return 3 * self.width + self.width + self.width + self.inner

    def _own_floats(self, rows: int, longest: int) -> int:
        return self.width * rows + scores_floats(longest) + self.room_floats(rows, self.inner)

    def room_floats(self, rows: int, inputs: int) -> int:
        """That each thread needs to multiply so many rows of at most so many numbers."""
        return -(-room_bytes(rows, inputs) // 4) if self.kind == "int8" else 0


def scores_floats(longest: int) -> int:
    """Room for the scores of so many positions, the new one and a vector behind it."""
    return longest + 64


@cache
def step_code(shape: Shape) -> Compiled:
    """Machine code with the tasks "step" and "linear"."""
    module, cpu = ir.Module(), processor()
    linear = emit_linear(module, shape.kind, cpu)
    meet = emit_meeting(module)
    _emit_linear_task(module, shape.kind, linear, meet)
    _Step(module, shape, cpu, linear, meet).emit()
    return compiled(module)


def _emit_linear_task(module: ir.Module, kind: str, linear: Any, meet: Any) -> None:
    """One product by itself.

    Arguments: x, weight, scale, bias, y, rows, inputs, outputs, whether to cut below 0, room, floats of it a thread.
    """
    emit = Emitter(module, "linear", TASK.args)
    number, threads, given, shared = emit.function.args
    words = [emit.load(given, index(place), I64) for place in range(11)]
    x, scale, bias, y = (emit.at.inttoptr(words[place], FLOATS) for place in (0, 2, 3, 4))
    weight = emit.at.inttoptr(words[1], ir.PointerType(KINDS[kind]))
    rows, inputs, outputs = words[5:8]
    cut = emit.at.icmp_signed("!=", words[8], index(0))
    floor = emit.at.select(cut, ir.Constant(F32, 0.0), lowest())
    first, last = _columns(emit, outputs, number, threads)
    room = emit.at.inttoptr(emit.at.add(words[9], emit.at.mul(index(4), emit.at.mul(words[10], number))), BYTES)
    emit.at.call(linear, (x, inputs, weight, outputs, inputs, scale, bias, y, outputs, rows, first, last, floor, room))
    emit.at.call(meet, (threads, shared))
    emit.done()


def _columns(emit: Emitter, outputs: Any, number: Any, threads: Any) -> tuple[Any, Any]:
    """The columns of one thread: whole tiles."""
    tiles = emit.at.sdiv(emit.at.add(outputs, index(_TILE - 1)), index(_TILE))
    begin, end = emit.share(tiles, number, threads)
    return emit.at.mul(begin, index(_TILE)), emit.least(emit.at.mul(end, index(_TILE)), outputs)


class _Step:
    """Writes the task "step". Arguments: rows, x, scratch, layer table, row table, head, its scale, its bias, logits,
    longest row, floats of the room of a thread.
    """

    def __init__(self, module: ir.Module, shape: Shape, cpu: Processor, linear: Any, meet: Any) -> None:
        self._shape = shape
        self._linear, self._meet = linear, meet
        self._attend = emit_attention(module, shape.head_dim, cpu.width, shape.kept)
        self._norm = emit_norm(module, shape.width, cpu.width, shape.epsilon)
        self._emit = Emitter(module, "step", TASK.args)
        self._number, self._threads, self._given, self._shared = self._emit.function.args

    def emit(self) -> None:
        emit, at, shape = self._emit, self._emit.at, self._shape
        words = [emit.load(self._given, index(place), I64) for place in range(11)]
        self._rows = words[0]
        start, scratch, head_scale, head_bias, logits = (at.inttoptr(words[i], FLOATS) for i in (1, 2, 6, 7, 8))
        layers, self._table = (at.inttoptr(words[i], WORDS) for i in (3, 4))
        head = at.inttoptr(words[5], ir.PointerType(KINDS[shape.kind]))
        buffers = self._buffers(scratch, words[9], words[10])
        self._room = at.bitcast(buffers["room"], BYTES)
        self._copy(start, buffers["x"])
        with emit.loop(index(0), index(shape.layers), index(1)) as body:
            layer = at.gep(layers, [at.mul(body.index, index(LAYER_WORDS))])
            self._layer(layer, body.index, buffers)
        self._product(buffers["x"], head, head_scale, head_bias, logits, shape.width, shape.outputs)
        self._meet_all()
        emit.done()

    def _buffers(self, scratch: Any, longest: Any, room: Any) -> dict[str, Any]:
        """Names to places: shared ones first, then this thread's own."""
        at, shape, found, place = self._emit.at, self._shape, {}, index(0)
        for name, size in (
            ("qkv", 3 * shape.width),
            ("heard", shape.width),
            ("added", shape.width),
            ("inner", shape.inner),
        ):
            found[name] = at.gep(scratch, [place])
            place = at.add(place, at.mul(self._rows, index(size)))
        scores = at.add(longest, index(scores_floats(0)))
        own = at.add(at.mul(self._rows, index(shape.width)), at.add(scores, room))
        place = at.add(place, at.mul(own, self._number))
        found["x"] = at.gep(scratch, [place])
        found["scores"] = at.gep(found["x"], [at.mul(self._rows, index(shape.width))])
        found["room"] = at.gep(found["scores"], [scores])
        return found

    def _copy(self, start: Any, own: Any) -> None:
        """Every thread keeps all rows between the products: they are few, and nobody waits for anybody."""
        emit = self._emit
        with emit.loop(index(0), emit.at.mul(self._rows, index(self._shape.width)), index(1)) as body:
            emit.store(emit.load(start, body.index, F32), own, body.index)

    def _layer(self, table: Any, number: Any, buffers: dict[str, Any]) -> None:
        shape, x = self._shape, buffers["x"]
        self._matrix(table, "qkv", x, buffers["qkv"], shape.width, 3 * shape.width)
        self._heads(number, buffers)
        self._matrix(table, "out", buffers["heard"], buffers["added"], shape.width, shape.width)
        self._normed(table, "norm1", x, buffers["added"])
        self._matrix(table, "ffn_in", x, buffers["inner"], shape.width, shape.inner, floor=ir.Constant(F32, 0.0))
        self._matrix(table, "ffn_out", buffers["inner"], buffers["added"], shape.inner, shape.width)
        self._normed(table, "norm2", x, buffers["added"])

    def _matrix(
        self, table: Any, name: str, x: Any, y: Any, inputs: int, outputs: int, floor: Any | None = None
    ) -> None:
        """One product of a layer; returns when all threads are through with it."""
        emit, place = self._emit, 3 * MATRICES.index(name)
        weight, scale, bias = (emit.load(table, index(place + offset), I64) for offset in range(3))
        weight = emit.at.inttoptr(weight, ir.PointerType(KINDS[self._shape.kind]))
        scale, bias = (emit.at.inttoptr(word, FLOATS) for word in (scale, bias))
        self._product(x, weight, scale, bias, y, inputs, outputs, floor)
        self._meet_all()

    def _product(
        self,
        x: Any,
        weight: Any,
        scale: Any,
        bias: Any,
        y: Any,
        inputs: int,
        outputs: int,
        floor: Any | None = None,
    ) -> None:
        first, last = _columns(self._emit, index(outputs), self._number, self._threads)
        depth, size = index(inputs), index(outputs)
        floor = floor or lowest()
        given = (x, depth, weight, size, depth, scale, bias, y, size, self._rows, first, last, floor, self._room)
        self._emit.at.call(self._linear, given)

    def _normed(self, table: Any, name: str, x: Any, added: Any) -> None:
        emit, place = self._emit, 3 * len(MATRICES) + 2 * NORMS.index(name)
        weight, bias = (emit.at.inttoptr(emit.load(table, index(place + i), I64), FLOATS) for i in range(2))
        emit.at.call(self._norm, (x, added, weight, bias, self._rows))

    def _heads(self, layer: Any, buffers: dict[str, Any]) -> None:
        """Attention: every head of every row is one thread's."""
        emit, at, shape = self._emit, self._emit.at, self._shape
        size, heads = shape.head_dim, index(shape.heads)
        begin, end = emit.share(at.mul(self._rows, heads), self._number, self._threads)
        with emit.loop(begin, end, index(1)) as body:
            row, head = at.sdiv(body.index, heads), at.srem(body.index, heads)
            entry = at.mul(row, index(ROW_WORDS))
            kept, room, length = (emit.load(self._table, at.add(entry, index(i)), I64) for i in range(ROW_WORDS))
            plane = at.mul(room, index(size))  # of one head
            place = at.add(at.mul(at.mul(layer, index(2)), at.mul(heads, plane)), at.mul(head, plane))
            keys = at.gep(at.inttoptr(kept, ir.PointerType(KEPT[shape.kept])), [place])
            values = at.gep(keys, [at.mul(heads, plane)])
            column = at.mul(head, index(size))
            query = at.gep(buffers["qkv"], [at.add(at.mul(row, index(3 * shape.width)), column)])
            key, value = (at.gep(query, [index(offset * shape.width)]) for offset in (1, 2))
            out = at.gep(buffers["heard"], [at.add(at.mul(row, index(shape.width)), column)])
            # The next head of this thread: the one behind it in memory, or none of this row.
            behind = at.icmp_signed("<", at.add(body.index, index(1)), end)
            more = at.and_(behind, at.icmp_signed("<", at.add(head, index(1)), heads))
            following = at.gep(keys, [at.select(more, plane, index(0))])
            at.call(self._attend, (query, key, value, keys, values, length, buffers["scores"], out, following))
        self._meet_all()

    def _meet_all(self) -> None:
        self._emit.at.call(self._meet, (self._threads, self._shared))
