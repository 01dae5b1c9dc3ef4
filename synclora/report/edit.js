"use strict";
// All videos follow the first one; the slider, the arrow keys and the charts move them frame by frame.
const player = document.querySelector("#player");
const frames = Number(player.dataset.frames);
const fps = Number(player.dataset.fps);
const videos = [...player.querySelectorAll("video")];
const [slider, play, when] = ["at", "play", "when"].map((id) => document.getElementById(id));
const charts = [...document.querySelectorAll("svg.lines")];
const cursors = charts.map((chart) => {
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", "0");
  cursor.setAttribute("y2", "100");
  chart.querySelector(".plot").append(cursor);
  return cursor;
});

const say = (frame) => {
  slider.value = frame;
  when.textContent = `frame ${frame}, ${(frame / fps).toFixed(2)} s`;
  const x = (1000 * frame) / Math.max(1, frames - 1);
  for (const cursor of cursors) for (const end of ["x1", "x2"]) cursor.setAttribute(end, x);
};
const seek = (frame) => {
  const wanted = Math.min(frames - 1, Math.max(0, frame));
  for (const video of videos) video.currentTime = (wanted + 0.5) / fps; // its middle: rounding cannot reach a neighbour
  say(wanted);
};
const pause = () => {
  for (const video of videos) video.pause();
  play.textContent = "Play";
};
const follow = () => {
  const [leader, ...others] = videos;
  if (leader.paused) return;
  for (const video of others) if (Math.abs(video.currentTime - leader.currentTime) > 0.5 / fps) video.currentTime = leader.currentTime;
  say(Math.min(frames - 1, Math.floor(leader.currentTime * fps)));
  requestAnimationFrame(follow);
};

play.addEventListener("click", async () => {
  if (!videos[0].paused) {
    pause();
    return;
  }
  if (Number(slider.value) >= frames - 1) seek(0);
  await Promise.all(videos.map((video) => video.play()));
  play.textContent = "Pause";
  follow();
});
videos[0].addEventListener("ended", pause);
slider.addEventListener("input", () => {
  pause();
  seek(Number(slider.value));
});
for (const chart of charts) {
  chart.addEventListener("click", (event) => {
    const box = chart.getBoundingClientRect();
    pause();
    seek(Math.round(((event.clientX - box.left) / box.width) * (frames - 1)));
  });
}
document.addEventListener("keydown", (event) => {
  const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!move || event.target === slider) return;
  event.preventDefault();
  pause();
  seek(Number(slider.value) + move);
});
seek(0);
