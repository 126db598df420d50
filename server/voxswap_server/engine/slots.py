"""Networks that no voice uses any more, kept with their memory: the next voice of the same shape is read into place.

To build a network around its tensors, and to take it apart, takes a third of the time of reading them. So the network
of a slot is built once. Whoever speaks gets a twin of it, which shares everything; when the last reference to the twin
is gone, wherever it was, the slot is idle. Knows nothing of files, of voices and of what the networks compute.
"""

import copy
import threading
import weakref
from collections.abc import Hashable
from typing import Final

import torch

from voxswap_server.engine.memory import size_of
from voxswap_store.blocks import Blocks
from voxswap_store.weights import Weights

_MOST_IDLE: Final = 16
"""Small networks weigh more as objects than as numbers."""


class Slot:
    """A network and the memory of all its tensors, which belongs to whoever took it.

    Args:
        key: of all networks that differ in nothing but their numbers.
        network: computes from the memory of `weights` alone; nobody is given it, only twins.
        weights: what it was built of.
    """

    __slots__ = ("_users", "key", "network", "weights")

    def __init__(self, key: Hashable, network: object, weights: Weights) -> None:
        self.key = key
        self.network = network
        self.weights = weights
        self._users = self._count_users()

    @property
    def size_bytes(self) -> int:
        return self.weights.block.nbytes

    @property
    def is_whole(self) -> bool:
        """Whether nobody but its own network refers to its memory."""
        return self._count_users() == self._users

    def _count_users(self) -> int:
        """Tensors over the block."""
        return int(torch._C._storage_Use_Count(self.weights.block.untyped_storage()._cdata))  # noqa: SLF001 - the only way


class Slots:
    """May be used from any thread.

    Args:
        keep_bytes: of idle slots and of spare blocks together.
    """

    def __init__(self, keep_bytes: int) -> None:
        self.blocks = Blocks(keep_bytes)
        """Where memory of new slots, and of what cannot have one, comes from."""
        self._keep_bytes = keep_bytes
        self._lock = threading.RLock()  # the garbage collector may find a twin in mid-step
        self._idle: list[Slot] = []
        """What was used longest ago first."""
        self._lent: dict[int, Slot] = {}
        """By the identity of the twin."""

    @property
    def idle_bytes(self) -> int:
        """Of slots that nobody uses."""
        with self._lock:
            return sum(slot.size_bytes for slot in self._idle)

    def take(self, key: Hashable) -> Slot | None:
        """An idle slot, with any numbers in it; None: there is none. It is lent or put back."""
        with self._lock:
            for place in reversed(range(len(self._idle))):
                if self._idle[place].key == key:
                    slot = self._idle.pop(place)
                    self._share_room()
                    return slot
            return None

    def lend(self, slot: Slot) -> object:
        """A twin of its network: it computes with what is in the memory now, for as long as anybody has it."""
        twin = copy.copy(slot.network)
        with self._lock:
            self._lent[id(twin)] = slot
        weakref.finalize(twin, self._returned, id(twin)).atexit = False
        return twin

    def put_back(self, slot: Slot) -> None:
        """Whatever is in it."""
        with self._lock:
            self._idle.append(slot)
            self._share_room()

    def size_of(self, twin: object) -> int | None:
        """Bytes of the slot whose twin it is; None: of none."""
        with self._lock:
            slot = self._lent.get(id(twin))
        return None if slot is None else slot.size_bytes

    def clear(self) -> None:
        """Gives the system what nobody uses."""
        with self._lock:
            self._idle.clear()
        self.blocks.clear()

    def _returned(self, twin: int) -> None:
        with self._lock:
            slot = self._lent.pop(twin)
            if slot.is_whole:
                self.put_back(slot)

    def _share_room(self) -> None:
        """What was used last is kept; blocks get the room that slots leave them."""
        while len(self._idle) > _MOST_IDLE or self.idle_bytes > self._keep_bytes:
            del self._idle[0]
        self.blocks.keep_at_most(self._keep_bytes - self.idle_bytes)


def has_all_in(network: object, weights: Weights) -> bool:
    """Whether a network has no tensor outside of this block, so that new numbers there are all that it needs."""
    begin = weights.block.untyped_storage().data_ptr()
    return size_of(network, but_for=lambda address: address == begin) == 0
