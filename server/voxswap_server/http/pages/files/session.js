// One panel session: its socket, kept open; what it tells, as events; what is asked of it, as promises.
import { socket } from "./door.js";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5000;
const PATIENCE_MS = 3000;
const HEADER_BYTES = 8;

export class Session extends EventTarget {
  #name;
  #options;
  #socket = null;
  #asked = new Map();
  #number = 0;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(name, { audio = false, levels = false } = {}) {
    super();
    this.#name = name;
    this.#options = { audio, levels };
  }

  open() {
    const { audio, levels } = this.#options;
    const wanted = new URLSearchParams({ session: this.#name, audio: +audio, levels: +levels });
    const one = (this.#socket = socket(`/v1/panel/socket?${wanted}`));
    one.binaryType = "arraybuffer";
    one.onmessage = ({ data }) => (typeof data === "string" ? this.#hear(JSON.parse(data)) : this.#play(data));
    one.onopen = () => {
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#tell("link", { open: true });
    };
    one.onclose = () => {
      if (this.#socket !== one) {
        return;
      }
      this.#forget();
      this.#tell("link", { open: false });
      setTimeout(() => this.open(), this.#pauseMs);
      this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
    };
  }

  // Another choice of what is sent needs another socket.
  want(options) {
    Object.assign(this.#options, options);
    const before = this.#socket;
    this.#socket = null;
    this.#forget();
    before?.close();
    this.open();
  }

  async ask(action, given = {}) {
    await this.#opened();
    const id = ++this.#number;
    this.#socket.send(JSON.stringify({ action, id, ...given }));
    return new Promise((done, refused) => this.#asked.set(id, { done, refused }));
  }

  // A socket that is being made is worth a moment's patience.
  #opened() {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      return Promise.resolve();
    }
    return new Promise((opened, refused) => {
      const late = setTimeout(() => refused(new Error("not connected")), PATIENCE_MS);
      const hear = ({ detail: { open } }) => {
        if (open) {
          clearTimeout(late);
          this.removeEventListener("link", hear);
          opened();
        }
      };
      this.addEventListener("link", hear);
    });
  }

  #hear(message) {
    if (message.type === "done" || message.type === "refused") {
      const waiting = this.#asked.get(message.id);
      this.#asked.delete(message.id);
      if (message.type === "done") {
        waiting?.done(message);
      } else {
        waiting?.refused(Object.assign(new Error(message.detail), { reason: message.reason }));
      }
      return;
    }
    this.#tell(message.type, message);
  }

  #play(frame) {
    const start = Number(new DataView(frame).getBigUint64(0, true));
    const samples = Float32Array.from(new Int16Array(frame, HEADER_BYTES), (sample) => sample / 32768);
    this.#tell("audio", { start, samples });
  }

  #forget() {
    for (const { refused } of this.#asked.values()) {
      refused(new Error("the connection was lost"));
    }
    this.#asked.clear();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
