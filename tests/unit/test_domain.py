"""What crosses the layers is had from one place, whichever module it is written in."""

import dataclasses
import importlib
import inspect
import pkgutil

from voxswap_server import domain


def written():
    """The public classes of the package's modules."""
    for module in pkgutil.iter_modules(domain.__path__, f"{domain.__name__}."):
        for name, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if value.__module__ == module.name and not name.startswith("_"):
                yield name, value


def test_every_name_is_exported():
    assert sorted([*(name for name, _ in written()), "SynthesisEvent"]) == domain.__all__
    assert all(getattr(domain, name) is value for name, value in written())


def test_values_are_frozen():
    values = [value for _, value in written() if dataclasses.is_dataclass(value)]
    assert len(values) > 10
    assert [value.__name__ for value in values if not value.__dataclass_params__.frozen] == []
