"""The condition's encoding: what it depends on."""

import torch
from torch import Tensor

from voxswap_server.nn.convnext import ConditionEmbedding, ConvNextBlock


def seeded(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3
    return module.requires_grad_(requires_grad=False).eval()


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_response_of_a_block_looks_at_the_whole_time() -> None:
    """A channel that is loud anywhere is weighed otherwise everywhere, beyond the reach of the convolution."""
    block = seeded(ConvNextBlock(12, 10))
    x = random(1, 40, 12)
    louder = x.clone()
    louder[:, -1] *= 20
    assert (block(louder)[:, 0] - block(x)[:, 0]).abs().max() > 1e-4
    block.gamma.zero_()
    torch.testing.assert_close(block(louder)[:, :30], block(x)[:, :30])


def test_places_are_told_by_cosines_then_sines() -> None:
    embedding = ConditionEmbedding(4, 10, blocks=0)
    found = embedding(torch.zeros(1, 3, 4, dtype=torch.float64))[0]
    torch.testing.assert_close(found[0], torch.tensor([1.0, 1.0, 0.0, 0.0]).double())
    angles = torch.tensor([2.0, 0.02]).double()
    torch.testing.assert_close(found[2], torch.cat((angles.cos(), angles.sin())), rtol=0, atol=1e-6)


def test_rows_of_a_batch_do_not_touch_each_other() -> None:
    embedding, condition = seeded(ConditionEmbedding(12, 10, blocks=2)), random(2, 9, 12)
    torch.testing.assert_close(embedding(condition)[1:], embedding(condition[1:]), rtol=0, atol=1e-12)
