// The new edit: a clip, its first frame taken out, the edited one, the settings, consent.

import { json, once, Problem, upload } from "./http.js";
import { bytes, duration } from "./words.js";

const at = (id) => document.getElementById(id);
const FIELDS = { prompt: "prompt", seed: "seed", steps: "steps", "min-sync": "min_sync", attempts: "attempts" };

// What is chosen. `url` shows it; it lives until another file takes its place.
export const chosen = { source: null, frame: null };
let repetition = null; // one per form as it stands: sent again after a broken connection, it is not a second edit

export function begin(onStart, onProblem) {
  accept("source", (file) => showSource(file, onProblem));
  accept("frame", (file) => showFrame(file, onProblem));
  at("take").addEventListener("click", () => takeFirstFrame(chosen.source).catch(onProblem));
  at("new").addEventListener("input", () => (repetition = null));
  at("new").addEventListener("change", ready);
  at("min-sync").addEventListener("input", () => (at("attempts").disabled = !at("min-sync").value));
  at("new").addEventListener("submit", (event) => {
    event.preventDefault();
    if (lacking() || !at("new").reportValidity()) return lead();
    repetition ??= once();
    onStart();
  });
  ready();
}

// A place for one file: chosen, or dropped anywhere on it.
function accept(name, show) {
  const [input, drop] = [at(name), at(`${name}-drop`)];
  input.addEventListener("change", () => input.files.length && show(input.files[0]));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind !== "drop" || !event.dataTransfer.files.length) return;
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }
}

function put(name, file, element) {
  if (chosen[name]) URL.revokeObjectURL(chosen[name].url);
  chosen[name] = { file, url: URL.createObjectURL(file) };
  at(`${name}-drop`).classList.add("filled");
  at(`${name}-facts`).textContent = `${file.name}, ${bytes(file.size)}`;
  element.hidden = false;
  element.src = chosen[name].url;
}

// Resolves when the video shows its first frame; a file that the browser cannot play is a problem of the browser, not yet of the service.
export function loaded(video) {
  return new Promise((resolve, reject) => {
    if (video.readyState >= 2 && !video.error) return resolve();
    video.addEventListener("loadeddata", resolve, { once: true });
    video.addEventListener("error", () => reject(new Problem("unplayable", video.error?.message ?? "")), { once: true });
  });
}

async function showSource(file, onProblem) {
  const video = at("source-video");
  put("source", file, video);
  at("take").disabled = true;
  try {
    await loaded(video);
    if (!video.videoWidth) throw new Problem("no_video_stream", file.name);
    at("source-facts").textContent += `, ${video.videoWidth} × ${video.videoHeight}, ${duration(video.duration)}`;
    at("take").disabled = false;
    onProblem(null);
  } catch (problem) {
    video.hidden = true;
    if (chosen.source.file === file) onProblem(problem);
  }
  fits();
}

async function showFrame(file, onProblem) {
  const picture = at("frame-picture");
  put("frame", file, picture);
  try {
    await picture.decode();
    at("frame-facts").textContent += `, ${picture.naturalWidth} × ${picture.naturalHeight}`;
    onProblem(null);
  } catch {
    picture.hidden = true;
    if (chosen.frame.file === file) onProblem(new Problem("not_a_picture", file.name));
  }
  fits();
}

// Says when the two pictures differ in size, or do not differ at all.
function fits() {
  const [video, picture] = [at("source-video"), at("frame-picture")];
  if (video.hidden || picture.hidden || !video.videoWidth || !picture.naturalWidth) return;
  const facts = at("frame-facts");
  facts.querySelector("strong")?.remove();
  const note = document.createElement("strong");
  if (video.videoWidth * picture.naturalHeight !== video.videoHeight * picture.naturalWidth) note.textContent = " Another shape than the clip: it will be cropped to it.";
  else if (video.videoWidth !== picture.naturalWidth) note.textContent = " Another size than the clip: it will be scaled.";
  else if (video.currentTime === 0 && same(video, picture)) note.textContent = " This is the frame as it was taken out: nothing is edited in it.";
  facts.append(note);
}

function same(video, picture) {
  const [a, b] = [video, picture].map((image) => {
    const context = new OffscreenCanvas(64, 64).getContext("2d");
    context.drawImage(image, 0, 0, 64, 64);
    return context.getImageData(0, 0, 64, 64).data;
  });
  return a.every((value, index) => Math.abs(value - b[index]) <= 2);
}

// Frame 0 of the clip as PNG, upright and in full size. A video of its own: the one on the page may be anywhere.
async function takeFirstFrame({ file, url }) {
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, preload: "auto", src: url });
  await loaded(video);
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${file.name.replace(/\.[^.]+$/, "")}-first-frame.png` });
  link.click();
  at("take-hint").textContent = `${link.download}, ${canvas.width} × ${canvas.height}: edit it, then bring it back at 2.`;
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export async function listAdapters() {
  const { adapters } = await json("v1/adapters");
  const select = at("adapter");
  const options = adapters.map((adapter) => {
    const option = new Option(adapter.name === "none" ? "none: the bare model" : adapter.name, adapter.name, adapter.default, adapter.default);
    option.dataset.hint = described(adapter);
    return option;
  });
  select.replaceChildren(...options);
  const hint = () => (at("adapter-hint").textContent = select.selectedOptions[0]?.dataset.hint ?? "");
  select.onchange = hint;
  hint();
}

function described({ rank, frames, width, height, caption, random_base: random }) {
  const facts = [rank && `rank ${rank}`, frames && width && `learnt on ${frames} frames of ${width} × ${height}`, caption && `caption “${caption}”`, random && "random weights: plumbing only"];
  return facts.filter(Boolean).join(", ");
}

const lacking = () => (!chosen.source ? ["source", "a clip"] : !chosen.frame ? ["frame", "its edited first frame"] : !at("consent").checked ? ["consent", "the consent of the people shown"] : null);

function ready() {
  const lack = lacking();
  at("missing").textContent = lack ? `Still missing: ${lack[1]}.` : "";
  at("start").setAttribute("aria-disabled", Boolean(lack));
}

// To what is missing.
function lead() {
  const lack = lacking();
  if (lack) at(lack[0]).focus();
}

export function send(onProgress, signal) {
  const form = new FormData();
  for (const [id, name] of Object.entries(FIELDS)) if (at(id).value.trim() && !at(id).disabled) form.append(name, at(id).value.trim());
  form.append("adapter", at("adapter").value);
  form.append("consent", "true");
  form.append("source", chosen.source.file);
  form.append("first_frame", chosen.frame.file);
  return upload("v1/edits", form, repetition, onProgress, signal);
}

// After a refusal or an end the same form may be sent again, as another edit.
export const renew = () => (repetition = null);

// For a further edit of the same clip: the frame and the consent are asked for anew.
export function again() {
  repetition = null;
  at("consent").checked = false;
  ready();
  at("frame").focus();
}
