"""The settings of a SoVITS checkpoint as GPT-SoVITS pickles them: objects of a class `utils.HParams`, nested.

Only for writing such files; reading them needs no such class (`voxswap_store.sandbox`).
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def as_hparams(config: Mapping[str, Any] | None) -> Iterator[Any]:
    """The same settings as objects, which can be pickled as long as the block lasts. Lists stay as they are."""
    module, before = ModuleType("utils"), sys.modules.get("utils")
    cls = type("HParams", (), {"__module__": "utils"})
    vars(module)["HParams"] = cls
    sys.modules["utils"] = module
    try:
        yield _object(config, cls)
    finally:
        if before is None:
            del sys.modules["utils"]
        else:
            sys.modules["utils"] = before


def _object(value: Any, cls: type) -> Any:
    if not isinstance(value, Mapping):
        return value
    made = cls()
    vars(made).update({key: _object(item, cls) for key, item in value.items()})
    return made
