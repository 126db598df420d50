"""Characters per second of the text front-end, by language, on one thread.

    python bench/text_speed.py [--seconds 3] [--lines tests/goldens/text/wide.jsonl]

Prints the time of a language's first text (everything loads), then the steady rate and the time of one utterance.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path

from voxswap_server.text.frontend import TextFrontend


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=Path, default=Path("tests/goldens/text/wide.jsonl"))
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each language is read")
    arguments = parser.parse_args()
    texts = defaultdict(list)
    for line in map(json.loads, arguments.lines.read_text("utf-8").splitlines()):
        if line["version"] == "v2":
            texts[line["lang"]].append(line["text"])
    texts["auto"] = [text for pair in zip(*texts.values(), strict=False) for text in pair]
    print(f"{'language':<9} {'first s':>8} {'chars/s':>9} {'median ms':>10} {'p99 ms':>8}")
    for language, lines in texts.items():
        first, rate, utterance_ms = measure(TextFrontend(), language, lines, arguments.seconds)
        worst = statistics.quantiles(utterance_ms, n=100)[-1]
        print(f"{language:<9} {first:>8.2f} {rate:>9.0f} {statistics.median(utterance_ms):>10.2f} {worst:>8.2f}")


def measure(frontend: TextFrontend, code: str, lines: list[str], seconds: float) -> tuple[float, float, list[float]]:
    """Seconds of the first text, characters per second after it, milliseconds of each utterance."""
    start = time.perf_counter()
    frontend.analyse(lines[0], code, "v2")
    first = time.perf_counter() - start
    for line in lines:  # rare resources load too
        frontend.analyse(line, code, "v2")
    characters, utterance_ms, start = 0, [], time.perf_counter()
    while time.perf_counter() - start < seconds:
        for line in lines:
            before = time.perf_counter()
            frontend.analyse(line, code, "v2")
            utterance_ms.append(1000 * (time.perf_counter() - before))
            characters += len(line)
    return first, characters / (time.perf_counter() - start), utterance_ms


if __name__ == "__main__":
    main()
