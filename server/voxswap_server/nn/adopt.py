"""How a network takes over tensors that somebody else read: no copy that is not needed, no random start values.

Knows nothing of files and of names: a module's parameter names are the stored names.
"""

import functools
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar, cast

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)
C = TypeVar("C", bound=Hashable)
D = TypeVar("D")


def parse_config(cls: type[D], config: Mapping[str, Any]) -> D:
    """Builds a (nested, frozen) dataclass from plain JSON values.

    Raises:
        ValueError: a field is missing or is of another kind; the message names it.
    """
    return cast("D", _reader(cast("Hashable", cls)).validate_python(dict(config)))


@functools.cache
def _reader(cls: Hashable) -> TypeAdapter[Any]:
    """Made once: it takes longer than what it does."""
    return TypeAdapter(cast("type[Any]", cls))


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


def adopt_again(
    cls: Callable[[C], M],
    config: C,
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
) -> M:
    """As `adopt`, where many networks differ in nothing but their tensors: only the first one of a config is built.

    Args:
        cls: builds a network from its config, and from nothing else.
        config: hashable.
        tensors: adopted as they are where dtype and device fit.
        dtype: of the computation; None leaves each tensor in its own.
        device: where it runs.

    Raises:
        ValueError: as `adopt`.
    """
    skeleton, shapes = _skeleton(cls, config)
    check_fit(shapes, _shapes(tensors))
    place = torch.device(device)
    given = {
        name: tensor if tensor.device == place and dtype in {None, tensor.dtype} else tensor.to(place, dtype)
        for name, tensor in tensors.items()
    }
    return cast("M", _twin(skeleton, given, ""))


@functools.lru_cache(maxsize=32)
def _skeleton(cls: Callable[[Any], nn.Module], config: Hashable) -> tuple[nn.Module, dict[str, tuple[int, ...]]]:
    """A network without memory, and the shapes of its tensors."""
    with torch.device("meta"):
        module = cls(config).requires_grad_(requires_grad=False).eval()
    return module, _shapes(module.state_dict())


def _twin(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> nn.Module:
    """The same modules around other tensors. What they hold besides is shared, for it never changes."""
    twin = module.__class__.__new__(module.__class__)
    own = twin.__dict__
    for name, value in vars(module).items():
        if isinstance(value, dict):  # most are empty, and made faster than copied
            own[name] = value.copy() if value else value.__class__()
        else:
            own[name] = value
    parameters, buffers, children = own["_parameters"], own["_buffers"], own["_modules"]
    for name, parameter in parameters.items():
        if parameter is not None:
            parameters[name] = nn.Parameter(tensors[prefix + name], requires_grad=False)
    for name, buffer in buffers.items():
        if buffer is not None:
            buffers[name] = tensors[prefix + name]
    for name, child in children.items():
        if child is not None:
            children[name] = _twin(child, tensors, f"{prefix}{name}.")
    return twin


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
