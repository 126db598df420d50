// Runs on the audio thread: plays samples as they come, one after another, and counts what it did.
//
// In:  { audio, begins } more samples; `begins`: nothing before them belongs to what they say, so waiting was no gap
//      { flush }         drop all that was not played, fading what sounds at this moment for a few milliseconds
//      { hold }          stand still, or go on
// Out: { played, held, underruns, silence } in samples; and { flushed } with the ms since the flush was sent
const FADE_SAMPLES = 240;
const REPORT_BLOCKS = 40;

class Playback extends AudioWorkletProcessor {
  #waiting = []; // arrays of samples
  #offset = 0; // into the first
  #buffered = 0;
  #held = false;
  #fading = null; // what still sounds after a flush
  #counts = { played: 0, underruns: 0, silence: 0 };
  #dry = 0; // samples of silence since the last one that was played
  #blocks = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.#hear(data);
  }

  #hear(message) {
    if (message.audio) {
      if (this.#buffered === 0 && this.#dry > 0 && !message.begins) {
        this.#counts.underruns += 1;
        this.#counts.silence += this.#dry;
      }
      this.#dry = 0;
      this.#waiting.push(message.audio);
      this.#buffered += message.audio.length;
    } else if (message.flush !== undefined) {
      this.#fading = this.#take(Math.min(FADE_SAMPLES, this.#buffered)).map((x, i, all) => x * (1 - i / all.length));
      this.#waiting = [];
      this.#offset = this.#buffered = this.#dry = 0;
      this.port.postMessage({ flushed: message.flush });
    } else if (message.hold !== undefined) {
      this.#held = message.hold;
    }
  }

  process(_inputs, [[out]]) {
    let filled = 0;
    if (this.#fading) {
      const rest = this.#fading.subarray(0, out.length);
      out.set(rest);
      filled = rest.length;
      this.#fading = this.#fading.length > out.length ? this.#fading.subarray(out.length) : null;
    }
    if (!this.#held) {
      const samples = this.#take(Math.min(out.length - filled, this.#buffered));
      out.set(samples, filled);
      this.#counts.played += samples.length;
      if (samples.length < out.length - filled && this.#counts.played > 0) {
        this.#dry += out.length - filled - samples.length;
      }
    }
    if (++this.#blocks % REPORT_BLOCKS === 0) {
      this.#report();
    }
    return true;
  }

  #take(count) {
    const taken = new Float32Array(count);
    for (let filled = 0; filled < count; ) {
      const first = this.#waiting[0];
      const part = first.subarray(this.#offset, this.#offset + count - filled);
      taken.set(part, filled);
      filled += part.length;
      this.#offset += part.length;
      if (this.#offset === first.length) {
        this.#waiting.shift();
        this.#offset = 0;
      }
    }
    this.#buffered -= count;
    return taken;
  }

  #report() {
    this.port.postMessage({ ...this.#counts, buffered: this.#buffered });
  }
}

registerProcessor("voxswap-playback", Playback);
