"""Products by oneDNN: the same as PyTorch's up to rounding, taken where they can be and nowhere else."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from voxswap_server.nn.products import FEWEST_ROWS, GeluLinear, Linear, attention, linear

ONEDNN = "mkldnn._linear_pointwise"


class Heard(TorchDispatchMode):
    """Names of the operations that run inside."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))

    @property
    def by_onednn(self) -> bool:
        return any(name.startswith(ONEDNN) for name in self.names)


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_near(ours: Tensor, exact: Tensor) -> None:
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=1e-5 * exact.abs().max().item())


@pytest.mark.parametrize("rows", [1, FEWEST_ROWS - 1, FEWEST_ROWS, 75])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
def test_a_product_is_the_one_of_pytorch(rows: int, bias: bool, gelu: bool) -> None:
    x, weight, shift = random(2, rows, 48), random(20, 48, seed=2), random(20, seed=3) if bias else None
    exact = F.linear(x.double(), weight.double(), None if shift is None else shift.double())
    made = linear(x, weight, shift, gelu=gelu)
    assert made.shape == (2, rows, 20)
    assert_near(made, F.gelu(exact, approximate="tanh") if gelu else exact)


def test_tensors_may_lie_in_any_order() -> None:
    x, weight = random(48, 70).T, random(48, 20, seed=2).T
    assert_near(linear(x, weight), x.double() @ weight.double().T)
    behind = random(2, 70, 48)[:, 30:]
    assert_near(linear(behind, weight), behind.double() @ weight.double().T)


@pytest.mark.parametrize(
    ("rows", "dtype", "learning", "taken"),
    [
        (64, torch.float32, False, True),
        (FEWEST_ROWS - 1, torch.float32, False, False),
        (64, torch.float64, False, False),
        (64, torch.bfloat16, False, False),
        (64, torch.float32, True, False),
    ],
)
def test_it_is_onednn_that_multiplies_where_it_can(rows: int, dtype: torch.dtype, learning: bool, taken: bool) -> None:
    weight = random(20, 48, seed=2).to(dtype).requires_grad_(learning)
    x = random(1, rows, 48).to(dtype)
    with Heard() as heard:
        linear(x, weight)
    assert heard.by_onednn is taken


@pytest.mark.parametrize("kind", [Linear, GeluLinear])
def test_layers_can_be_trained(kind: type[torch.nn.Linear]) -> None:
    layer = kind(48, 20)
    layer(random(64, 48)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("queries", "keys"), [(64, 64), (64, 41), (32, 64), (32, 50)])
def test_attention_hears_the_keys_that_count(queries: int, keys: int) -> None:
    q, k, v = random(2, 3, 64, 8), random(2, 3, 64, 8, seed=2), random(2, 3, 64, 8, seed=3)
    q = q[:, :, 64 - queries :]
    exact = F.scaled_dot_product_attention(q.double(), k[:, :, :keys].double(), v[:, :, :keys].double())
    with Heard() as heard:
        made = attention(q, k, v, keys)
    assert heard.by_onednn == (queries == 64)
    assert made.shape == (2, queries, 24)
    assert_near(made, exact.transpose(1, 2).flatten(2))
