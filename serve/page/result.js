// A finished edit: source and edit in step, the curves under them, the verdict, the figures, the file.

import { Curves } from "./curves.js";
import { loaded } from "./form.js";
import { media } from "./http.js";
import { Lockstep } from "./lockstep.js";
import { duration, explain, number, plural, rate, RANDOM_WEIGHTS, verdict } from "./words.js";

const at = (id) => document.getElementById(id);
let stage = null; // the lockstep that is shown

// `own`: the address of the source when this page has the file already.
export async function open(job, own, signal) {
  const { result, id } = job;
  close();
  describe(result);
  const fps = rate(result.fps);
  const curves = new Curves(at("curves"), result.report, result.frames, fps, (frame) => stage?.seek(frame));
  const [source, edit] = await Promise.all([load("a", own ?? media(`v1/edits/${id}/source`, signal)), load("b", media(`v1/edits/${id}/video`, signal))]);
  if (signal.aborted) return;
  at("download").href = at("b-video").src || `v1/edits/${id}/video`;
  at("download").download = `edit-${id}.mp4`;
  if (!edit) return;
  at("screen").style.setProperty("--ratio", edit.video.videoWidth / edit.video.videoHeight);
  if (source) source.part = partOf(source.video, result.crop, job.source);
  stage = new Lockstep(edit, source, result.frames, fps, () => show(curves));
  stage.loop = at("loop").getAttribute("aria-pressed") === "true";
  edit.video.muted = at("sound").getAttribute("aria-pressed") !== "true";
  stage.setSpeed(Number(at("speed").value));
  await stage.seek(0);
}

// Of the source what was edited, so that both halves show the same place. `crop` is in stored pixels; a browser stretches those that are not square.
function partOf({ videoWidth, videoHeight }, crop, { width, height }) {
  if (!crop) return null;
  const [x, y] = [videoWidth / width, videoHeight / height];
  return { left: crop.left * x, top: crop.top * y, width: crop.width * x, height: crop.height * y };
}

