"""How a network takes over tensors that somebody else read: no copy that is not needed, no random start values.

Knows nothing of files and of names: a module's parameter names are the stored names.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)
D = TypeVar("D")


def parse_config(cls: type[D], config: Mapping[str, Any]) -> D:
    """Builds a (nested, frozen) dataclass from plain JSON values.

    Raises:
        ValueError: a field is missing or is of another kind; the message names it.
    """
    return TypeAdapter(cls).validate_python(dict(config))


def adopt(
    build: Callable[[], M],
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> M:
    """A network around these tensors, in eval mode, without gradients.

    A tensor that already has the dtype and the device is adopted as it is, so networks built from the same tensors
    share their memory.

    Raises:
        ValueError: tensors are missing, left over or of another shape; the message names them.
    """
    with torch.device("meta"):
        module = build()
    wanted = module.state_dict()
    check_fit(_shapes(wanted), _shapes(tensors))
    module.load_state_dict({name: tensors[name].to(device=device, dtype=dtype) for name in wanted}, assign=True)
    return module.requires_grad_(requires_grad=False).eval()


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_fit(wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> None:
    """Compares the names and shapes that a network has with those that it is given.

    Raises:
        ValueError: some are missing, left over or of another shape; the message names them.
    """
    missing = sorted(wanted.keys() - given.keys())
    unknown = sorted(given.keys() - wanted.keys())
    if missing or unknown:
        raise ValueError(f"tensors do not fit the network: missing {missing[:4]}, unknown {unknown[:4]}")
    for name, shape in wanted.items():
        if shape != given[name]:
            raise ValueError(f"tensor {name!r} is {given[name]}, the network has {shape}")
