// Numbers in the bar, and the wave of what sounds.
const $ = (id) => document.getElementById(id);

export function showSentence({ ttfa_ms: ttfa, rtf }) {
  $("ttfa").textContent = `${Math.round(ttfa)} ms`;
  $("rtf").textContent = rtf.toFixed(2);
  $("rtf").classList.toggle("bad", rtf > 1);
}

export function showCounts({ underruns, silence }, rate) {
  $("underruns").textContent = underruns ? `${underruns} (${Math.round((1000 * silence) / rate)} ms)` : "0";
  $("underruns").classList.toggle("bad", underruns > 0);
}

export function showFlush(ms) {
  $("flushed").textContent = `${ms.toFixed(0)} ms`;
}

export function drawWave(canvas, player) {
  const paper = canvas.getContext("2d");
  const wave = new Float32Array(2048);
  const colour = () => getComputedStyle(canvas).getPropertyValue("--accent");
  function draw() {
    const { width, height } = canvas;
    player.wave(wave);
    paper.clearRect(0, 0, width, height);
    paper.strokeStyle = colour();
    paper.lineWidth = 2;
    paper.beginPath();
    for (let x = 0; x < width; x += 2) {
      const sample = wave[Math.floor((x / width) * wave.length)];
      paper.lineTo(x, (height / 2) * (1 - sample));
    }
    paper.stroke();
    requestAnimationFrame(draw);
  }
  requestAnimationFrame(draw);
}
