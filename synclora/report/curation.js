"use strict";
// Values under the pointer, or under the arrow keys, for each pair of curves.
for (const chart of document.querySelectorAll("svg.lines")) {
  const [source, edited] = ["source", "edited"].map((half) => chart.dataset[half].split(",").map(Number));
  const output = chart.parentElement.querySelector("output");
  const plot = chart.querySelector(".plot");
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  let at = 0;
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", "0");
  cursor.setAttribute("y2", "100");
  chart.setAttribute("tabindex", "0");
  const show = (index) => {
    at = Math.min(source.length - 1, Math.max(0, index));
    const x = (1000 * at) / Math.max(1, source.length - 1);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    plot.append(cursor);
    const frame = at * Number(chart.dataset.step);
    const seconds = (frame / Number(chart.dataset.fps)).toFixed(2);
    const [a, b] = [source[at], edited[at]].map((value) => (Math.round(value * 10) / 10 + 0).toFixed(1).replace("-", "−"));
    output.textContent = `${seconds} s, frame ${frame}: source ${a}, edited ${b}`;
  };
  const hide = () => {
    cursor.remove();
    output.textContent = "";
  };
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    show(Math.round(((event.clientX - box.left) / box.width) * (source.length - 1)));
  });
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    show(at + move);
  });
}
// The table of quarantined inputs, filtered by what is typed.
const filter = document.querySelector(".filter");
if (filter) {
  filter.hidden = false;
  filter.addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const row of document.querySelectorAll("#quarantine-rows tr")) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}
