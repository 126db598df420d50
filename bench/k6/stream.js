// The same load as `python -m bench.load`, from k6: an open loop of SynthesizeStream calls.
//
//     k6 run -e SERVER=127.0.0.1:50051 -e VOICES=amber,slate -e RATE=2 -e SECONDS=60 bench/k6/stream.js
//
// Run it in the repository's root or give PROTO, the folder of the .proto files. Voices are chosen by Zipf's law, the
// first being the most popular. Times are in milliseconds; first_audio counts from when the call began.
import { check, fail } from "k6";
import { Client, StatusOK, Stream } from "k6/net/grpc";
import { Counter, Rate, Trend } from "k6/metrics";

const SERVER = __ENV.SERVER || "127.0.0.1:50051";
const VOICES = (__ENV.VOICES || "amber").split(",");
const RATE = Number(__ENV.RATE || 1);
const SECONDS = Number(__ENV.SECONDS || 30);
const ZIPF = Number(__ENV.ZIPF || 1);
const TTFA_GOAL_MS = Number(__ENV.TTFA_GOAL_MS || 800);

const TEXTS = [
  { share: 0.5, text: "The lamp is on." },
  { share: 0.35, text: "The tide turned before noon, and the boats leaned over in the mud until evening." },
  {
    share: 0.15,
    text:
      "The baker opens at six. By then the street smells of rye, and the first tram has already gone by. " +
      "An old man buys two rolls, pays with small coins, and tells the same story about the flood.",
  },
];

const firstAudio = new Trend("first_audio", true);
const gap = new Trend("audio_gap", true);
const underrun = new Rate("underrun");
const answered = new Rate("answered");
const audioSeconds = new Counter("audio_seconds");
const codes = new Counter("codes");

export const options = {
  scenarios: {
    open: {
      executor: "constant-arrival-rate",
      rate: Math.round(RATE * 60),
      timeUnit: "1m",
      duration: `${SECONDS}s`,
      preAllocatedVUs: Math.max(4, Math.ceil(RATE * 10)),
      maxVUs: Math.max(16, Math.ceil(RATE * 60)),
    },
  },
  thresholds: {
    first_audio: [`p(95)<${TTFA_GOAL_MS}`],
    answered: ["rate>0.99"],
    underrun: ["rate<0.05"],
    // An iteration that no virtual user was free for was never sent: then the figures say nothing.
    dropped_iterations: ["count==0"],
  },
  summaryTrendStats: ["min", "med", "p(95)", "p(99)", "max"],
};

const client = new Client();
client.load([__ENV.PROTO || "../../proto"], "voxswap/v1/speech_service.proto");

let connected = false;

function byWeight(items, weightOf) {
  const total = items.reduce((sum, item, index) => sum + weightOf(item, index), 0);
  let left = Math.random() * total;
  return items.find((item, index) => (left -= weightOf(item, index)) < 0) || items[items.length - 1];
}

export default async function () {
  if (!connected) {
    client.connect(SERVER, { plaintext: !__ENV.TLS });
    connected = true;
  }
  const voice = byWeight(VOICES, (_voice, index) => 1 / (index + 1) ** ZIPF);
  const { text } = byWeight(TEXTS, (item) => item.share);
  const began = Date.now();
  const heard = { first: null, last: 0, seconds: 0, silence: 0, rate: 0, done: false };

  await new Promise((resolve) => {
    const stream = new Stream(client, "voxswap.v1.SpeechService/SynthesizeStream", {
      metadata: { "x-voice-id": voice },
      timeout: "60s",
    });
    stream.on("data", (message) => listen(heard, message, began));
    stream.on("error", (error) => {
      codes.add(1, { code: String(error.code) });
      resolve();
    });
    stream.on("end", resolve);
    stream.write({ text, config: { voice_id: voice, language_code: "en" } });
    stream.end();
  });

  answered.add(heard.done);
  if (heard.done) {
    codes.add(1, { code: String(StatusOK) });
    underrun.add(heard.silence > 0);
    audioSeconds.add(heard.seconds);
  }
  check(heard, { "answered whole": (one) => one.done && one.seconds > 0 });
}

function listen(heard, message, began) {
  if (message.started) {
    heard.rate = message.started.sampleRateHertz;
  } else if (message.audioChunk && Number(message.audioChunk.samples) > 0) {
    const now = Date.now();
    if (!heard.rate) {
      fail("audio came before StreamStarted");
    }
    if (heard.first === null) {
      heard.first = now;
      firstAudio.add(now - began);
    } else {
      gap.add(now - heard.last);
      // Dry since then: all that came was played, with the silences so far.
      const dry = heard.first + 1000 * (heard.seconds + heard.silence);
      heard.silence += Math.max(0, now - dry) / 1000;
    }
    heard.last = now;
    heard.seconds += Number(message.audioChunk.samples) / heard.rate;
  } else if (message.done) {
    heard.done = true;
  }
}

export function handleSummary(data) {
  const values = (name) => (data.metrics[name] ? data.metrics[name].values : {});
  const summary = {
    requests: values("iterations").count || 0,
    answered: values("answered").rate,
    first_audio_ms: values("first_audio"),
    audio_gap_ms: values("audio_gap"),
    underrun: values("underrun").rate,
    audio_seconds: values("audio_seconds").count || 0,
    dropped: values("dropped_iterations").count || 0,
    seconds: data.state.testRunDurationMs / 1000,
  };
  const text = JSON.stringify(summary, null, 2) + "\n";
  return __ENV.JSON ? { stdout: text, [__ENV.JSON]: text } : { stdout: text };
}
