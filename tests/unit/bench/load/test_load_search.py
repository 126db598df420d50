"""The search brackets the rate at which a goal breaks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.search import highest_rate


@given(limit=st.floats(0.1, 200), first=st.floats(0.5, 4))
async def test_the_break_lies_in_the_interval(limit: float, first: float):
    async def holds(rate: float) -> bool:
        return rate <= limit

    good, bad = await highest_rate(holds, first=first, steps=5, ceiling=256)
    assert good <= limit
    if limit >= first / 16:
        assert good > 0
    if bad < float("inf"):
        assert bad > limit
        if good:
            assert bad - good <= max(first, good) / 2**5 * 1.01


async def test_a_server_that_holds_everything_is_asked_no_more_than_the_ceiling():
    asked = []

    async def holds(rate: float) -> bool:
        asked.append(rate)
        return True

    assert await highest_rate(holds, first=1, steps=4, ceiling=10) == (8, float("inf"))
    assert max(asked) == pytest.approx(8)


async def test_a_server_that_holds_nothing_is_given_up():
    async def holds(rate: float) -> bool:
        return False

    good, bad = await highest_rate(holds, first=1, steps=4, ceiling=10)
    assert good == 0
    assert bad == pytest.approx(1 / 16)
