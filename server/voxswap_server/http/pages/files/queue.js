// The lines that wait, and the one that is being said.
export class Queue {
  #list = document.getElementById("lines");
  #count = document.getElementById("waiting");
  #template = document.getElementById("line");
  #ask;

  constructor(ask) {
    this.#ask = ask;
  }

  show({ queue, saying }) {
    this.#count.textContent = queue.length;
    const items = queue.map((line) => this.#item(line, false));
    this.#list.replaceChildren(...(saying ? [this.#item(saying, true)] : []), ...items);
  }

  #item(line, isSaying) {
    const item = this.#template.content.cloneNode(true).firstElementChild;
    item.classList.toggle("saying", isSaying);
    item.classList.toggle("held", line.approved === false);
    item.dataset.line = line.number;
    item.querySelector(".user").textContent = [line.user, line.voice_id].filter(Boolean).join(" → ");
    item.querySelector(".words").textContent = line.text;
    const [approve, remove] = item.querySelectorAll("button");
    approve.hidden = isSaying || line.approved !== false;
    remove.hidden = isSaying;
    approve.addEventListener("click", () => this.#ask("approve", { line: line.number }));
    remove.addEventListener("click", () => this.#ask("remove", { line: line.number }));
    return item;
  }
}
