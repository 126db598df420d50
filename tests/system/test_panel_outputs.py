"""Where the panel sounds, in a real Chromium with audio devices that are made up, but really played to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.fixtures.browser import browser_page
from voxswap_server.app import Running, running
from voxswap_server.settings import Settings

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

PATIENCE_MS = 60_000
DEVICES = ("--use-fake-device-for-media-stream",)
FIRST, SECOND = "Fake Audio Output 1", "Fake Audio Output 2"
OTHERS = "others…"
REFUSED = "The output Headset cannot be used, "

GONE = """async (label) => {
    const all = navigator.mediaDevices.enumerateDevices.bind(navigator.mediaDevices);
    const list = async () => (await all()).filter((one) => one.label !== label);
    Object.defineProperty(navigator.mediaDevices, "enumerateDevices", { value: list, configurable: true });
    navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
}"""
BACK = """() => {
    delete navigator.mediaDevices.enumerateDevices;
    navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
}"""
PROMISED = """() => {
    const all = navigator.mediaDevices.enumerateDevices.bind(navigator.mediaDevices);
    const list = async () => [...(await all()), { kind: "audiooutput", deviceId: "of-no-device", label: "Headset" }];
    Object.defineProperty(navigator.mediaDevices, "enumerateDevices", { value: list, configurable: true });
    navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
}"""
"""A device is listed that is gone when it is wanted."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tiny_store: Path) -> AsyncIterator[Running]:
    settings = Settings(
        store=tiny_store,
        rpc={"address": "127.0.0.1:0"},
        metrics={"port": 0},
        device={"name": "cpu", "threads": 1},
        http={"port": 0, "panel": {"default_voice": "amber", "duplicate_s": 0}},
    )
    async with running(settings) as server:
        await server.engine.residency.load_voice("amber")
        yield server


@pytest.fixture
def chromium(debian_binary) -> str:
    return debian_binary("chromium")


@asynccontextmanager
async def panel(chromium: str, server: Running, *, named: bool = True) -> AsyncIterator[Page]:
    """A panel; `named`: its browser was told long ago that it may name the outputs."""
    expect.set_options(timeout=PATIENCE_MS)
    permissions = ["microphone"] if named else []
    async with browser_page(chromium, arguments=DEVICES, permissions=permissions) as page:
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(f"{server.http.url}/?session=outputs")
        await expect(page.locator("#link")).to_have_attribute("data-state", "open")
        yield page


async def switch_on(page: Page) -> None:
    await page.click("#sound")
    await expect(page.locator("#sound")).to_have_attribute("aria-pressed", "true")


async def used(page: Page) -> str:
    """The device that the audio context itself names."""
    found: str = await page.evaluate("voxswap.player.output")
    return found


async def kept(page: Page) -> str:
    """The device for the next visit, which is kept as soon as it is in use."""
    found: str = await page.evaluate("JSON.parse(localStorage.getItem('voxswap-output')).id")
    return found


async def id_of(page: Page, label: str) -> str:
    found = await page.locator("#device option", has_text=label).get_attribute("value")
    assert found
    return found


async def chosen(page: Page, label: str) -> str:
    """Chooses an output and waits until it is in use; its id."""
    wanted = await id_of(page, label)
    await page.select_option("#device", label=label)
    while await used(page) != wanted:
        await page.wait_for_timeout(20)  # the page forbids the evaluation that wait_for_function needs
    return wanted


async def hear(page: Page) -> None:
    """Says something and waits until every sample of it was played."""
    before = await page.evaluate("voxswap.player.counts.played")
    await page.fill("#text", "Good evening to all of you.")
    await page.click("#say button")
    while (
        not before
        < (played := await page.evaluate("voxswap.player.counts.played"))
        == await page.evaluate("voxswap.player.received")
    ):
        assert played >= before
        await page.wait_for_timeout(50)
    await expect(page.locator("#lines .line")).to_have_count(0)


async def test_outputs_are_listed_and_the_chosen_one_is_used_now_and_at_the_next_visit(chromium, server):
    async with panel(chromium, server) as page:
        await expect(page.locator("#device option")).to_have_text(["default", FIRST, SECOND])
        await page.select_option("#device", label=FIRST)  # in silence, for when there will be sound
        await switch_on(page)
        assert await used(page) == await id_of(page, FIRST)
        wanted = await chosen(page, SECOND)
        await hear(page)
        assert await used(page) == wanted != await id_of(page, FIRST)

        await page.reload()
        await expect(page.locator("#device")).to_have_value(wanted)
        await switch_on(page)
        assert await used(page) == wanted
        await hear(page)

        await page.select_option("#device", label="default")
        while await kept(page) != "":
            await page.wait_for_timeout(20)
        await page.reload()
        await expect(page.locator("#device option")).to_have_count(3)
        await switch_on(page)
        assert await used(page) == ""
        await expect(page.locator("#notice")).to_be_hidden()


async def test_an_output_that_refuses_is_told_and_what_sounded_before_goes_on(chromium, server):
    async with panel(chromium, server) as page:
        await switch_on(page)
        await page.evaluate(PROMISED)
        await page.select_option("#device", label="Headset")
        await expect(page.locator("#notice")).to_contain_text(REFUSED + "the default one goes on")
        await expect(page.locator("#device")).to_have_value("")
        wanted = await chosen(page, FIRST)
        await page.select_option("#device", label="Headset")
        await expect(page.locator("#notice")).to_contain_text(REFUSED + "the one before goes on")
        await expect(page.locator("#device")).to_have_value(wanted)
        await hear(page)

        # At the next visit a device is not there that was chosen at the last one.
        kept = '{"id": "of-no-device", "label": "Headset"}'
        await page.evaluate("(kept) => localStorage.setItem('voxswap-output', kept)", kept)
        await page.reload()
        await switch_on(page)
        await expect(page.locator("#notice")).to_contain_text(REFUSED + "the default one goes on")
        assert await used(page) == ""
        await hear(page)
        assert await page.evaluate("localStorage.getItem('voxswap-output')") == kept  # it may be plugged in tomorrow


async def test_an_output_that_is_plugged_out_and_in_again(chromium, server):
    async with panel(chromium, server) as page:
        await switch_on(page)
        wanted = await chosen(page, SECOND)
        await page.evaluate(GONE, SECOND)
        await expect(page.locator("#notice")).to_contain_text(f"The output {SECOND} is gone")
        await expect(page.locator("#device")).to_have_value("")
        assert await used(page) == ""
        await page.evaluate(BACK)
        await expect(page.locator("#device")).to_have_value(wanted)
        assert await used(page) == wanted
        await hear(page)


async def test_a_browser_that_names_no_outputs_is_asked_to(chromium, server):
    async with panel(chromium, server, named=False) as page:
        await expect(page.locator("#device option")).to_have_text(["default", OTHERS])
        await page.select_option("#device", label=OTHERS)
        await expect(page.locator("#notice")).to_contain_text("names no outputs without the permission")
        await expect(page.locator("#device")).to_have_value("")
        await page.context.grant_permissions(["microphone"])
        await page.select_option("#device", label=OTHERS)
        await expect(page.locator("#device option")).to_have_text(["default", FIRST, SECOND])
