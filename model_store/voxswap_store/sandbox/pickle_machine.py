"""A pickle taken apart without running it.

Knows nothing of files. The standard library's disassembler gives one opcode after another; this keeps the stack that a
real unpickler would keep, but a global is only a name, and a call is only looked up in a table of five. Nothing is
imported, nothing is called, no attribute is read: what is not in the tables ends the reading, with its byte.
"""

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from voxswap_store.sandbox.limits import Limits
from voxswap_store.sandbox.problem import Problem, shorten

DTYPES: Final[dict[str, tuple[str, int]]] = {
    "torch HalfStorage": ("F16", 2),
    "torch BFloat16Storage": ("BF16", 2),
    "torch FloatStorage": ("F32", 4),
    "torch DoubleStorage": ("F64", 8),
    "torch LongStorage": ("I64", 8),
    "torch IntStorage": ("I32", 4),
    "torch ShortStorage": ("I16", 2),
    "torch CharStorage": ("I8", 1),
    "torch ByteStorage": ("U8", 1),
    "torch BoolStorage": ("BOOL", 1),
}
"""Global of a storage class -> (safetensors name of its element type, bytes of one element)."""

ORDERED_DICT: Final = "collections OrderedDict"
REBUILD_TENSOR: Final = "torch._utils _rebuild_tensor_v2"
REBUILD_PARAMETER: Final = "torch._utils _rebuild_parameter"
HPARAMS: Final = "utils HParams"
ALLOWED_GLOBALS: Final = frozenset({ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, HPARAMS, *DTYPES})


@dataclass(frozen=True, slots=True)
class Global:
    """A name, and nothing behind it."""

    name: str


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of elements in a member of the zip."""

    dtype: str
    item_bytes: int
    key: str
    elements: int


@dataclass(frozen=True, slots=True)
class TensorView:
    """A window on a storage, as the pickle claims it: whole numbers, and nothing else of it has been checked."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    byte: int
    """Where in the pickle it was made."""


class Attributes(dict[Any, Any]):
    """The state of an HParams object."""


class Mark:
    """Start of a group on the stack."""


_MARK: Final = Mark()


@dataclass(slots=True)
class _Machine:
    limits: Limits
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    byte: int = 0

    def forbidden(self, what: str) -> Problem:
        return Problem("ForbiddenContent", f"byte {self.byte} of the pickle {what}, which no checkpoint needs")

    def malformed(self, what: str) -> Problem:
        return Problem("NotACheckpoint", f"byte {self.byte} of the pickle {what}")

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise self.malformed("takes a value from an empty stack")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                group = self.stack[index + 1 :]
                del self.stack[index:]
                return group
        raise self.malformed("closes a group that was never opened")

    def top(self, kind: type, what: str) -> Any:
        if not self.stack or self.stack[-1] is _MARK or not isinstance(self.stack[-1], kind):
            raise self.malformed(what)
        return self.stack[-1]

    def named(self, name: str) -> Global:
        if name not in ALLOWED_GLOBALS:
            raise self.forbidden(f"names {shorten(name.replace(' ', '.'))!r}")
        return Global(name)


def _numbers(machine: _Machine, values: Any, what: str) -> tuple[int, ...]:
    if type(values) is not tuple or not all(type(v) is int for v in values):
        raise machine.malformed(f"makes a tensor whose {what} is not made of numbers")
    return values


def _rebuild_tensor(machine: _Machine, args: tuple[Any, ...]) -> TensorView:
    if len(args) not in (6, 7) or not isinstance(args[0], Storage) or type(args[1]) is not int:
        raise machine.malformed("makes a tensor of something that is no storage")
    shape, strides = _numbers(machine, args[2], "shape"), _numbers(machine, args[3], "strides")
    return TensorView(args[0], args[1], shape, strides, machine.byte)


def _rebuild_parameter(machine: _Machine, args: tuple[Any, ...]) -> TensorView:
    if len(args) != 3 or not isinstance(args[0], TensorView):
        raise machine.malformed("makes a parameter of something that is no tensor")
    return args[0]


def _ordered_dict(machine: _Machine, args: tuple[Any, ...]) -> dict[Any, Any]:
    if args:
        raise machine.malformed("makes an ordered dict in a way that torch.save does not")
    return {}


_CALLS: Final[dict[str, Callable[[_Machine, tuple[Any, ...]], Any]]] = {
    REBUILD_TENSOR: _rebuild_tensor,
    REBUILD_PARAMETER: _rebuild_parameter,
    ORDERED_DICT: _ordered_dict,
}


def _reduce(machine: _Machine, _: Any) -> None:
    args, called = machine.pop(), machine.pop()
    if not isinstance(called, Global) or called.name not in _CALLS or type(args) is not tuple:
        name = called.name.replace(" ", ".") if isinstance(called, Global) else type(called).__name__
        raise machine.forbidden(f"calls {name!r}")
    machine.stack.append(_CALLS[called.name](machine, args))


def _new_object(machine: _Machine, _: Any) -> None:
    args, cls = machine.pop(), machine.pop()
    if cls != Global(HPARAMS) or args != ():
        name = cls.name.replace(" ", ".") if isinstance(cls, Global) else type(cls).__name__
        raise machine.forbidden(f"makes an object of {name!r}")
    machine.stack.append(Attributes())


