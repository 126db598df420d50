// The overlay for a browser source: audio, captions and a mouth that moves with them.
//
//     /overlay?session=main&audio=0#key=…     audio=0: captions only, where the panel already sounds
import { Player } from "./player.js";
import { Session } from "./session.js";

const LINGER_MS = 1500;
const CLOSED = 2;
const OPEN = 16;
const $ = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const audio = asked.get("audio") !== "0";
const session = new Session(asked.get("session") ?? "main", { audio, levels: true });
const player = new Player();
let generation = 0; // of what is heard: a flush ends mouths that were still to move
let linger = 0;

function on(type, hear) {
  session.addEventListener(type, ({ detail }) => hear(detail));
}

function show(voice, text) {
  clearTimeout(linger);
  $("speaker").textContent = voice;
  $("caption").textContent = text;
  $("bubble").hidden = false;
}

function hide() {
  linger = setTimeout(() => ($("bubble").hidden = true), LINGER_MS);
}

function mouth(level) {
  $("lips").setAttribute("ry", (CLOSED + (OPEN - CLOSED) * level).toFixed(1));
}

let rate = 48000;
let started = !audio;
on("state", async (state) => {
  rate = state.sample_rate_hertz;
  player.hold(state.paused);
  if (!state.saying) {
    hide();
  }
  if (!started) {
    started = true; // a browser source may sound without being touched
    await player.start(rate);
  }
});
on("sentence", ({ start_sample: start, voice_id: voice, text }) => {
  player.sentence(start);
  show(voice, text);
});
on("audio", ({ start, samples }) => player.play(start, samples));
on("flush", () => {
  generation += 1;
  player.flush();
  mouth(0);
});
on("levels", ({ step_samples: step, heard_in_ms: wait, levels }) => {
  const mine = generation;
  levels.forEach((level, index) => {
    setTimeout(() => mine === generation && mouth(level), wait + (1000 * index * step) / rate);
  });
});
on("line_done", () => setTimeout(() => mouth(0), LINGER_MS));

window.voxswap = { session, player };
session.open();
