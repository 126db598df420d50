"""What all workers have in common: lines of JSON are answered, and what is timed is timed by both clocks.

Runs inside the environment of a peer, beside its worker, so it imports the standard library alone. Knows no peer.
"""

import json
import sys
import time
from contextlib import redirect_stdout

TOKENS_PER_S = 25


class Watch:
    """Both clocks, from now on."""

    def __init__(self):
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def read(self):
        return {"wall_s": time.perf_counter() - self._wall_s, "cpu_s": time.process_time() - self._cpu_s}


def require_length(audio_s, tokens):
    """Raises ValueError where somebody did not speak for as long as so many tokens take."""
    if abs(audio_s - tokens / TOKENS_PER_S) > 0.5 / TOKENS_PER_S:
        raise ValueError(f"it spoke for {audio_s:.2f} s, which are not {tokens} tokens")


def serve(worker):
    """Calls the method that each line names with the rest of the line; what the peer prints goes to its log."""
    answers = sys.stdout
    with redirect_stdout(sys.stderr):
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                answer = getattr(worker, asked.pop("work"))(**asked)
            except Exception as error:  # whatever it is, the one who asked is told
                answer = {"error": repr(error)}
            print(json.dumps(answer), file=answers, flush=True)
