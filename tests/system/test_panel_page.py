"""The switch panel and the overlay in a real Chromium, on a real server with tiny voices."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.fixtures.browser import browser_page
from voxswap_server.app import Running, running
from voxswap_server.auth.keys import create_key
from voxswap_server.settings import Settings

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

LINE = "Good evening to all of you. Here is the news."
LONG = f"{LINE} And this is the weather. It rains here. It will rain there. It may snow at night. Good night to all."
VOICES = ("amber", "coral", "onyx", "slate")
PATIENCE_MS = 60_000


def settings_of(store: Path, **sections) -> Settings:
    usual = {
        "rpc": {"address": "127.0.0.1:0"},
        "metrics": {"port": 0},
        "device": {"name": "cpu", "threads": 1},
        "http": {"port": 0, "panel": {"default_voice": "amber", "duplicate_s": 0}},
    }
    return Settings(store=store, **usual | sections)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tiny_store: Path) -> AsyncIterator[Running]:
    async with running(settings_of(tiny_store)) as server:
        for voice in VOICES:
            await server.engine.residency.load_voice(voice)  # none of the tests is about waiting for a voice
        yield server


@pytest.fixture
def chromium(debian_binary) -> str:
    return debian_binary("chromium")


@asynccontextmanager
async def panel(chromium: str, server: Running, session: str, *, sound: bool = False, **context) -> AsyncIterator[Page]:
    """A panel that is connected; with sound, it plays. `context` as of `browser_page`."""
    expect.set_options(timeout=PATIENCE_MS)
    async with browser_page(chromium, **context) as page:
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(f"{server.http.url}/?session={session}")
        await expect(page.locator(".tile")).to_have_count(4)
        await expect(page.locator("#link")).to_have_attribute("data-state", "open")
        if sound:
            await page.click("#sound")
            await expect(page.locator("#sound")).to_have_attribute("aria-pressed", "true")
        yield page


async def say(page: Page, text: str) -> None:
    await page.fill("#text", text)
    await page.click("#say button")
    await expect(page.locator("#text")).to_have_value("")


async def counts(page: Page) -> dict[str, int]:
    """What the audio thread counts, and what the page was sent."""
    found: dict[str, int] = await page.evaluate("({...voxswap.player.counts, received: voxswap.player.received})")
    return found


async def played_all(page: Page) -> int:
    """Waits until all that was sent was played, and nothing more; how much that was."""
    while not 0 < (found := await counts(page))["received"] <= found["played"]:
        await page.wait_for_timeout(50)  # the page forbids the evaluation that wait_for_function needs
    assert found["played"] == found["received"]
    return found["played"]


async def settled(page: Page) -> dict[str, int]:
    """The counts when nothing is played any more: two reports that say the same."""
    before = None
    while (now := await counts(page)) != before or now["buffered"]:
        before = now
        # One report of the audio thread and a bit; nothing else tells that nothing happens.
        await page.wait_for_timeout(400)
    return now


def tile(page: Page, voice: str):
    return page.locator(f".tile[data-voice={voice}]")


async def test_every_sample_that_is_sent_is_played(chromium, server):
    async with panel(chromium, server, "whole", sound=True) as page:
        await say(page, LINE)
        await expect(page.locator("#caption")).to_contain_text("Here is the news.")
        await expect(page.locator("#lines .line")).to_have_count(0)
        assert await played_all(page) > 48_000


async def test_the_audio_thread_plays_what_it_is_given_bit_for_bit(chromium, server):
    async with panel(chromium, server, "bits") as page:
        played = await page.evaluate(
            """async () => {
                const context = new OfflineAudioContext(1, 4096, 48000);
                await context.audioWorklet.addModule("/panel/playback.js");
                const node = new AudioWorkletNode(context, "voxswap-playback", { numberOfInputs: 0, outputChannelCount: [1] });
                node.connect(context.destination);
                const given = Float32Array.from({ length: 3000 }, (_, i) => Math.fround(Math.sin(i) / 2));
                for (let at = 0, size = 1; at < given.length; at += size, size = (size * 7) % 389 + 1) {
                    node.port.postMessage({ audio: given.slice(at, at + size), begins: at === 0 });
                }
                await new Promise((done) => setTimeout(done, 200));
                const out = (await context.startRendering()).getChannelData(0);
                const start = out.findIndex((x, i) => x === given[1] && i > 0) - 1;
                return { same: given.every((x, i) => x === out[start + i]), after: out.slice(start + given.length).every((x) => x === 0), start };
            }"""
        )
    assert played["start"] >= 0
    assert played["same"]
    assert played["after"]


async def test_a_cut_begins_the_sentence_anew_in_the_other_voice(chromium, server):
    async with panel(chromium, server, "cut", sound=True) as page:
        await say(page, "This sentence is a rather long one, so that there is time to change the voice in it.")
        await expect(page.locator("#caption b")).to_have_text("amber")
        await page.locator("h1").click()  # away from the text field
        await page.keyboard.press("Digit4")
        await expect(page.locator("#caption b")).to_have_text("slate")
        await expect(tile(page, "slate")).to_have_attribute("data-role", "air")
        await expect(tile(page, "slate")).to_have_attribute("data-state", "warm")
        await expect(page.locator("#flushed")).not_to_have_text("—")
        await page.keyboard.press("Escape")


async def test_an_armed_voice_waits_for_the_next_sentence(chromium, server):
    async with panel(chromium, server, "armed", sound=True) as page:
        await say(page, LONG)
        await expect(page.locator("#caption b")).to_have_text("amber")
        await tile(page, "coral").click(modifiers=["Shift"])
        await expect(page.locator("#caption b")).to_have_text("coral")
        await expect(tile(page, "coral")).to_have_attribute("data-role", "air")
        await page.keyboard.press("Escape")


async def test_panic_silences_and_empties_the_queue(chromium, server):
    async with panel(chromium, server, "panic", sound=True) as page:
        for number in range(3):
            await say(page, f"{LINE} Number {number}.")
        await expect(page.locator("#caption b")).to_have_text("amber")
        await expect(page.locator("#waiting")).not_to_have_text("0")
        await page.keyboard.press("Escape")
        await expect(page.locator("#lines .line")).to_have_count(0)
        await expect(page.locator("#waiting")).to_have_text("0")
        stopped = await settled(page)
        assert stopped["played"] < stopped["received"]  # what waited to be played was dropped
        await page.wait_for_timeout(500)
        assert await counts(page) == stopped


async def test_lines_wait_for_approval_and_can_be_removed(chromium, server):
    async with panel(chromium, server, "approval") as page:
        await page.check("#approval")
        await say(page, "First line.")
        await say(page, "Second line.")
        lines = page.locator("#lines .line.held")
        await expect(lines).to_have_count(2)
        await lines.nth(0).locator(".remove").click()
        await expect(lines).to_have_count(1)
        await lines.nth(0).locator(".approve").click()
        await expect(page.locator("#caption")).to_contain_text("Second line.")


async def test_pause_holds_and_goes_on(chromium, server):
    async with panel(chromium, server, "pause", sound=True) as page:
        await say(page, LINE)
        await expect(page.locator("#caption b")).to_have_text("amber")
        await page.locator("h1").click()
        await page.keyboard.press("KeyP")
        await expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
        await page.wait_for_timeout(300)
        held = (await counts(page))["played"]
        await page.wait_for_timeout(500)
        assert (await counts(page))["played"] == held
        await page.keyboard.press("KeyP")
        await expect(page.locator("#lines .line")).to_have_count(0)
        assert await played_all(page) > held


async def test_a_refusal_is_told(chromium, server):
    async with panel(chromium, server, "refused") as page:
        await page.fill("#text", "?!")
        await page.click("#say button")
        await expect(page.locator("#notice")).to_contain_text("nothing in it that could be spoken")


async def test_a_server_with_keys_asks_for_one(chromium, tiny_store, tmp_path):
    keys = tmp_path / "keys.toml"
    secret = create_key(keys, "streamer", ["speak", "metrics"])
    settings = settings_of(tiny_store, security={"keys_file": keys})
    # The refusal that makes the page ask is an error to the browser's console too.
    expected = ("401 (Unauthorized)",)
    async with running(settings) as server, browser_page(chromium, expected=expected) as page:
        await page.goto(server.http.url)
        await page.fill("#key", secret)
        await page.click("#door button")
        await expect(page.locator(".tile")).to_have_count(4)
        await expect(page.locator("#link")).to_have_attribute("data-state", "open")


async def test_the_overlay_shows_and_plays_what_is_said_and_nothing_else(chromium, server):
    async with panel(chromium, server, "show") as page, browser_page(chromium) as overlay:
        await overlay.goto(f"{server.http.url}/overlay?session=show")
        ground = await overlay.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert ground == "rgba(0, 0, 0, 0)"
        await expect(overlay.locator("#bubble")).to_be_hidden()
        await say(page, LINE)
        await expect(overlay.locator("#caption")).to_have_text("Here is the news.", timeout=PATIENCE_MS)
        await expect(overlay.locator("#speaker")).to_have_text("amber")
        await expect(page.locator("#lines .line")).to_have_count(0)
        await expect(overlay.locator("#bubble")).to_be_hidden(timeout=PATIENCE_MS)
        await played_all(overlay)


async def test_two_pages_see_the_same_session(chromium, server):
    async with panel(chromium, server, "both") as one, panel(chromium, server, "both") as other:
        await tile(one, "onyx").click()
        await asyncio.gather(
            *(expect(tile(page, "onyx")).to_have_attribute("data-role", "air") for page in (one, other))
        )


FOCUSED = """() => {
    const one = document.activeElement;
    if (one === document.body) return null;
    const labels = [...(one.labels ?? [])].map((label) => label.textContent).join(" ");
    const { outlineStyle, outlineWidth } = getComputedStyle(one);
    return {
        id: one.id || one.dataset.voice || one.value || one.textContent,
        name: (one.getAttribute("aria-label") || labels || one.textContent).trim(),
        outlined: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
    };
}"""


async def test_every_control_is_reached_by_tab_has_a_name_and_shows_that_it_has_the_focus(chromium, server):
    async with panel(chromium, server, "tab") as page:
        reached = []
        await page.keyboard.press("Tab")
        while (found := await page.evaluate(FOCUSED)) is not None and found not in reached:
            reached.append(found)
            await page.keyboard.press("Tab")
    assert {one["id"] for one in reached} >= {
        *("sound", "device", "panic", *VOICES, "now", "text", "Say", "skip", "pause", "clear", "approval")
    }
    assert [one for one in reached if not one["name"] or not one["outlined"]] == []


async def test_a_show_is_run_without_a_mouse(chromium, server):
    async with panel(chromium, server, "keyboard") as page:
        await page.keyboard.press("Digit2")
        await expect(tile(page, "coral")).to_have_attribute("data-role", "air")
        await tile(page, "onyx").focus()
        await page.keyboard.press("Enter")
        await expect(tile(page, "onyx")).to_have_attribute("data-role", "air")
        await page.keyboard.press("/")
        await page.keyboard.type(LONG)
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("#caption b")).to_have_text("onyx")
        await page.keyboard.press("Shift+Tab")  # out of the text, where letters are text
        await page.keyboard.press("KeyS")
        await expect(page.locator("#caption b")).to_have_count(0)
        await expect(page.locator("#lines .line")).to_have_count(0)


CONTRASTS = """() => {
    const canvas = new OffscreenCanvas(1, 1), paper = canvas.getContext("2d", { willReadFrequently: true });
    function rgba(colour) {
        paper.clearRect(0, 0, 1, 1);
        paper.fillStyle = colour;
        paper.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = paper.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    }
    const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
    const line = (one) => (one ? [...line(one.parentElement), one] : []);
    function light([r, g, b]) {
        const part = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b) + 0.05;
    }
    const texts = [...document.querySelectorAll("body *")].filter(
        (one) =>
            one.checkVisibility() &&
            !one.closest(".hidden") &&
            [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()),
    );
    return texts.map((one) => {
        const { color, fontSize, fontWeight } = getComputedStyle(one);
        const ground = line(one).reduce((under, e) => over(rgba(getComputedStyle(e).backgroundColor), under), [255, 255, 255, 1]);
        const ink = rgba(color);
        ink[3] *= line(one).reduce((all, e) => all * getComputedStyle(e).opacity, 1);
        const [dark, bright] = [light(over(ink, ground)), light(ground)].sort((a, b) => a - b);
        const points = parseFloat(fontSize) * 0.75;
        const must = points >= 18 || (points >= 14 && fontWeight >= 700) ? 3 : 4.5;
        return { words: one.textContent.trim().slice(0, 30), ratio: bright / dark, must, ground: light(ground) };
    });
}"""
"""Of every text that is seen: its contrast as WCAG 2.2 has it, and what AA asks of a text of its size."""


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_every_text_can_be_read_in_the_dark_and_in_the_light(chromium, server, scheme):
    async with panel(chromium, server, f"read-{scheme}", color_scheme=scheme) as page:
        await page.check("#approval")
        await say(page, LONG)
        await page.uncheck("#approval")
        await expect(page.locator("#caption b")).to_have_text("amber")
        await page.check("#approval")
        await say(page, "Another.")
        await expect(page.locator("#lines .line.held")).to_have_count(1)
        await tile(page, "onyx").focus()
        found = await page.evaluate(CONTRASTS)
        await page.keyboard.press("Escape")
    assert len(found) > 25
    assert [one for one in found if one["ratio"] < one["must"]] == []
    grounds = {one["ground"] for one in found if one["words"].startswith(("Voices", "Queue"))}
    assert all(ground < 0.2 if scheme == "dark" else ground > 0.8 for ground in grounds)
