"""Short convolutions with fewer products (Toom-Cook, as Winograd 1980 uses it: F(m, r)).

m neighbouring outputs of a kernel of r taps need m + r - 1 products instead of m * r: sums of inputs meet sums of taps,
and sums of those products are the outputs. Each of the three sums is a polynomial at a few points, which were chosen
among small fractions by the rounding that they cause: three to four times that of the plain sum. Knows nothing of
memory.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final


@dataclass(frozen=True, slots=True)
class ToomCook:
    """One F(m, r). Its points are 0 where `zero` says so, then +a and -a of each pair, and infinity last."""

    outputs: int
    """m: of a tile."""
    taps: int
    """r: of the kernel; a longer one is several of these, whose inputs lie r further on."""
    pairs: tuple[Fraction, ...]
    zero: bool

    @property
    def products(self) -> int:
        """Of a tile, m + r - 1; it has as many inputs."""
        return self.outputs + self.taps - 1

    @property
    def points(self) -> tuple[Fraction, ...]:
        """All but infinity."""
        found = [Fraction(0)] if self.zero else []
        for pair in self.pairs:
            found += [pair, -pair]
        return tuple(found)

    def of_taps(self) -> list[list[Fraction]]:
        """(products, taps): what each tap gives to each product."""
        rows = []
        for point in self.points:
            apart = Fraction(1)
            for other in self.points:
                apart *= point - other if other != point else 1
            rows.append([point**power / apart for power in range(self.taps)])
        return [*rows, [Fraction(int(power == self.taps - 1)) for power in range(self.taps)]]

    def of_inputs(self) -> list[list[Fraction]]:
        """(products, products): what each input gives to each product."""
        rows = [[*_polynomial([o for o in self.points if o != point]), Fraction(0)] for point in self.points]
        return [*rows, _polynomial(self.points)]

    def of_products(self) -> list[list[Fraction]]:
        """(outputs, products): what each product gives to each output."""
        return [
            [*(point**power for point in self.points), Fraction(int(power == self.outputs - 1))]
            for power in range(self.outputs)
        ]


def _polynomial(roots: tuple[Fraction, ...] | list[Fraction]) -> list[Fraction]:
    """Coefficients, the constant first."""
    found = [Fraction(1)]
    for root in roots:
        found = [below - root * here for below, here in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found


SHORT: Final = ToomCook(4, 3, (Fraction(3, 4), Fraction(3, 2)), zero=True)
"""Half of the products of a kernel of three."""
LONG: Final = ToomCook(4, 4, (Fraction(1, 4), Fraction(1), Fraction(2)), zero=False)
"""7 products for 16. As many taps as outputs, so the parts of a long kernel read the same sums of inputs."""
