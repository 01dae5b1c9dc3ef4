// Values under the pointer, or under the arrow keys, for each chart over the steps.
for (const chart of document.querySelectorAll("svg.trends")) {
  const { at, titles, names, values } = chart.dataset;
  const places = at.split(",").map(Number);
  const [title, name] = [titles, names].map((text) => text.split("|"));
  const columns = values.split("|").map((text) => text.split(","));
  const output = chart.parentElement.querySelector("output");
  const plot = chart.querySelector(".plot");
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  let now = 0;
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", "0");
  cursor.setAttribute("y2", "100");
  chart.setAttribute("tabindex", "0");
  const show = (index) => {
    now = Math.min(places.length - 1, Math.max(0, index));
    cursor.setAttribute("x1", places[now]);
    cursor.setAttribute("x2", places[now]);
    plot.append(cursor);
    output.textContent = `${title[now]}: ${name.map((word, i) => `${word} ${columns[i][now]}`).join(", ")}`;
  };
  const hide = () => {
    cursor.remove();
    output.textContent = "";
  };
  const nearest = (place) => places.reduce((best, other, i) => (Math.abs(other - place) < Math.abs(places[best] - place) ? i : best), 0);
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    show(nearest((1000 * (event.clientX - box.left)) / box.width));
  });
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    show(now + move);
  });
}
