// The cue curves: source and edit of one part of the body per cue, in the strokes of the curation report, with a playhead on each.

import { CUES, PARTS, SIGNALS, WHY, number } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const LEAST_SPAN = 2.5; // standard deviations up and down: a curve that hardly moves is not blown up

function stroke(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

function make(name, className, text = "") {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}

// The part that a cue begins with: the one that is blamed, else the clearest that is evidence, else the clearest.
function first(parts, report) {
  const evident = parts.filter((part) => part.evidence);
  const worst = evident.reduce((a, b) => ((a?.r ?? 2) <= (b.r ?? 2) ? a : b), undefined);
  if (worst && report.verdict === "rejected" && report.reason === worst.cue) return worst;
  return (evident.length ? evident : parts).reduce((a, b) => ((a.snr ?? 0) >= (b.snr ?? 0) ? a : b));
}

export class Curves {
  // `onSeek(frame)` when somebody points at one.
  constructor(place, report, frames, fps, onSeek) {
    Object.assign(this, { frames, fps, onSeek, panels: [] });
    if (!report.parts.length) {
      place.append(make("p", "empty none", "No curves: there was nothing to compare."));
      return;
    }
    for (const cue of CUES) {
      const parts = report.parts.filter((part) => part.cue === cue);
      const panel = new Panel(cue, parts, report, this);
      this.panels.push(panel);
      place.append(panel.element);
    }
  }

  show(frame) {
    for (const panel of this.panels) panel.show(frame);
  }
}

class Panel {
  constructor(cue, parts, report, curves) {
    Object.assign(this, { cue, curves, at: 0, part: parts.length ? first(parts, report) : null });
    this.element = make("figure", "panel");
    this.element.dataset.cue = cue;
    const head = make("figcaption", "head");
    this.signal = make("span", "signal");
    this.readout = make("output", "readout");
    this.readout.setAttribute("aria-live", "off");
    head.append(make("h3", "cue", cue), this.signal, this.readout);
    this.plot = make("div", "plot");
    this.note = make("p", "note");
    this.chips = make("div", "chips");
    this.element.append(head, this.plot, this.chips, this.note);
    this.#pointing();
    this.#choose(parts, report);
    this.#draw();
  }

  // A chip per part; more than one can be chosen from.
  #choose(parts, report) {
    for (const part of parts) {
      const fails = part.evidence && report.verdict === "rejected" && report.reason === part.cue && part === first(parts, report);
      const chip = make(parts.length > 1 ? "button" : "span", `chip${part.evidence ? "" : " none"}${fails ? " fails" : ""}`);
      chip.append(make("b", "", PARTS[part.part] ?? part.part), part.evidence ? ` r ${number(part.r)}` : " no evidence");
      if (part.evidence && Math.abs(part.lag_frames ?? 0) >= 0.5) chip.append(`, ${number(part.lag_frames, 1, true)} frames`);
      if (parts.length > 1) {
        chip.type = "button";
        chip.setAttribute("aria-pressed", part === this.part);
        chip.addEventListener("click", () => {
          for (const other of this.chips.children) other.setAttribute("aria-pressed", other === chip);
          this.part = part;
          this.#draw();
        });
      }
      this.chips.append(chip);
    }
  }

  #draw() {
    const { part } = this;
    this.plot.replaceChildren();
    this.playhead = null;
    this.signal.textContent = part ? (SIGNALS[part.signal] ?? part.signal) : "";
    this.note.textContent = this.#words();
    this.element.classList.toggle("faint", !part?.evidence);
    if (!part?.source.length) {
      this.plot.append(make("p", "empty", "not measured"));
      return;
    }
    const svg = stroke("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", class: "chart", role: "img" }, this.plot);
    svg.setAttribute("aria-label", `${this.cue}: ${PARTS[part.part] ?? part.part} of source and edit over ${part.source.length} frames. ${this.note.textContent}`);
    const values = [...part.source, ...part.edited].filter((value) => value !== null);
    const span = Math.max(LEAST_SPAN, ...values.map(Math.abs)) * 1.06;
    for (const [from, to] of runs(part.source, (value, k) => value === null || part.edited[k] === null))
      stroke("rect", { class: "unseen", x: this.x(from - 0.5), y: 0, width: this.x(to + 0.5) - this.x(from - 0.5), height: 100 }, svg);
    stroke("line", { class: "zero", x1: 0, x2: 1000, y1: 50, y2: 50 }, svg);
    for (const half of ["source", "edited"]) this.#curve(svg, half, (value) => 50 - (50 * value) / span);
    this.playhead = stroke("line", { class: "playhead", y1: 0, y2: 100 }, svg);
    this.show(this.at);
  }

  #curve(svg, half, y) {
    const track = this.part[half];
    for (const [from, to] of runs(track, (value) => value !== null)) {
      const points = track.slice(from, to + 1).map((value, index) => `${this.x(from + index).toFixed(1)} ${y(value).toFixed(2)}`);
      const path = points.length > 1 ? points.join("L") : `${points[0]}h1`; // one frame alone is a dash
      stroke("path", { class: `curve ${half}`, d: `M${path}` }, svg);
    }
  }

  #words() {
    if (!this.part) return "No evidence: this cue was not measured.";
    if (this.part.evidence) return "";
    return `No evidence: ${WHY[this.part.why] ?? this.part.why ?? "it cannot be compared"}.`;
  }

  #pointing() {
    const seek = (event) => {
      const box = this.plot.getBoundingClientRect();
      this.curves.onSeek(Math.round(((event.clientX - box.left) / box.width) * (this.curves.frames - 1)));
    };
    this.plot.addEventListener("pointerdown", (event) => {
      if (event.button || !this.part?.source.length) return;
      this.plot.setPointerCapture(event.pointerId);
      seek(event);
    });
    this.plot.addEventListener("pointermove", (event) => this.plot.hasPointerCapture(event.pointerId) && seek(event));
  }

  x(frame) {
    return (1000 * Math.min(this.curves.frames - 1, Math.max(0, frame))) / Math.max(1, this.curves.frames - 1);
  }

  show(frame) {
    this.at = frame;
    if (!this.playhead) return;
    this.playhead.setAttribute("x1", this.x(frame));
    this.playhead.setAttribute("x2", this.x(frame));
    this.playhead.dataset.frame = frame;
    const [a, b] = [this.part.source[frame], this.part.edited[frame]];
    this.readout.textContent = a === null || b === null || a === undefined ? "not seen" : `${number(a, 1)} · ${number(b, 1)}`;
  }
}

// First and last index of each stretch for which `holds`.
function* runs(track, holds) {
  let from = -1;
  for (let k = 0; k <= track.length; k++) {
    const inside = k < track.length && holds(track[k], k);
    if (inside && from < 0) from = k;
    if (!inside && from >= 0) {
      yield [from, k - 1];
      from = -1;
    }
  }
}
