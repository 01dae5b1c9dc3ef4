// Two videos on one clock: source and edit are only ever shown together, the same frame of both.
//
// Resting, both are put into the middle of frame k, (k + 1/2) / fps. Playing, the edit is the clock (the sound is its) and the source follows by
// its speed; frames are kept in a small ring as they come, and a pair is painted once both halves of it are there.

const RING = 6; // frames: how far one decoder may be ahead of the other before pairs are lost
const FAR_S = 0.3; // beyond it the source jumps; below, it hurries or dawdles
const MAX_SIDE = 1280; // of the canvases, in pixels

// Time of the picture that a video shows, in seconds; null where the browser does not tell.
function shownAt(video) {
  if (!window.VideoFrame) return null;
  try {
    const picture = new VideoFrame(video);
    const seconds = picture.timestamp / 1e6;
    picture.close();
    return seconds;
  } catch {
    return null;
  }
}

// A video and the canvas that shows it, or a part of it: {left, top, width, height} in the video's pixels.
class Half {
  constructor({ video, canvas, part }) {
    const { left, top, width: across, height: down } = part ?? { left: 0, top: 0, width: video.videoWidth, height: video.videoHeight };
    Object.assign(this, { video, canvas, part: [left, top, across, down] });
    this.ring = Array.from({ length: RING }, () => ({ frame: -1, canvas: document.createElement("canvas") }));
    const scale = Math.min(1, MAX_SIDE / Math.max(across, down));
    const [width, height] = [across, down].map((side) => Math.round(side * scale));
    for (const each of [canvas, ...this.ring.map((slot) => slot.canvas)]) Object.assign(each, { width, height });
  }

  // Keeps the picture that the video shows. `told`: its time by the browser's callback, which may be a frame behind the picture.
  keep(told, fps) {
    const before = shownAt(this.video) ?? told;
    const frame = Math.round(before * fps);
    const slot = this.ring[frame % RING];
    slot.frame = -1;
    slot.canvas.getContext("2d").drawImage(this.video, ...this.part, 0, 0, slot.canvas.width, slot.canvas.height);
    if ((shownAt(this.video) ?? told) === before) slot.frame = frame; // else it changed while it was drawn
  }

  forget() {
    for (const slot of this.ring) slot.frame = -1;
  }

  get newest() {
    return Math.max(...this.ring.map((slot) => slot.frame));
  }

  // The slot of frame k, or of the last one before it: a source of uneven frame rate has none of its own for some.
  slot(frame, exact) {
    const fit = this.ring.filter((slot) => slot.frame >= 0 && (exact ? slot.frame === frame : slot.frame <= frame));
    return fit.reduce((best, slot) => (slot.frame > (best?.frame ?? -1) ? slot : best), undefined);
  }

  paint(kept) {
    const picture = kept ? [kept] : [this.video, ...this.part];
    this.canvas.getContext("2d").drawImage(...picture, 0, 0, this.canvas.width, this.canvas.height);
  }

  // Resolves when the video shows what is there at that time. The end of an earlier seek is not taken for the end of this one.
  async seek(seconds) {
    const { video } = this;
    if (Math.abs(video.currentTime - seconds) > 1e-6 || video.readyState < 2) video.currentTime = seconds;
    while (video.seeking) await new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
  }

  // Waits, a little, for the picture to be the frame's own: it may come after the event. A source of uneven rate has none for some frames.
  async settle(frame, fps) {
    for (let wait = 0; wait < 4; wait++) {
      const seconds = shownAt(this.video);
      if (seconds === null || Math.round(seconds * fps) === frame) return;
      await new Promise((resolve) => setTimeout(resolve, 16));
    }
  }
}

