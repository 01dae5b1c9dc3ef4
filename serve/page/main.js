// The page's one state: which edit is looked at. It stands in the address (#<id>), so that a reload, a bookmark and the back key work.

import * as form from "./form.js";
import { follow, json, keepKey, key, media } from "./http.js";
import * as recent from "./recent.js";
import * as result from "./result.js";
import { explain, remedy } from "./words.js";
import * as working from "./working.js";

const at = (id) => document.getElementById(id);
const ENDS = ["succeeded", "failed", "cancelled"];
let leave = new AbortController(); // of what the present view has under way
let mine = null; // the edit that was started here: its files need not be fetched

// Shows one of the views and ends what the one before had under way.
function view(name) {
  leave.abort();
  leave = new AbortController();
  result.close();
  for (const each of ["door", "new", "work", "result"]) at(each).hidden = each !== name;
  at("headline").hidden = name !== "new" && name !== "door";
  document.body.dataset.view = name;
  document.title = "Sync-LoRA";
  at("problem").hidden = true;
  return leave.signal;
}

// A problem in words: what, what would do, and the service's own line. Null: there is none any more.
function complain(problem) {
  if (problem?.name === "AbortError") return;
  if (!problem) at("problem").hidden = true;
  else if (problem.reason === "unauthorized" && !problem.detail.includes("no keys")) ask(problem);
  else {
    const wait = problem.retryAfter ? ` Not before ${problem.retryAfter} seconds.` : "";
    tell(explain(problem.reason) || "Something went wrong.", remedy(problem.reason) + wait, problem.detail ? `${problem.reason}: ${problem.detail}` : "");
    if (!problem.reason) console.error(problem); // a fault of this page
  }
}

// For a key; that one was given before and is not known is a problem, that none was given is not.
function ask(problem) {
  view("door");
  if (key()) tell("The service does not know this key.", "Look whether it is whole; it may also have been withdrawn.", problem.detail);
  at("key").focus();
}

function tell(what, remedy = "", detail = "", calm = false) {
  const box = at("problem");
  for (const [part, words] of [["h2", what], [".remedy", remedy], [".detail", detail]]) box.querySelector(part).textContent = words;
  box.classList.toggle("calm", calm);
  box.hidden = false;
  box.focus();
}

const calmly = (what) => tell(what, "", "", true);

function route() {
  const id = location.hash.slice(1);
  recent.list().catch(() => {});
  if (id && id !== "new") return look(id);
  view("new");
}

// To the form, with words above it. The address says so without another turn of `route`.
function home(say) {
  history.replaceState(null, "", "#new");
  view("new");
  recent.list().catch(() => {});
  say();
}

// One edit, in whatever state it is.
async function look(id) {
  const signal = view("work");
  working.begin();
  working.show("queued", "Looking for the edit", null);
  try {
    let job = await json(`v1/edits/${id}`, { signal });
    if (!ENDS.includes(job.state)) job = await watch(job, signal);
    if (!signal.aborted) ended(job);
  } catch (problem) {
    if (!signal.aborted) home(() => complain(problem));
  }
}

// Follows an edit under way, and gives it back as it ended.
async function watch(job, signal) {
  preview(job, signal);
  working.clock(Date.parse(job.created_at), signal);
  working.job(job);
  working.cancellable(() => json(`v1/edits/${job.id}`, { method: "DELETE" }).catch(complain));
  let newest = job;
  const seen = (next) => {
    newest = next;
    if (!ENDS.includes(next.state)) working.job(next);
  };
  await follow(job.id, seen, working.lost, signal);
  return newest;
}

const own = (id) => (mine?.id === id && mine.source === form.chosen.source?.url ? mine : null);

// The clip and the frame, beside the progress.
async function preview({ id, source: { width, height } }, signal) {
  at("work").style.setProperty("--ratio", width / height || 1);
  for (const [element, name] of [[at("work-source"), "source"], [at("work-frame"), "first_frame"]]) {
    element.onloadeddata = element.onload = () => (element.hidden = false);
    const address = own(id) ? own(id)[name] : await media(`v1/edits/${id}/${name}`, signal).catch(() => null);
    if (address && !signal.aborted) element.src = address;
  }
}

function ended(job) {
  form.renew();
  if (job.state === "cancelled") return home(() => calmly("The edit was cancelled."));
  if (job.state === "failed") return home(() => complain(job.error));
  const signal = view("result");
  recent.list().catch(() => {});
  at("remove").onclick = () => remove(job.id);
  at("verdict").focus();
  return result.open(job, own(job.id)?.source, signal).catch(complain);
}

// Asks once more, then removes the edit and everything that was sent for it.
async function remove(id) {
  const button = at("remove");
  if (button.textContent === "Delete") {
    button.textContent = "Delete video, clip and frame?";
    setTimeout(() => (button.textContent = "Delete"), 6000);
    return;
  }
  button.textContent = "Delete";
  try {
    await json(`v1/edits/${id}`, { method: "DELETE" });
    home(() => calmly("The edit was deleted, with its clip and its frame."));
  } catch (problem) {
    complain(problem);
  }
}

async function start() {
  const signal = view("work");
  working.begin();
  working.uploading(0);
  working.cancellable(() => view("new"));
  at("now").focus();
  try {
    const { id } = await form.send(working.uploading, signal);
    mine = { id, source: form.chosen.source.url, first_frame: form.chosen.frame.url };
    location.hash = id;
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (problem.reason !== "unreachable") form.renew();
    view("new");
    complain(problem);
  }
}

async function enter() {
  try {
    await form.listAdapters();
    route();
  } catch (problem) {
    view("new");
    complain(problem);
  }
}

at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(at("key").value.trim());
  at("key").value = "";
  enter();
});
at("older").addEventListener("click", () => recent.more().catch(complain));
at("again").addEventListener("click", () => {
  location.hash = "new";
  form.again();
});
window.addEventListener("hashchange", route);
form.begin(start, complain);
result.controls();
enter();
