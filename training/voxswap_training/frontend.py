"""Stage `phones`: the server's own English front-end over all texts. Runs where the server is installed."""

import json
from collections.abc import Iterable
from pathlib import Path

from voxswap_server.text.frontend import TextFrontend


def write_phones(texts: Iterable[str], file: Path) -> int:
    """Writes text -> (phone names, phone ids) as JSON; returns how many texts there were."""
    frontend = TextFrontend()
    read = {}
    for text in dict.fromkeys(texts):
        utterance = frontend.prompt(text, "en", "v2")
        read[text] = ([phone for run in utterance.runs for phone in run.phones], list(utterance.phones))
    file.write_text(json.dumps(read), "utf-8")
    return len(read)
