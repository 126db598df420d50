// Plays a session: its audio goes to the audio thread, and what that thread counts comes back as events.
export class Player extends EventTarget {
  #context = null;
  #node = null;
  #analyser = null;
  #begins = new Set(); // first samples of sentences
  #next = null; // where the next frame starts if nothing is missing
  received = 0;
  counts = { played: 0, underruns: 0, silence: 0, buffered: 0 };

  get isOn() {
    return this.#context?.state === "running";
  }

  // Browsers let a page sound only after somebody has touched it: call this from an event of a button.
  async start(rate) {
    if (!isSecureContext) {
      throw new Error("browsers let a page sound only if its address is https:// or one of this machine (localhost)");
    }
    if (this.#context === null) {
      const context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
      await context.audioWorklet.addModule("/panel/playback.js");
      this.#node = new AudioWorkletNode(context, "voxswap-playback", { numberOfInputs: 0, outputChannelCount: [1] });
      this.#node.port.onmessage = ({ data }) => this.#hear(data);
      this.#analyser = new AnalyserNode(context, { fftSize: 2048 });
      this.#node.connect(this.#analyser).connect(context.destination);
      this.#context = context;
    }
    await this.#context.resume();
  }

  async stop() {
    this.flush();
    await this.#context?.suspend();
  }

  sentence(start) {
    this.#begins.add(start);
  }

  play(start, samples) {
    this.received += samples.length;
    const begins = this.#begins.delete(start) || start !== this.#next;
    this.#next = start + samples.length;
    this.#node?.port.postMessage({ audio: samples, begins }, [samples.buffer]);
  }

  flush() {
    this.#begins.clear();
    this.#next = null;
    this.#node?.port.postMessage({ flush: performance.now() });
  }

  hold(on) {
    this.#node?.port.postMessage({ hold: on });
  }

  wave(into) {
    if (!this.#analyser) {
      return into.fill(0);
    }
    this.#analyser.getFloatTimeDomainData(into);
    return into;
  }

  get canChoose() {
    return "setSinkId" in AudioContext.prototype;
  }

  // The id of the device that it sounds on; "" is the default one.
  get output() {
    return this.#context?.sinkId ?? "";
  }

  // Rejects where the device is not to be had; the one before goes on. Silence has no device.
  async choose(device) {
    const sounding = this.isOn;
    await this.#context?.setSinkId(device);
    if (sounding) {
      await this.#context.resume(); // until the other device runs, the context calls itself suspended
    }
  }

  #hear(data) {
    if (data.flushed !== undefined) {
      this.dispatchEvent(new CustomEvent("flushed", { detail: performance.now() - data.flushed }));
      return;
    }
    this.counts = data;
    this.dispatchEvent(new CustomEvent("counts", { detail: data }));
  }
}
