// The voices as tiles: what each is doing, and who is on air.
import { ask, socket } from "./door.js";

const AGAIN_MS = 3000;
const MIB = 2 ** 20;

export class Tiles {
  #list = document.getElementById("tiles");
  #template = document.getElementById("tile");
  #choose;
  #voices = [];
  #residents = new Map();
  #session = {};

  constructor(choose) {
    this.#choose = choose;
  }

  async open() {
    await this.reload();
    this.#watch();
  }

  async reload() {
    this.#voices = (await ask("/v1/audio/voices")).voices;
    this.#list.replaceChildren(
      ...this.#voices.map((voice, index) => {
        const item = this.#template.content.cloneNode(true).firstElementChild;
        const tile = item.firstElementChild;
        tile.dataset.voice = voice.id;
        tile.querySelector(".number").textContent = index < 9 ? index + 1 : "";
        tile.querySelector(".name").textContent = voice.name;
        tile.querySelector(".about").textContent = `${voice.version} · ${voice.languages.join(" ")}`;
        tile.addEventListener("click", (event) => this.#choose(voice.id, event.shiftKey));
        return item;
      }),
    );
    this.#show();
  }

  at(number) {
    return this.#voices[number - 1]?.id;
  }

  session(state) {
    this.#session = state;
    this.#show();
  }

  // Residency is told to keys with the scope metrics or admin; without, tiles know only what the session says.
  #watch() {
    const events = socket("/v1/events");
    events.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "residents") {
        this.#residents = new Map(message.residents.map((one) => [one.voice_id, one]));
      } else if (message.type === "resident") {
        this.#hear(message);
      }
      this.#show();
    };
    let opened = false;
    events.onopen = () => (opened = true);
    events.onclose = () => opened && setTimeout(() => this.#watch(), AGAIN_MS);
  }

  #hear({ kind, voice_id: id, bytes, reason }) {
    const known = this.#residents.get(id) ?? { state: "resident", bytes_own: 0, bytes_shared: 0, pinned: false };
    const changes = {
      loaded: { state: "resident", bytes_own: bytes, bytes_shared: 0 },
      pinned: { pinned: true },
      unpinned: { pinned: false },
      draining: { state: "draining" },
      load_failed: { state: "broken", reason },
    };
    if (kind === "evicted") {
      this.#residents.delete(id);
    } else if (kind in changes) {
      this.#residents.set(id, { ...known, ...changes[kind] });
    }
  }

  #show() {
    const { voice_id: air, armed, switching } = this.#session;
    for (const tile of this.#list.querySelectorAll(".tile")) {
      const id = tile.dataset.voice;
      const state = this.#state(id, [armed, switching].includes(id));
      tile.dataset.state = state.kind;
      tile.dataset.role = id === air ? "air" : id === switching ? "switching" : id === armed ? "armed" : "";
      tile.setAttribute("aria-pressed", String(id === air));
      tile.querySelector(".state").textContent = state.words;
    }
  }

  #state(id, awaited) {
    const resident = this.#residents.get(id);
    if (resident?.state === "broken") {
      return { kind: "broken", words: `broken: ${resident.reason}` };
    }
    if (resident?.state === "loading" || (!resident && awaited)) {
      return { kind: "loading", words: "loading" };
    }
    if (!resident) {
      return { kind: "cold", words: "cold" };
    }
    const bytes = `${Math.round((resident.bytes_own + resident.bytes_shared) / MIB)} MiB`;
    return { kind: "warm", words: [resident.pinned ? "pinned" : resident.state === "draining" ? "leaving" : "warm", bytes].join(" · ") };
  }
}
