"""Threads that work on one task together, and meet without going back to Python.

Knows nothing of tasks: one is a compiled function that is told which of how many threads runs it. Members sleep in a
semaphore between tasks; within a task they spin for a moment and then let others have the core, so that a core taken
by somebody else costs its own time and no more.
"""

import ctypes
import threading
import weakref
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final

import torch
from llvmlite import binding, ir
from torch import Tensor

from voxswap_server.nn.native.compiler import Compiled, compiled
from voxswap_server.nn.native.emitter import BYTES, I32, I64, VOID, WORDS, Emitter, external, index

TASK: Final = ir.FunctionType(VOID, (I64, I64, WORDS, WORDS))
"""Of the entry of a task: which thread, of how many, the arguments, the words that the team shares."""
_ENTRY, _ARGUMENTS, _ARRIVED, _MEETING, _SEMAPHORES = 0, 1, 8, 16, 24
"""Places in the shared words; each that is written while others wait has a cache line of its own."""
_LINE_WORDS: Final = 8
_SPINS: Final = 500
_PAUSES: Final = {"x86_64": "llvm.x86.sse2.pause", "i386": "llvm.x86.sse2.pause"}
"""What tells a processor that a thread only waits: its twin on the same core then has the core to itself."""


class Team:
    """A fixed number of threads, the caller's among them. One task at a time."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._code = _serving()
        self._shared = torch.zeros(_SEMAPHORES + _LINE_WORDS * threads, dtype=torch.int64)
        self._lock = threading.Lock()
        self._place = self._shared.data_ptr()
        self._words = (ctypes.c_int64 * self._shared.numel()).from_address(self._place)
        if threads > 1:
            self._enlist()

    def run(self, entry: int, arguments: Tensor) -> None:
        """Runs a task to its end.

        Args:
            entry: address of a `TASK`.
            arguments: (n,) int64; whatever they point to outlives the call.
        """
        self._run(entry, arguments.data_ptr())

    def call(self, entry: int, words: Sequence[int]) -> None:
        """As `run`, with the arguments by themselves: whoever calls often saves the making of a tensor."""
        arguments = (ctypes.c_int64 * len(words))(*words)
        self._run(entry, ctypes.addressof(arguments))

    def _run(self, entry: int, place: int) -> None:
        task = _task(entry)
        if self.threads == 1:
            task(0, 1, place, self._place)
            return
        with self._lock:
            self._words[_ENTRY], self._words[_ARGUMENTS] = entry, place
            self._wake(self._place, self.threads)
            task(0, self.threads, place, self._place)

    def _enlist(self) -> None:
        """Members do not keep the team alive: when it goes they are sent home."""
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        self._wake = kind(self._code.address("wake"))
        kind(self._code.address("prepare"))(self._place, self.threads)
        serve = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(self._code.address("serve"))
        members = [
            threading.Thread(
                target=_member, args=(serve, number, self._shared, self.threads), name="voxswap-kernel", daemon=True
            )
            for number in range(1, self.threads)
        ]
        for member in members:
            member.start()
        weakref.finalize(self, _send_home, self._wake, self._shared, members)


@lru_cache(maxsize=256)
def _task(entry: int) -> Any:
    """What Python calls a task by."""
    return ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(entry)


def _member(serve: Any, number: int, shared: Tensor, threads: int) -> None:
    serve(number, threads, shared.data_ptr())


def _send_home(wake: Any, shared: Tensor, members: list[threading.Thread]) -> None:
    shared[_ENTRY] = 0
    wake(shared.data_ptr(), len(members) + 1)
    for member in members:
        member.join()


def emit_meeting(module: ir.Module) -> Any:
    """A function of (threads, shared words) that returns when every thread has called it."""
    emit = Emitter(module, "meet", (I64, WORDS))
    emit.function.linkage = "internal"
    threads, shared = emit.function.args
    at = emit.at
    alone, together, last, waiting, spinning, end = (emit.function.append_basic_block() for _ in range(6))
    at.cbranch(at.icmp_signed("==", threads, index(1)), alone, together)
    at.position_at_end(alone)
    at.branch(end)
    at.position_at_end(together)
    arrived, meeting = (at.gep(shared, [index(place)]) for place in (_ARRIVED, _MEETING))
    before = at.load_atomic(meeting, "acquire", 8)
    count = at.atomic_rmw("add", arrived, index(1), "acq_rel")
    at.cbranch(at.icmp_signed("==", at.add(count, index(1)), threads), last, waiting)
    at.position_at_end(last)
    at.store_atomic(index(0), arrived, "release", 8)
    at.store_atomic(at.add(before, index(1)), meeting, "release", 8)
    at.branch(end)
    at.position_at_end(waiting)
    spins = at.phi(I64)
    spins.add_incoming(index(0), together)
    now = at.load_atomic(meeting, "acquire", 8)
    at.cbranch(at.icmp_signed("==", now, before), spinning, end)
    at.position_at_end(spinning)
    if pause := _PAUSES.get(binding.get_default_triple().partition("-")[0]):
        at.call(external(module, pause, VOID, ()), ())
    patient = at.icmp_signed("<", spins, index(_SPINS))
    with at.if_then(at.not_(patient)):
        at.call(external(module, "sched_yield", I32, ()), ())
    spins.add_incoming(at.add(spins, index(1)), at.block)
    at.branch(waiting)
    at.position_at_end(end)
    return emit.done()


@cache
def _serving() -> Compiled:
    """The life of a member, and how tasks reach it."""
    module = ir.Module()
    _emit_life(module)
    for name, call in (("prepare", "sem_init"), ("wake", "sem_post")):
        emit = Emitter(module, name, (ir.PointerType(I64), I64))
        shared, threads = emit.function.args
        with emit.loop(index(1), threads, index(1)) as body:
            semaphore = _semaphore(emit, shared, body.index)
            if call == "sem_init":
                zero = ir.Constant(I32, 0)
                emit.at.call(external(module, call, I32, (BYTES, I32, I32)), (semaphore, zero, zero))
            else:
                emit.at.call(external(module, call, I32, (BYTES,)), (semaphore,))
        emit.done()
    return compiled(module)


def _emit_life(module: ir.Module) -> None:
    """Sleeps, runs the task that lies in the shared words, sleeps again; no task is the end."""
    emit = Emitter(module, "serve", (I64, I64, WORDS))
    number, threads, shared = emit.function.args
    at = emit.at
    asleep, awake, work, end = (emit.function.append_basic_block() for _ in range(4))
    at.branch(asleep)
    at.position_at_end(asleep)
    woken = at.call(external(module, "sem_wait", I32, (BYTES,)), (_semaphore(emit, shared, number),))
    at.cbranch(at.icmp_signed("==", woken, ir.Constant(I32, 0)), awake, asleep)  # a signal wakes too
    at.position_at_end(awake)
    entry = emit.load(shared, index(_ENTRY), I64)
    at.cbranch(at.icmp_signed("==", entry, index(0)), end, work)
    at.position_at_end(work)
    arguments = at.inttoptr(emit.load(shared, index(_ARGUMENTS), I64), WORDS)
    at.call(at.inttoptr(entry, ir.PointerType(TASK)), (number, threads, arguments, shared))
    at.branch(asleep)
    at.position_at_end(end)
    emit.done()


def _semaphore(emit: Emitter, shared: Any, number: Any) -> Any:
    place = emit.at.add(emit.at.mul(number, index(_LINE_WORDS)), index(_SEMAPHORES))
    return emit.at.bitcast(emit.at.gep(shared, [place]), BYTES)
