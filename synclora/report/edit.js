"use strict";
// One control for all videos: they follow the first one. At rest every one stands in the middle of the same frame; playing, those that are
// ahead or behind change their speed a little, and jump only when they are far off: a jump stutters.
const FAR_S = 0.3;
const player = document.querySelector("#player");
const frames = Number(player.dataset.frames);
const fps = Number(player.dataset.fps);
const videos = [...player.querySelectorAll("video")];
const [leader, ...others] = videos;
const [slider, play, back, on, when, speed, loop] = ["at", "play", "back", "on", "when", "speed", "loop"].map((id) => document.getElementById(id));
const charts = [...document.querySelectorAll("svg.lines")];
const cursors = charts.map((chart) => {
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", "0");
  cursor.setAttribute("y2", "100");
  chart.querySelector(".plot").append(cursor);
  return cursor;
});
let playing = false;

const now = () => Number(slider.value);
const say = (frame) => {
  slider.value = frame;
  when.textContent = `frame ${frame}, ${(frame / fps).toFixed(2)} s`;
  slider.setAttribute("aria-valuetext", when.textContent);
  const x = (1000 * frame) / Math.max(1, frames - 1);
  for (const cursor of cursors) for (const end of ["x1", "x2"]) cursor.setAttribute(end, x);
};
const seek = (frame) => {
  const wanted = Math.min(frames - 1, Math.max(0, frame));
  for (const video of videos) video.currentTime = (wanted + 0.5) / fps; // its middle: rounding cannot reach a neighbour
  say(wanted);
};
const halt = () => {
  playing = false;
  for (const video of videos) video.pause();
  play.textContent = "Play";
};
const rest = (frame) => {
  halt();
  seek(frame);
};
const follow = () => {
  if (!playing) return;
  for (const video of others) {
    const ahead = video.currentTime - leader.currentTime;
    if (video.ended || video.seeking) continue;
    if (Math.abs(ahead) > FAR_S * leader.playbackRate) video.currentTime = leader.currentTime;
    else video.playbackRate = leader.playbackRate * (1 - Math.min(0.2, Math.max(-0.2, 2 * ahead)));
  }
  say(Math.min(frames - 1, Math.floor(leader.currentTime * fps)));
  requestAnimationFrame(follow);
};
const start = async () => {
  if (now() >= frames - 1) seek(0);
  playing = true;
  play.textContent = "Pause";
  setSpeed();
  try {
    await Promise.all(videos.map((video) => video.play()));
  } catch {
    if (playing) rest(now()); // the browser refused; a pause on the way is no refusal
    return;
  }
  follow();
};
const toggle = () => (playing ? rest(now()) : start());
const setSpeed = () => {
  for (const video of videos) video.playbackRate = Number(speed.value);
};

play.addEventListener("click", toggle);
back.addEventListener("click", () => rest(now() - 1));
on.addEventListener("click", () => rest(now() + 1));
speed.addEventListener("change", setSpeed);
slider.addEventListener("input", () => rest(now()));
leader.addEventListener("ended", () => {
  if (!playing) return;
  if (!loop.checked) return rest(frames - 1);
  halt();
  seek(0);
  start();
});
for (const chart of charts) {
  chart.addEventListener("click", (event) => {
    const box = chart.getBoundingClientRect();
    rest(Math.round(((event.clientX - box.left) / box.width) * (frames - 1)));
  });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
  const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (move) rest(now() + move);
  else if (event.key === " " && !event.target.closest("button")) toggle();
  else return;
  event.preventDefault();
});
seek(0);
