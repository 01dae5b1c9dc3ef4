// Earlier edits of this key, newest first.

import { json } from "./http.js";
import { number, STATES } from "./words.js";

const at = (id) => document.getElementById(id);
const PAGE = 8;
let further = null; // the query of the next page

export async function list(query = `?limit=${PAGE}`) {
  const { edits, next } = await json(`v1/edits${query}`);
  if (query !== further) at("edits").replaceChildren();
  at("edits").append(...edits.map(row));
  further = next && new URL(next, location).search;
  at("older").hidden = !further;
  at("recent").hidden = !at("edits").children.length;
}

function row(job) {
  const item = document.createElement("li");
  const link = Object.assign(document.createElement("a"), { href: `#${job.id}` });
  const when = Object.assign(document.createElement("time"), { dateTime: job.created_at, textContent: date(job.created_at) });
  const what = job.request.prompt || (job.request.adapter && job.request.adapter !== "none" ? job.request.adapter : "the bare model");
  const found = job.result?.report.score ?? null;
  const score = job.state === "succeeded" ? (found === null ? "no score" : `sync ${number(found)}`) : job.state === "failed" ? job.error.reason.replaceAll("_", " ") : "";
  link.append(when, piece("what", what), piece(`state ${job.state}`, STATES[job.state]), piece("score", score));
  item.append(link);
  return item;
}

const piece = (className, textContent) => Object.assign(document.createElement("span"), { className, textContent });

function date(text) {
  const when = new Date(text);
  const today = new Date().toDateString() === when.toDateString();
  return when.toLocaleString("en-GB", today ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
}

export const more = () => list(further);
