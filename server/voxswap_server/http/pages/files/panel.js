// The switch panel: joins the session, the player and what is seen.
import { ask, isKey, keep } from "./door.js";
import { drawWave, showCounts, showFlush, showSentence } from "./meters.js";
import { Outputs } from "./outputs.js";
import { Player } from "./player.js";
import { Queue } from "./queue.js";
import { Session } from "./session.js";
import { Tiles } from "./tiles.js";

const NOTICE_MS = 8000;
const $ = (id) => document.getElementById(id);
const name = new URLSearchParams(location.search).get("session") ?? "main";

const session = new Session(name);
const player = new Player();
const outputs = new Outputs($("device"), player, warn);
const queue = new Queue(act);
const tiles = new Tiles((voice, later) => act("switch", { voice, at: later ? "next" : chosenCut() }));
let state = null;
let notice = 0;

function chosenCut() {
  return document.querySelector("input[name=at]:checked").value;
}

async function act(action, given) {
  try {
    return await session.ask(action, given);
  } catch (error) {
    warn(error.message);
    return null;
  }
}

function warn(message) {
  $("notice").textContent = message;
  $("notice").hidden = false;
  clearTimeout(notice);
  notice = setTimeout(() => ($("notice").hidden = true), NOTICE_MS);
}

function caption(voice, text) {
  const speaker = document.createElement("b");
  speaker.textContent = voice;
  $("caption").replaceChildren(...(text ? [speaker, text] : []));
}

function on(type, hear) {
  session.addEventListener(type, ({ detail }) => hear(detail));
}

on("link", ({ open }) => {
  $("link").dataset.state = open ? "open" : "closed";
  $("link").textContent = open ? `session ${name}` : "connection lost, trying again…";
});
on("state", (told) => {
  state = told;
  tiles.session(told);
  queue.show(told);
  player.hold(told.paused);
  $("pause").setAttribute("aria-pressed", String(told.paused));
  $("approval").checked = told.approval;
  if (!told.saying) {
    caption("", "");
  }
});
on("sentence", ({ start_sample: start, voice_id: voice, text }) => {
  player.sentence(start);
  caption(voice, text);
});
on("audio", ({ start, samples }) => player.play(start, samples));
on("flush", () => player.flush());
on("sentence_done", showSentence);
on("line_done", ({ outcome, message }) => outcome === "failed" && warn(message));
on("warning", ({ message }) => warn(message));
on("error", ({ detail }) => warn(detail));

player.addEventListener("counts", ({ detail }) => showCounts(detail, state?.sample_rate_hertz ?? 48000));
player.addEventListener("flushed", ({ detail }) => showFlush(detail));

$("sound").addEventListener("click", async () => {
  try {
    await (player.isOn ? player.stop() : sound());
  } catch (error) {
    warn(error.message);
    return;
  }
  session.want({ audio: player.isOn });
  $("sound").setAttribute("aria-pressed", String(player.isOn));
  $("sound").textContent = player.isOn ? "Sound on" : "Sound off";
});

async function sound() {
  await player.start(state?.sample_rate_hertz ?? 48000);
  await outputs.restore(); // before any audio comes: nothing is heard where it should not be
}

$("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (text.trim() && (await act("say", { text }))) {
    $("text").value = "";
  }
});
$("panic").addEventListener("click", panic);
$("skip").addEventListener("click", () => act("skip"));
$("pause").addEventListener("click", pause);
$("clear").addEventListener("click", () => act("clear"));
$("approval").addEventListener("change", ({ target }) => act("approval", { on: target.checked }));

function panic() {
  player.flush(); // at once: the server's own flush follows
  act("panic");
}

function pause() {
  act(state?.paused ? "resume" : "pause");
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !$("door").open) {
    event.preventDefault();
    panic();
  } else if (event.target === $("text")) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      $("say").requestSubmit();
    }
  } else if (!event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("select, dialog")) {
    shortcut(event);
  }
});

function shortcut(event) {
  const number = /^Digit([1-9])$/.exec(event.code)?.[1];
  const voice = number && tiles.at(Number(number));
  if (voice) {
    act("switch", { voice, at: event.shiftKey ? "next" : "now" });
  } else if (event.code === "KeyS") {
    act("skip");
  } else if (event.code === "KeyP") {
    pause();
  } else if (event.key === "/") {
    event.preventDefault();
    $("text").focus();
  }
}

async function enter() {
  for (;;) {
    try {
      await ask(`/v1/panel/state?session=${encodeURIComponent(name)}`);
      return;
    } catch (error) {
      if (error.status !== 401 && error.status !== 403) {
        throw error;
      }
      await askForKey(error);
    }
  }
}

function askForKey(error) {
  $("refused").hidden = error.reason === "UNAUTHENTICATED" && !$("key").value;
  $("refused").textContent = error.message;
  $("door").showModal();
  return new Promise((entered) => {
    $("door").addEventListener(
      "close",
      () => {
        if (isKey($("key").value)) {
          keep($("key").value);
        }
        entered();
      },
      { once: true },
    );
  });
}

drawWave($("scope"), player);
window.voxswap = { session, player }; // for tests, and for the curious
try {
  await enter();
  session.open();
  await Promise.all([tiles.open(), outputs.open()]);
} catch (error) {
  warn(error.message);
}
