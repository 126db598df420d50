"""Networks around tensors: a twin is what a newly built network would be, and shares nothing but what never changes."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from voxswap_server.nn.adopt import adopt, adopt_again


@dataclass(frozen=True)
class Sizes:
    width: int
    layers: int


class Stack(nn.Module):
    """With everything that a module may hold: parameters, none, lists, a buffer."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.layers = nn.ModuleList(
            nn.Linear(sizes.width, sizes.width, bias=layer > 0) for layer in range(sizes.layers)
        )
        self.norm = nn.BatchNorm1d(sizes.width)
        self.optional = None

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return self.norm(x)


def tensors(sizes: Sizes, seed: int):
    generator = torch.Generator().manual_seed(seed)
    made = {name: torch.rand(t.shape, generator=generator) for name, t in Stack(sizes).state_dict().items()}
    return made | {"norm.num_batches_tracked": torch.tensor(0.0)}


def test_a_twin_computes_what_a_new_network_computes():
    sizes, x = Sizes(6, 3), torch.randn(4, 6)
    for seed in (1, 2):
        given = tensors(sizes, seed)
        built, twin = adopt(lambda: Stack(sizes), given), adopt_again(Stack, sizes, given)
        assert torch.equal(built(x), twin(x))
        assert [name for name, _ in built.named_modules()] == [name for name, _ in twin.named_modules()]
        assert built.state_dict().keys() == twin.state_dict().keys()
        assert not twin.training
        assert not any(parameter.requires_grad for parameter in twin.parameters())
        assert all(twin.state_dict()[name].data_ptr() == given[name].data_ptr() for name in given)


def test_twins_share_nothing_that_changes():
    sizes = Sizes(6, 2)
    first, second = (adopt_again(Stack, sizes, tensors(sizes, seed)) for seed in (1, 2))
    first.layers[0].register_forward_hook(lambda *_: torch.zeros(4, 6))
    first.layers.append(nn.Identity())
    first.train()
    assert len(second.layers) == 2
    assert not second.training
    assert second.layers[0](torch.ones(1, 6)).any()
    assert not {id(module) for module in first.modules()} & {id(module) for module in second.modules()}


def test_a_twin_may_have_another_precision():
    sizes = Sizes(6, 2)
    twin = adopt_again(Stack, sizes, tensors(sizes, 1), dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in twin.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("change", "message"), [({"more": torch.zeros(1)}, "more"), ({"norm.weight": torch.zeros(7)}, "norm")]
)
def test_tensors_that_do_not_fit_are_refused(change, message):
    sizes = Sizes(6, 2)
    with pytest.raises(ValueError, match=message):
        adopt_again(Stack, sizes, tensors(sizes, 1) | change)
