"""The switch panel in a real browser: are there gaps in what it plays, and how soon is it silent?

`python -m bench.panel --store DIR [--voice ID]...` serves a store, lets Debian's Chromium play a line in every voice at
the pace at which it is heard, then cuts from voice to voice in mid-sentence. Underruns are those of the audio thread;
a flush is from the page's word to the audio thread's silence. Without a store tiny voices babble.
"""

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Page, async_playwright

from voxswap_server.app import running
from voxswap_server.demo.tiny import build_tiny_store
from voxswap_server.http.panel.config import PanelConfig
from voxswap_server.http.server import HttpConfig
from voxswap_server.logs import LogConfig, configure
from voxswap_server.rpc.server import RpcConfig
from voxswap_server.settings import MetricsConfig, Settings

TINY = {"amber": ("v2", 1), "slate": ("v2", 2), "coral": ("v2Pro", 3), "onyx": ("v2ProPlus", 4)}
LINE = "Good evening to all of you. Here is the news of the day, and after that the weather."
LONG = "This sentence goes on for quite a while, so that there is time to cut it off before it has come to its end."
PATIENCE_MS = 120_000
POLL_MS = 50
ARGUMENTS = ("--autoplay-policy=no-user-gesture-required", "--no-sandbox", "--disable-gpu")
RATE_HZ = 48_000


@dataclass(frozen=True, slots=True)
class Played:
    """A line in one voice."""

    voice: str
    audio_s: float
    underruns: int
    silence_s: float

    def __str__(self) -> str:
        return (
            f"{self.voice}: {self.audio_s:.2f} s, {self.underruns} underruns, {self.silence_s * 1e3:.0f} ms of silence"
        )


async def until(page: Page, holds: str, given: object = None) -> None:
    """Waits until an expression holds of (`counts`, `received`, `waiting` lines, `flushes`, `given`).

    Asked again and again from outside, for the page forbids itself the evaluation that a waiting function needs.

    Raises:
        TimeoutError: it never did.
    """
    names = "{ counts, received }, waiting, flushes, given"
    values = "voxswap.player, document.querySelectorAll('#lines .line').length, window.flushes ?? [], given"
    async with asyncio.timeout(PATIENCE_MS / 1e3):
        while not await page.evaluate(f"(given) => (({names}) => {holds})({values})", given):
            await page.wait_for_timeout(POLL_MS)


async def counts(page: Page) -> dict[str, int]:
    found: dict[str, int] = await page.evaluate("({...voxswap.player.counts, received: voxswap.player.received})")
    return found


async def act(page: Page, action: str, **given: str) -> None:
    await page.evaluate("([action, given]) => voxswap.session.ask(action, given)", [action, given])


async def take_over(page: Page, voice: str) -> None:
    """In silence, and only when it is on the air."""
    await act(page, "switch", voice=voice)
    await page.locator(f".tile[data-voice='{voice}'][data-role=air]").wait_for()


async def play(page: Page, voice: str) -> Played:
    """A line to its end; the voice is in memory before it begins."""
    await take_over(page, voice)
    before = await counts(page)
    await act(page, "say", text=LINE)
    await until(page, "received > given && !waiting && counts.played >= received", before["received"])
    after = await counts(page)
    played, underruns, silence = (after[name] - before[name] for name in ("played", "underruns", "silence"))
    return Played(voice, played / RATE_HZ, underruns, silence / RATE_HZ)


async def cut(page: Page, voices: Sequence[str], times: int) -> list[float]:
    """How long each flush took, in milliseconds; one of a cut, one of the panic after it."""
    await page.evaluate("window.flushes = []")
    await page.evaluate("voxswap.player.addEventListener('flushed', ({ detail }) => flushes.push(detail))")
    for number in range(times):
        here, there = (voices[(number + step) % len(voices)] for step in (0, 1))
        await take_over(page, here)
        before = await counts(page)
        await act(page, "say", text=LONG)
        await until(page, "counts.played > given", before["played"])
        seen = await page.evaluate("flushes.length")
        await act(page, "switch", voice=there)
        await until(page, "flushes.length > given", seen)
        await page.keyboard.press("Escape")
        await until(page, "!waiting")
    flushes: list[float] = await page.evaluate("flushes")
    return flushes


async def run(store: Path, voices: Sequence[str], cuts: int, chromium: str) -> None:
    settings = Settings(
        store=store,
        rpc=RpcConfig(address="127.0.0.1:0"),
        metrics=MetricsConfig(port=0),
        http=HttpConfig(port=0, panel=PanelConfig(duplicate_s=0, sample_rate_hz=RATE_HZ)),
    )
    async with running(settings) as server, async_playwright() as driver:
        voices = voices or [voice.voice_id for voice in await server.engine.library.list_voices()]
        for voice in voices:
            await server.engine.residency.load_voice(voice)
        browser = await driver.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(f"{server.http.url if server.http else ''}/?session=bench")
        await page.locator(".tile").first.wait_for()
        await page.click("#sound")
        for voice in voices:
            print(await play(page, voice))
        flushes = await cut(page, voices, cuts)
        middle, most = statistics.median(flushes), max(flushes)
        print(f"{len(flushes)} flushes: median {middle:.1f} ms, longest {most:.1f} ms")
        await browser.close()


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.panel", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path)
    parser.add_argument("--voice", action="append", help="all voices of the store, if there is none")
    parser.add_argument("--cuts", type=int, default=20)
    given = parser.parse_args(words)
    chromium = shutil.which("chromium")
    if chromium is None:
        print("needed: apt-get install chromium", file=sys.stderr)
        return 1
    configure(LogConfig(level="WARNING"))
    with tempfile.TemporaryDirectory(prefix="voxswap-panel-") as folder:
        if given.store is None:
            build_tiny_store(Path(folder), TINY)
        asyncio.run(run(given.store or Path(folder), given.voice or [], given.cuts, chromium))
    return 0


if __name__ == "__main__":
    sys.exit(main())
