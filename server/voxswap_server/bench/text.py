"""The front-end: characters a second by language, and what its first text waits for.

Knows nothing of networks.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from voxswap_server.bench.options import Options
from voxswap_server.bench.report import Row
from voxswap_server.bench.timing import Series, interleaved, timed
from voxswap_server.bench.voices import VERSION, Workbench
from voxswap_server.text.frontend import TextFrontend

TITLE: Final = "Front-end: text to phones"
SENTENCES: Final = {
    "en": (
        "On the 3rd of May, the ferry left twenty minutes late, and nobody on board seemed to mind.",
        "Her cousin's workshop repairs clocks, radios and, if you ask kindly, typewriters.",
        "Could you send $40 to the gardener before 6:30 p.m.? He has waited since Tuesday.",
    ),
    "zh": (
        "今天下午三点半,我们在图书馆门口见面,然后一起去看展览。",
        "这家小店开了十二年,老板每天早上六点起来做豆浆。",
        "请把窗户关上,外面的风太大了,桌上的纸都吹走了。",
    ),
    "ja": (
        "明日の朝は早いので、今夜は十時までに寝るつもりです。",
        "駅前の本屋で、古い地図を二枚買いました。",
        "雨が止んだら、川沿いの道を散歩しませんか。",
    ),
    "ko": (
        "내일 아침에는 일찍 일어나서 공원까지 걸어갈 거예요.",
        "시장에서 사과 다섯 개와 배 두 개를 샀습니다.",
        "창문을 닫아 주세요. 밖에 바람이 많이 붑니다.",
    ),
    "yue": (
        "今晚我哋去邊度食飯好呢?附近有間新開嘅茶餐廳。",
        "佢每日朝早六點就起身,行半個鐘頭路返工。",
        "落緊大雨,你記得帶遮出門口呀。",
    ),
}
"""Ours, in everyday words with some numbers in them."""


def measure(options: Options, bench: Workbench) -> Iterator[Row]:  # noqa: ARG001 - every measure is called alike
    """Each language alone, then the detection of all of them in turn."""
    lines = dict(SENTENCES)
    if not options.quick:
        lines["auto"] = tuple(line for group in zip(*SENTENCES.values(), strict=True) for line in group)
    frontend = TextFrontend()
    first = {code: Series((_first_s(frontend, code, sentences[0]),)) for code, sentences in lines.items()}
    work = {code: timed(_reading(frontend, code, sentences)) for code, sentences in lines.items()}
    found = interleaved(work, options.rounds)
    for code, sentences in lines.items():
        characters = sum(map(len, sentences))
        rate = found[code].map(lambda s, count=characters: count / s)  # type: ignore[misc]
        yield Row("text", f"{code}, steady", "characters/s", rate, "higher")
    for code in lines:
        yield Row("text", f"{code}, first text of the process", "s", first[code])


def _first_s(frontend: TextFrontend, code: str, line: str) -> float:
    begin = time.perf_counter()
    frontend.analyse(line, code, VERSION)
    return time.perf_counter() - begin


def _reading(frontend: TextFrontend, code: str, lines: Sequence[str]) -> Callable[[], object]:
    return lambda: [frontend.analyse(line, code, VERSION) for line in lines]
