// Talks to the service: the key, JSON calls, the upload with its progress, the stream of events. Addresses are relative, for proxies with a prefix.

const KEY = "synclora-key";
const SILENCE_MS = 45_000; // the service says something every 15 s, be it a comment

export const key = () => sessionStorage.getItem(KEY) ?? "";
export const keepKey = (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY));
const headers = () => (key() ? { Authorization: `Bearer ${key()}` } : {});

// Something that went wrong, by the service's own word.
export class Problem extends Error {
  constructor(reason, detail = "", status = 0, retryAfter = 0) {
    super(detail || reason);
    Object.assign(this, { reason, detail, status, retryAfter });
  }
}

// Of an answer that is no success. A proxy may answer in its own words.
function problem(status, text, retryAfter) {
  const wait = Number(retryAfter) || 0;
  try {
    const { reason, detail } = JSON.parse(text).error;
    return new Problem(reason, detail, status, wait);
  } catch {
    const words = { 401: "unauthorized", 404: "not_found", 413: "too_large", 429: "queue_full", 507: "no_space" };
    return new Problem(words[status] ?? (status >= 500 ? "unreachable" : "bad_request"), `the answer was HTTP ${status}`, status, wait);
  }
}

async function get(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("unreachable");
  }
  if (!answer.ok) throw problem(answer.status, await answer.text(), answer.headers.get("Retry-After"));
  return answer;
}

export async function json(path, options) {
  const answer = await get(path, options);
  return answer.status === 204 ? null : answer.json();
}

// An address that a <video> or a download can use: media elements cannot send a key, so with one the bytes are fetched first.
export async function media(path, signal) {
  if (!key()) return path;
  return URL.createObjectURL(await (await get(path, { signal })).blob());
}

// Sends a form; `onProgress(share)` while its bytes leave. XMLHttpRequest, because fetch does not tell.
export function upload(path, form, repetition, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries({ ...headers(), "Idempotency-Key": repetition })) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () =>
      request.status < 300
        ? resolve(JSON.parse(request.responseText))
        : reject(problem(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    request.onerror = () => reject(new Problem("unreachable", "the connection broke during the upload"));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

// A number for Idempotency-Key. Not crypto.randomUUID, which is missing on plain http beyond localhost.
export const once = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

// Follows a job until it ends, over any number of connections: each event carries the whole job, so none is missed by being away.
export async function follow(id, onJob, onLost, signal) {
  for (let wait = 500; !signal.aborted; wait = Math.min(2 * wait, 8000)) {
    try {
      const answer = await get(`v1/edits/${id}/events`, { signal, headers: { Accept: "text/event-stream" } });
      for await (const event of events(answer.body)) {
        wait = 500;
        const job = JSON.parse(event.data);
        if (!job.id) throw new Problem(job.error.reason, job.error.detail, 404); // removed meanwhile
        onJob(job);
        if (event.name === "end") return;
      } // and no end: a stream is closed now and then, so that a server can drain
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
      onLost();
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

// Server-sent events of a stream of bytes. Fails when it has been silent for too long.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await spoken(reader.read());
      if (done) return;
      const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop();
      for (const event of blocks.map(parse)) if (event.data) yield event;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function spoken(promise) {
  let timer;
  const silence = new Promise((_, reject) => (timer = setTimeout(() => reject(new Problem("unreachable", "the stream fell silent")), SILENCE_MS)));
  return Promise.race([promise, silence]).finally(() => clearTimeout(timer));
}

function parse(block) {
  const event = { name: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event.name = line.slice(6).trim();
    if (line.startsWith("data:")) event.data += line.slice(5).trim();
  }
  return event;
}