export class Lockstep {
  // `edit` and `source`: {video, canvas, part}, their videos loaded; source may be null, and so may part. `onChange` is called whenever frame or playing changed.
  constructor(edit, source, frames, fps, onChange) {
    this.edit = new Half(edit);
    this.source = source && new Half(source);
    this.halves = this.source ? [this.edit, this.source] : [this.edit];
    Object.assign(this, { frames, fps, onChange, frame: 0, playing: false, loop: true, speed: 1, wanted: 0, moving: null });
    this.edit.video.addEventListener("ended", () => this.#ended());
    for (const half of this.halves) this.#watch(half);
  }

  // Puts both halves on frame k. Calls while one is under way are joined: the last one counts.
  async seek(frame) {
    this.wanted = Math.min(this.frames - 1, Math.max(0, Math.round(frame)));
    this.moving ??= this.#move().finally(() => (this.moving = null));
    return this.moving;
  }

  async #move() {
    const resume = this.playing;
    this.#rest();
    let at;
    do {
      at = this.wanted;
      await Promise.all(this.halves.map((half) => half.seek((at + 0.5) / this.fps).then(() => half.settle(at, this.fps))));
    } while (at !== this.wanted);
    for (const half of this.halves) half.paint();
    this.#show(at);
    if (resume) await this.play();
  }

  step(frames) {
    this.pause();
    return this.seek((this.moving ? this.wanted : this.frame) + frames);
  }

  async play() {
    if (this.frame >= this.frames - 1) {
      this.playing = false;
      await this.seek(0);
    }
    for (const half of this.halves) half.forget();
    this.playing = true;
    this.setSpeed(this.speed);
    this.onChange();
    await Promise.all(this.halves.map((half) => half.video.play())).catch(() => this.pause());
  }

  // Rests on the frame that is shown.
  pause() {
    if (!this.playing) return;
    this.#rest();
    this.playing = false;
    this.seek(this.frame);
    this.onChange();
  }

  setSpeed(speed) {
    this.speed = speed;
    for (const half of this.halves) half.video.playbackRate = speed;
  }

  close() {
    this.playing = false;
    this.closed = true;
    this.#rest();
  }

  #rest() {
    for (const half of this.halves) half.video.pause();
  }

  async #ended() {
    if (!this.playing) return;
    this.#rest();
    this.playing = false;
    await this.seek(this.loop ? 0 : this.frames - 1);
    if (this.loop) await this.play();
    this.onChange();
  }

  // Keeps each frame as the browser presents it.
  #watch(half) {
    const { video } = half;
    const seen = (now, facts) => {
      if (this.closed) return;
      if (this.playing && !video.paused && video.readyState >= 2) {
        // Without the callback, currentTime lies somewhere within the frame: half of one is taken off.
        half.keep(facts?.mediaTime ?? Math.max(0, video.currentTime - 0.5 / this.fps), this.fps);
        this.#pair();
      }
      next();
    };
    const next = () => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(seen) : requestAnimationFrame(() => seen()));
    next();
  }

  #pair() {
    const least = Math.min(...this.halves.map((half) => half.newest));
    const uneven = least - this.frame >= RING - 1; // fewer may be pictures that a busy machine dropped
    for (let frame = least; frame > this.frame; frame--) {
      const slots = this.halves.map((half) => half.slot(frame, !uneven));
      if (slots.some((slot) => !slot)) continue;
      this.halves.forEach((half, index) => half.paint(slots[index].canvas));
      this.#show(Math.min(frame, this.frames - 1));
      break;
    }
    this.#follow();
  }

  #follow() {
    if (!this.source || this.source.video.seeking) return;
    const [clock, follower] = [this.edit.video, this.source.video];
    const ahead = follower.currentTime - clock.currentTime;
    if (Math.abs(ahead) > FAR_S * this.speed) follower.currentTime = clock.currentTime;
    else follower.playbackRate = this.speed * (1 - Math.min(0.2, Math.max(-0.2, 2 * ahead)));
  }

  #show(frame) {
    this.frame = frame;
    this.onChange();
  }
}
