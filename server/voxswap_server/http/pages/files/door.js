// The key to the server: asked for once, kept for as long as the tab is open, never part of an address that is sent.
// An overlay has nobody to ask, so its key may stand behind the # of its address, which browsers keep to themselves.
const SLOT = "voxswap-key";
const SAFE = /^[A-Za-z0-9._~-]+$/;

export function key() {
  return new URLSearchParams(location.hash.slice(1)).get("key") || sessionStorage.getItem(SLOT) || "";
}

export function keep(given) {
  sessionStorage.setItem(SLOT, given);
}

export function isKey(given) {
  return SAFE.test(given); // what a subprotocol can carry
}

export async function ask(path, options = {}) {
  const headers = key() ? { authorization: `Bearer ${key()}` } : {};
  const answer = await fetch(path, { ...options, headers });
  const body = await answer.json();
  if (!answer.ok) {
    throw Object.assign(new Error(body.detail), { status: answer.status, reason: body.reason });
  }
  return body;
}

export function socket(path) {
  const address = new URL(path, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  address.hash = "";
  return new WebSocket(address, key() ? ["voxswap.v1", `voxswap.key.${key()}`] : ["voxswap.v1"]);
}
