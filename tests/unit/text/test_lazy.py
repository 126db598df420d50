from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from voxswap_server.text.lazy import Lazy


def test_many_threads_load_once_and_get_the_same():
    loads = []
    together = Barrier(8)
    lazy = Lazy(lambda: loads.append(1) or object())

    def get(_):
        together.wait()
        return lazy.get()

    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(get, range(8)))
    assert len(loads) == 1
    assert len(set(map(id, values))) == 1


def test_nothing_loads_before_it_is_asked_for_and_none_is_a_value():
    loads = []
    lazy = Lazy(lambda: loads.append(1))
    assert not loads
    assert lazy.get() is None
    assert lazy.get() is None
    assert len(loads) == 1


def test_a_failed_load_is_tried_again():
    answers = iter([OSError("disk"), None])

    def load():
        answer = next(answers)
        if answer is not None:
            raise answer
        return "loaded"

    lazy = Lazy(load)
    with pytest.raises(OSError, match="disk"):
        lazy.get()
    assert lazy.get() == "loaded"
