"""Pictures of the panel and the overlay for the docs: a real server, tiny voices, Debian's Chromium.

python bench/screenshots.py docs/images
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from voxswap_server.app import running
from voxswap_server.demo.tiny import build_tiny_store
from voxswap_server.http.panel.config import PanelConfig
from voxswap_server.http.server import HttpConfig
from voxswap_server.rpc.server import RpcConfig
from voxswap_server.settings import MetricsConfig, Settings

VOICES = {"amber": ("v2", 1), "slate": ("v2", 2), "coral": ("v2Pro", 3), "onyx": ("v2ProPlus", 4)}
PATIENCE_MS = 60_000


async def picture(browser: Browser, url: str, scheme: str, to: Path) -> None:
    """A session in the midst of a line, with another voice armed and two lines waiting."""
    page = await browser.new_page(color_scheme=scheme, viewport={"width": 1200, "height": 620})  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(f"{url}/?session={scheme}")
    await page.locator(".tile").first.wait_for()
    for text in (
        "Good evening and welcome. Tonight we listen to four voices, and change them while they speak.",
        "Which of them should tell the story?",
        "The one in the second row, please.",
    ):
        await page.fill("#text", text)
        await page.click("#say button")
    await page.locator("#caption b").wait_for()
    await page.locator(".tile[data-voice=coral]").click(modifiers=["Shift"])
    await page.locator(".tile[data-role=armed], .tile[data-voice=coral][data-role=air]").wait_for()
    await page.screenshot(path=to / f"panel-{scheme}.png")
    if scheme == "dark":
        overlay = await browser.new_page(viewport={"width": 1000, "height": 220})
        await overlay.goto(f"{url}/overlay?session={scheme}&audio=0")
        await overlay.locator("#bubble").wait_for(timeout=PATIENCE_MS)
        await overlay.screenshot(path=to / "overlay.png", omit_background=True)
        await overlay.close()
    await page.close()


async def main(to: Path, chromium: str) -> None:
    with tempfile.TemporaryDirectory(prefix="voxswap-pictures-") as folder:
        build_tiny_store(Path(folder), VOICES)
        settings = Settings(
            store=Path(folder),
            rpc=RpcConfig(address="127.0.0.1:0"),
            metrics=MetricsConfig(port=0),
            http=HttpConfig(port=0, panel=PanelConfig(default_voice="amber")),
        )
        async with running(settings) as server, async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                await picture(browser, server.http.url if server.http else "", scheme, to)
            await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("to", type=Path)
    found = shutil.which("chromium")
    if found is None:
        sys.exit("needed: apt-get install chromium")
    asyncio.run(main(parser.parse_args().to, found))
