"""Takes SpeechBrain's redirects of old names out of `sys.modules`.

Importing SpeechBrain puts stand-ins for its deprecated modules there, and a stand-in imports its target, k2 and flair
among them, as soon as anybody looks at an attribute of it. Whoever walks over `sys.modules` (inspect, debuggers,
hypothesis) then fails for want of a package that nobody asked for. Nothing here uses an old name.

Nothing is imported here: it runs in processes that have no SpeechBrain.
"""

import sys

_KINDS = frozenset({"LazyModule", "DeprecatedModuleRedirect"})


def drop_redirects() -> None:
    """Call it after importing anything of SpeechBrain."""
    for name, module in list(sys.modules.items()):
        if name.startswith("speechbrain.") and type(module).__name__ in _KINDS:
            del sys.modules[name]