function show(curves) {
  if (!stage) return;
  const { frame, frames, fps, playing } = stage;
  at("scrub").value = frame;
  at("scrub").setAttribute("aria-valuetext", `frame ${frame}, ${(frame / fps).toFixed(2)} seconds`);
  at("count").textContent = `${frame} / ${frames - 1}`;
  at("screen").dataset.frame = frame;
  at("play").classList.toggle("playing", playing);
  at("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  curves.show(frame);
}

// The half of the stage on `side`, its video loaded; null, and words in its place, when that cannot be.
async function load(side, address) {
  const [video, canvas, words] = ["video", "canvas", "cannot"].map((part) => at(`${side}-${part}`));
  words.hidden = true;
  try {
    video.src = await address;
    await loaded(video);
    return { video, canvas };
  } catch (problem) {
    words.textContent = problem.reason === "unplayable" ? "This browser cannot play this file." : `It cannot be fetched: ${explain(problem.reason)}`;
    words.hidden = problem.name === "AbortError";
    return null;
  }
}

export function close() {
  stage?.close();
  stage = null;
  at("curves").replaceChildren();
  at("count").textContent = "";
  delete at("screen").dataset.frame;
  for (const side of ["a", "b"]) {
    const video = at(`${side}-video`);
    if (side === "b" && video.src.startsWith("blob:")) URL.revokeObjectURL(video.src); // a's may be the form's own
    video.removeAttribute("src");
    video.load();
    Object.assign(at(`${side}-canvas`), { width: 0, height: 0 });
  }
}

export function controls() {
  at("play").addEventListener("click", toggle);
  at("back").addEventListener("click", () => stage?.step(-1));
  at("forth").addEventListener("click", () => stage?.step(1));
  at("scrub").addEventListener("input", () => stage?.seek(Number(at("scrub").value)));
  at("speed").addEventListener("change", () => stage?.setSpeed(Number(at("speed").value)));
  press("loop", (on) => stage && (stage.loop = on));
  press("sound", (on) => (at("b-video").muted = !on));
  document.addEventListener("keydown", keys);
}

function press(id, use) {
  at(id).addEventListener("click", () => {
    const on = at(id).getAttribute("aria-pressed") !== "true";
    at(id).setAttribute("aria-pressed", on);
    use(on);
  });
}

const toggle = () => (stage?.playing ? stage.pause() : stage?.play());

// Of the whole page, wherever nothing else wants the key.
function keys(event) {
  if (!stage || at("result").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const { target } = event;
  if (target.matches("input:not([type=range]), select, textarea")) return;
  const go = { ArrowLeft: () => stage.step(event.shiftKey ? -10 : -1), ArrowRight: () => stage.step(event.shiftKey ? 10 : 1), Home: () => stage.seek(0), End: () => stage.seek(stage.frames - 1) };
  if (event.key === " " && !target.matches("button, a, summary")) go[" "] = toggle;
  if (!go[event.key]) return;
  event.preventDefault();
  go[event.key]();
}

function describe(result) {
  const { report } = result;
  at("random").hidden = !result.random_base;
  at("random").textContent = `${RANDOM_WEIGHTS}.`;
  at("scrub").max = result.frames - 1;
  at("scrub").value = 0;
  at("sound").hidden = !result.has_audio;
  at("verdict").textContent = verdict(report);
  at("verdict").className = report.verdict;
  at("verdict-detail").textContent = report.detail;
  score(report);
  list("figures", [
    ["Edit strength", number(result.edit_strength, 3), "distance from the source: 0 is a copy, thin glasses about 0.02"],
    ["Off the edited frame", number(result.first_frame_distance, 3), "distance of the video’s first frame, 0 is the same"],
    ["Lag", number(report.lag_frames, 1, true), "frames; above 0 the edit is late"],
  ]);
  list("made", [
    ["Adapter", result.adapter === "none" ? "none: the bare model" : result.adapter],
    ["Model", result.backbone],
    ["Prompt", result.prompt || "none"],
    ["Seed", result.seed, result.attempts.length > 1 ? `tried: ${result.attempts.map((one) => `${one.seed} (${number(one.score)})`).join(", ")}` : ""],
    ["Steps", result.steps],
    ["Video", `${result.width} × ${result.height}, ${plural(result.frames, "frame")}`, `${number(rate(result.fps), 2)} frames a second, ${duration(result.seconds)}, ${result.has_audio ? "the source’s sound" : "no sound"}`],
    ...(result.crop ? [["Part", `${result.crop.width} × ${result.crop.height} of the source`, "around the face: all that this model edits"]] : []),
    ["First frame", fit(result.fit)],
    ...(result.seams.length ? [["Windows meet at", result.seams.map((seam) => seam.frame).join(", "), `largest jump ${number(Math.max(...result.seams.map((seam) => seam.picture)), 1)} times the source’s own there`]] : []),
    ["Took", duration(Object.values(result.took_seconds).reduce((a, b) => a + b, 0)), Object.entries(result.took_seconds).map(([name, value]) => `${name} ${number(value, 1)}`).join(", ")],
  ]);
}

function score({ score, low, high }) {
  const range = Object.assign(document.createElement("small"), { textContent: low === null ? "" : ` ${number(low)} to ${number(high)}` });
  range.title = "90 % interval";
  at("score").replaceChildren(score === null ? "no sync score" : `sync ${number(score)}`, range);
}

function list(id, facts) {
  at(id).replaceChildren(
    ...facts.map(([name, value, note]) => {
      const item = document.createElement("div");
      item.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
      if (note) item.append(Object.assign(document.createElement("dd"), { textContent: note, className: "note" }));
      return item;
    }),
  );
}

function fit({ kind, scale, turn_degrees: turn, shift_x_px: x, shift_y_px: y, misalignment_before: before, misalignment_after: after, filled = 0 }) {
  const words = kind === "none" ? "used as it came" : kind === "aligned" ? `aligned: turned ${number(turn, 1)}°, scaled ${number(scale)}, moved ${number(x, 0)}, ${number(y, 0)} pixels` : kind;
  const off = before === null ? "" : `; ${number(before)} face widths off${after === null || kind !== "aligned" ? "" : ` before, ${number(after)} after`}`;
  return words + off + (filled > 0.005 ? `; ${number(100 * filled, 0)} % filled from the source` : "");
}