def _build(machine: _Machine, _: Any) -> None:
    state = machine.pop()
    target = machine.top(dict, "sets the state of something that has none")
    if type(state) is not dict or not all(type(key) is str for key in state):
        raise machine.forbidden("sets a state that is not a dict of names")
    if isinstance(target, Attributes):
        target.update(state)
    elif state.keys() - {"_metadata"}:
        raise machine.forbidden("sets attributes of a dict")


def _persistent(machine: _Machine, _: Any) -> None:
    claim = machine.pop()
    if (
        type(claim) is not tuple
        or len(claim) != 5
        or claim[0] != "storage"
        or not isinstance(claim[1], Global)
        or claim[1].name not in DTYPES
        or type(claim[2]) is not str
        or type(claim[4]) is not int
    ):
        raise machine.malformed("refers to something that is no storage")
    dtype, item_bytes = DTYPES[claim[1].name]
    machine.stack.append(Storage(dtype, item_bytes, claim[2], claim[4]))


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


def _push_text(machine: _Machine, value: str) -> None:
    if len(value) > machine.limits.text_chars:
        what = f"byte {machine.byte} of the pickle starts a text of {len(value)} characters"
        raise Problem("OverLimit", f"{what}; at most {machine.limits.text_chars} are read")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise machine.malformed("is a text that is no Unicode")
    machine.stack.append(value)


def _push_long(machine: _Machine, value: int) -> None:
    if not -(1 << 63) <= value < 1 << 63:
        raise Problem("OverLimit", f"byte {machine.byte} of the pickle is a number of more than 64 bits")
    machine.stack.append(value)


def _put(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.top(object, "remembers a value that is not there")


def _get(machine: _Machine, index: int) -> None:
    if index not in machine.memo:
        raise machine.malformed(f"recalls value {index}, which was never remembered")
    machine.stack.append(machine.memo[index])


def _set_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.top(dict, "fills a dict that is none")
    if isinstance(target, Attributes) or len(items) % 2:
        raise machine.malformed("fills a dict with half a pair")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) is not str:  # also keeps nested tuples away from hash(), which recurses in C
            raise machine.malformed(f"uses a {type(key).__name__} as the key of a dict")
        if key in target:
            raise machine.malformed(f"sets {shorten(key)!r} a second time")
        target[key] = value


def _append(machine: _Machine, items: list[Any]) -> None:
    machine.top(list, "appends to something that is no list").extend(items)


def _last(machine: _Machine, count: int) -> tuple[Any, ...]:
    return tuple(machine.pop() for _ in range(count))[::-1]


def _stack_global(machine: _Machine, _: Any) -> None:
    module, name = _last(machine, 2)
    if type(module) is not str or type(name) is not str:
        raise machine.forbidden("names a global that is no text")
    machine.stack.append(machine.named(f"{module} {name}"))


_OPCODES: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    "PROTO": lambda _m, _a: None,
    "FRAME": lambda _m, _a: None,
    "MARK": lambda m, _: m.stack.append(_MARK),
    "NONE": _push,
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "BININT": _push,
    "BININT1": _push,
    "BININT2": _push,
    "LONG1": _push_long,
    "BINFLOAT": _push,
    "BINUNICODE": _push_text,
    "SHORT_BINUNICODE": _push_text,
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.stack.append(_last(m, 1)),
    "TUPLE2": lambda m, _: m.stack.append(_last(m, 2)),
    "TUPLE3": lambda m, _: m.stack.append(_last(m, 3)),
    "APPEND": lambda m, _: _append(m, list(_last(m, 1))),
    "APPENDS": lambda m, _: _append(m, m.pop_to_mark()),
    "SETITEM": lambda m, _: _set_items(m, list(_last(m, 2))),
    "SETITEMS": lambda m, _: _set_items(m, m.pop_to_mark()),
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": lambda m, _: _put(m, len(m.memo)),
    "BINGET": _get,
    "LONG_BINGET": _get,
    "GLOBAL": lambda m, name: m.stack.append(m.named(name)),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _new_object,
    "BUILD": _build,
    "BINPERSID": _persistent,
}


def take_apart(data: bytes, limits: Limits) -> Any:
    """The value that the pickle describes: dicts, lists, tuples, numbers, texts, `TensorView`s and `Attributes`.

    Raises:
        Problem: an opcode, a global or a call is not on the list, a bound is passed, or the bytes are no pickle.
    """
    machine = _Machine(limits)
    for count, (opcode, argument, byte) in enumerate(_opcodes(data, machine)):
        if count >= limits.opcodes:
            raise Problem("OverLimit", f"the pickle has more than {limits.opcodes} steps")
        machine.byte = byte
        if opcode == "STOP":
            break
        if opcode not in _OPCODES:
            raise machine.forbidden(f"uses the opcode {opcode}")
        _OPCODES[opcode](machine, argument)
    if len(machine.stack) != 1 or machine.stack[0] is _MARK:
        raise machine.malformed(f"ends with {len(machine.stack)} values instead of one")
    return machine.stack[0]


def _opcodes(data: bytes, machine: _Machine) -> Iterator[tuple[str, Any, int]]:
    stream = pickletools.genops(data)
    while True:
        try:
            opcode, argument, byte = next(stream)
        except StopIteration:
            return
        except ValueError as error:
            raise machine.malformed(f"is followed by no pickle ({shorten(str(error))})") from None
        yield opcode.name, argument, byte or 0
