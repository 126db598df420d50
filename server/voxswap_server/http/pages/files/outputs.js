// Where the page sounds: the outputs of this machine, and the one that was chosen, kept for the next visit.
//
// A browser names outputs only to a page that may use the microphone: whoever wants another than the default is asked
// for that, once. Nothing is recorded. Knows nothing of what sounds.
const SLOT = "voxswap-output";
const DEFAULT = { id: "", label: "default" };
const ASK = "ask";

export class Outputs {
  #list;
  #player;
  #tell;
  #named = [];

  // `list` is the select element; `tell` is given what the user should know.
  constructor(list, player, tell) {
    this.#list = list;
    this.#player = player;
    this.#tell = tell;
  }

  async open() {
    if (!navigator.mediaDevices || !this.#player.canChoose) {
      this.#list.disabled = true;
      this.#list.title = "This browser lets no page choose its output";
      return;
    }
    this.#list.addEventListener("change", () => this.#chosen(this.#list.value));
    navigator.mediaDevices.addEventListener("devicechange", () => this.#changed());
    await this.#show();
  }

  // For whoever has just switched the sound on: before, there is nothing that could be led anywhere.
  async restore() {
    const kept = this.#kept();
    if (kept.id !== this.#player.output) {
      await this.#use(kept);
    }
    await this.#show();
  }

  async #chosen(id) {
    if (id === ASK) {
      await this.#askForNames();
    } else {
      const output = this.#named.find((one) => one.id === id) ?? DEFAULT;
      if (await this.#use(output)) {
        localStorage.setItem(SLOT, JSON.stringify(output));
      }
    }
    await this.#show();
  }

  async #askForNames() {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      stream.getTracks().forEach((track) => track.stop());
    } catch (error) {
      this.#tell(`The browser names no outputs without the permission for the microphone (${error.message}).`);
    }
  }

  // One was plugged in or out.
  async #changed() {
    await this.#show();
    const { output } = this.#player;
    const kept = this.#kept();
    if (output && !this.#has(output)) {
      await this.#use(DEFAULT);
      this.#tell(`The output ${kept.label} is gone; the default one goes on.`);
    } else if (this.#player.isOn && output !== kept.id && this.#has(kept.id)) {
      await this.#use(kept);
    }
    await this.#show();
  }

  // Whether it took; what sounded before goes on where it did not.
  async #use({ id, label }) {
    try {
      await this.#player.choose(id);
      return true;
    } catch (error) {
      const other = this.#player.output ? "the one before" : "the default one";
      this.#tell(`The output ${label} cannot be used, ${other} goes on (${error.message}).`);
      return false;
    }
  }

  async #show() {
    const outputs = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "audiooutput");
    this.#named = outputs
      .filter(({ deviceId }) => deviceId && deviceId !== "default")
      .map(({ deviceId, label }, index) => ({ id: deviceId, label: label || `output ${index + 1}` }));
    const hidden = outputs.some(({ deviceId }) => !deviceId);
    const options = [DEFAULT, ...this.#named, ...(hidden ? [{ id: ASK, label: "others…" }] : [])];
    this.#list.replaceChildren(...options.map(({ id, label }) => new Option(label, id)));
    const shown = this.#player.isOn ? this.#player.output : this.#kept().id;
    this.#list.value = this.#has(shown) ? shown : DEFAULT.id;
  }

  #has(id) {
    return this.#named.some((one) => one.id === id);
  }

  #kept() {
    return JSON.parse(localStorage.getItem(SLOT)) ?? DEFAULT;
  }
}
