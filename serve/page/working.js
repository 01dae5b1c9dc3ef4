// An edit on its way: upload, queue, stages and steps, the way to cancel it.

import { plural, STAGES, duration } from "./words.js";

const at = (id) => document.getElementById(id);
const SPARSE_MS = 10_000; // between two things said aloud, stages apart

let said = { text: "", when: 0, stage: "" };

export function begin() {
  at("elapsed").textContent = at("lost").textContent = "";
  for (const id of ["work-source", "work-frame"]) {
    at(id).hidden = true;
    at(id).removeAttribute("src");
  }
  const items = Object.entries({ upload: ["Sending", "clip and frame"], queued: ["Waiting", "for an editor"], ...STAGES }).map(([name, [title, what]]) => {
    const item = document.createElement("li");
    item.dataset.stage = name;
    item.append(Object.assign(document.createElement("b"), { textContent: title }), Object.assign(document.createElement("span"), { textContent: what }));
    return item;
  });
  at("stages").replaceChildren(...items);
}

export function uploading(share) {
  const text = share < 1 ? `Sending the files, ${Math.round(100 * share)} %` : "Sent; the service looks at the files";
  show("upload", text, share < 1 ? share : null);
}

export function show(stage, text, share) {
  at("now").textContent = text;
  document.title = `${text} · Sync-LoRA`;
  const bar = at("bar");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  let past = true;
  for (const item of at("stages").children) {
    const now = item.dataset.stage === stage;
    if (now) past = false;
    item.className = now ? "now" : past ? "past" : "";
    if (now) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  announce(stage, text);
}

// Screen readers hear every stage, and within one stage no more than six things a minute.
function announce(stage, text) {
  const now = performance.now();
  if (stage === said.stage && (now - said.when < SPARSE_MS || text === said.text)) return;
  said = { stage, text, when: now };
  at("news").textContent = text;
}

export function job(job) {
  at("lost").textContent = "";
  if (job.state === "queued") return show("queued", place(job.queue_position), null);
  const progress = job.progress ?? { stage: "preparing", step: 0, steps: 0, window: 0, windows: 1, attempt: 1 };
  show(progress.stage, words(progress), progress.stage === "sampling" && progress.steps ? progress.step / progress.steps : null);
}

function place(position) {
  if (position === null || position === undefined) return "Waiting for an editor";
  return position === 0 ? "Waiting, next in line" : `Waiting, ${plural(position, "edit")} before this one`;
}

function words({ stage, step, steps, window, windows, attempt }) {
  const parts = [STAGES[stage]?.[0] ?? stage];
  if (stage === "sampling" && steps) parts.push(`step ${step} of ${steps}`);
  if (windows > 1 && stage !== "preparing") parts.push(`window ${window + 1} of ${windows}`);
  if (attempt > 1) parts.push(`seed ${attempt} of those tried`);
  return parts.join(", ");
}

// Counts on while the view is open. `since`: milliseconds since 1970.
export function clock(since, signal) {
  const tick = () => (at("elapsed").textContent = duration(Math.max(0, Math.floor((Date.now() - since) / 1000))));
  tick();
  const timer = setInterval(tick, 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

export function cancellable(cancel) {
  at("cancel").onclick = () => {
    at("cancel").disabled = true; // until the service says that it ended
    cancel();
  };
  at("cancel").disabled = false;
}

export const lost = () => (at("lost").textContent = "The connection broke. The edit goes on; this page looks for it again.");
