"""What the LoRA benchmark times is what it says: corrections that make the same as merged weights, and their bytes."""

from dataclasses import replace

import pytest
import torch

from voxswap_server.bench.lora import RANKS, RELEASED, held_bytes, step
from voxswap_server.nn.dit import Dit, LoraLinear

SMALL = replace(RELEASED, width=64, depth=2, frequencies=(1.0, 0.1), feed_forward_width=32, condition_width=16)


def network(rank: int) -> Dit:
    net = Dit(replace(SMALL, lora_rank=rank)).double().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for part in net.parameters():
            part.copy_(torch.randn(part.shape, generator=generator) * 0.1)
    return net


@pytest.mark.parametrize("rank", RANKS)
def test_the_bytes_are_those_of_four_matrices_a_block(rank: int):
    base, own = held_bytes(replace(RELEASED, lora_rank=rank))
    assert own == RELEASED.depth * 4 * 2 * rank * RELEASED.width * 4
    assert (base, 0) == held_bytes(RELEASED)


@torch.inference_mode()
def test_merged_weights_make_what_corrections_make():
    applied, merged = network(4), network(0)
    merged.load_state_dict({name: part for name, part in applied.state_dict().items() if name in merged.state_dict()})
    pairs = zip(applied.modules(), merged.modules(), strict=True)
    for own, whole in ((own, whole) for own, whole in pairs if isinstance(own, LoraLinear)):
        down = own.down.view(own.layers, -1, own.in_features)
        whole.weight += torch.einsum("lri,lro->loi", down, own.up).flatten(0, 1)
    torch.manual_seed(5)
    x, prompt, text = (torch.randn(1, 9, width).double() for width in (100, 100, 16))

    def velocity(net: Dit) -> torch.Tensor:
        return net(x, net.surroundings(text, prompt, 0), net.modulations(2), 1)

    torch.testing.assert_close(velocity(applied), velocity(merged), rtol=1e-9, atol=1e-9)
    assert not torch.allclose(velocity(applied), velocity(network(0)))


@torch.inference_mode()
def test_a_step_is_one_velocity():
    net = network(4).float()
    assert step(net, 7)().shape == (1, 7, SMALL.bands)
