/**
 * The page: a note goes to the server, its answers are shown and reviewed, and what was reviewed can be saved.
 *
 * Notes and answers are in this page's memory only and go when it is closed; nothing is written to the browser's storage.
 */

import { EXAMPLE } from "./example.js";
import { copy, save, textOf } from "./files.js";
import { glossaryFile, glossaryOf, passagesFile, readNote, replaced, reviewed, wellFormed } from "./note.js";
import { Panel } from "./panel.js";
import { KINDS, drawLegend, drawReader, dress, isOfKind } from "./reader.js";
import { expand, inWords } from "./server.js";
import { drawTable } from "./table.js";

const get = (id) => document.getElementById(id);

/** Every note that was read, by its text, so that answers outlive an edit and all go into one file. */
const notes = new Map();
let note = null;
let buttons = new Map();
/** The name of the file that the text is from; "" if it was pasted. */
let fileName = "";
let request = null;
let unsaved = false;

const panel = new Panel({
  onAnswer(item) {
    unsaved = true;
    if (isShown("as-written")) dress(buttons.get(item), item);
    else draw();
    buttons.get(item).focus();
    showProgress();
    say(item.answer ? `${item.surface}: ${item.answer.longForm ?? "not a short form"}. ${get("progress").textContent}` : `${item.surface}: answer undone.`);
  },
  onNext(item) {
    const open = note.items.filter((one) => one.expansion && !one.answer);
    const next = open.find((one) => one.start > item.start) ?? open[0];
    if (next) show(next);
    else get("save-passages").focus();
  },
  onElsewhere(x, y) {
    document.elementFromPoint(x, y)?.closest(".reader .form")?.click();
  },
});

/** Tell a screen reader; the same words twice are said twice. */
function say(words) {
  get("status").textContent = "";
  setTimeout(() => {
    get("status").textContent = words;
  }, 50);
}

function fail(message) {
  get("error").textContent = message;
}

// A note comes in.

async function take(file) {
  fail("");
  try {
    get("text").value = await textOf(file);
  } catch (error) {
    showEntry();
    fail(error.message);
    return;
  }
  named(file.name);
  showEntry();
  await read();
}

function named(name) {
  fileName = name;
  get("file").textContent = name && `From ${name}`;
  get("file").hidden = !name;
}

async function read() {
  if (request) return;
  fail("");
  const text = wellFormed(get("text").value);
  if (!text.trim()) {
    fail("There is no note yet: paste one, open a file, or try the example.");
    get("text").focus();
    return;
  }
  request = new AbortController();
  busy(true);
  try {
    const result = await expand(text, { token: get("token").value, signal: request.signal, onWait });
    if (!notes.has(text)) notes.set(text, Object.assign(readNote(text, result), { id: newId() }));
    note = notes.get(text);
    get("ask").hidden = true;
    showResult();
  } catch (error) {
    if (error.name === "AbortError") say("Cancelled.");
    else refused(error);
  } finally {
    busy(false);
    request = null;
  }
}

function refused(error) {
  if (error.wantsToken) {
    get("ask").hidden = false;
    get("token").value = "";
    get("token").focus();
  }
  fail(error instanceof RangeError ? "The server's answer does not fit the note. Reload the page." : error.message);
}

function busy(is) {
  get("waiting").hidden = !is;
  get("cancel").hidden = !is;
  get("read").disabled = is;
  get("entry").setAttribute("aria-busy", is);
  get("wait-text").textContent = "Reading the note …";
  if (is) say("Reading the note.");
}

function onWait(seconds) {
  const isFirst = !get("wait-text").textContent.startsWith("The server is busy");
  get("wait-text").textContent = seconds ? `The server is busy. Next try in ${inWords(seconds)} …` : "Reading the note …";
  if (seconds && isFirst) say(get("wait-text").textContent);
}

/** An id that says nothing about the note. */
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A note is shown.

function showEntry() {
  get("entry").hidden = false;
  get("result").hidden = true;
  get("text").focus();
}

function showResult() {
  get("entry").hidden = true;
  get("result").hidden = false;
  get("heading").textContent = fileName || "Your note";
  view("as-written");
  get("saved").textContent = "";
  drawLegend(get("legend"), note, goToNext);
  showProgress();
  const found = note.items.filter((item) => item.expansion).length;
  get("summary").textContent = found ? several(found, "short form") : "No short forms found";
  get("heading").focus({ preventScroll: true });
  scrollTo({ top: 0 });
  say(announcement(get("summary").textContent));
}

/** "1 note", "2 notes". */
function several(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** What was found, for a screen reader: the short forms by kind of answer, then the notations. */
function announcement(summary) {
  const counted = (kind) => note.items.filter((item) => isOfKind(item, kind)).length;
  const { warning, sure, unsure, ...others } = KINDS;
  const answers = { sure, unsure: "not sure", ...others, none: "without an answer" };
  const found = Object.entries(answers).filter(([kind]) => counted(kind));
  const listed = found.map(([kind, words]) => `${counted(kind)} ${words}`).join(", ");
  const notations = counted("warning") ? ` ${several(counted("warning"), "notation")} better avoided.` : "";
  return `${summary}${listed && `: ${listed}`}.${notations}`;
}

function draw() {
  const unsure = get("mark").checked ? "mark" : "leave";
  buttons = isShown("as-table") ? drawTable(get("reader"), note) : drawReader(get("reader"), note, { expanded: isShown("as-expanded"), unsure });
  get("expanded-tools").hidden = !isShown("as-expanded");
}

const VIEWS = ["as-written", "as-expanded", "as-table"];

function isShown(view) {
  return get(view).ariaPressed === "true";
}

function view(id) {
  for (const one of VIEWS) get(one).ariaPressed = String(one === id);
  draw();
}

function show(item) {
  buttons.get(item).scrollIntoView({ block: "nearest" });
  panel.open(item, note, buttons.get(item));
}

/** Focus the next item of a kind behind the focused one, or the first. */
function goToNext(kind) {
  const all = note.items.filter((item) => isOfKind(item, kind));
  const at = all.findIndex((item) => item === goToNext.last);
  goToNext.last = all[(at + 1) % all.length];
  const button = buttons.get(goToNext.last);
  button.focus({ preventScroll: true });
  button.scrollIntoView({ block: "center" });
}

// What was reviewed is saved.

function showProgress() {
  const total = note.items.filter((item) => item.expansion).length;
  const done = reviewed(note).length;
  const others = [...notes.values()].filter((one) => one !== note && reviewed(one).length);
  const answers = others.reduce((sum, one) => sum + reviewed(one).length, done);
  const all = `${several(answers, "answer")} in ${several(others.length + (done > 0), "note")}`;
  get("progress").textContent = `${done} of ${total} reviewed${others.length ? `; ${all}.` : "."}`;
  get("save-passages").disabled = answers === 0;
  get("save-glossary").disabled = glossaryOf([...notes.values()]).length === 0;
  get("forget").hidden = answers === 0;
}

function savePassages() {
  save(passagesFile([...notes.values()]), "passages.jsonl", "application/jsonl");
  unsaved = false;
  saved("Saved passages.jsonl. It holds the notes: keep it where notes may be kept.");
}

function saveGlossary() {
  save(glossaryFile([...notes.values()]), "glossary.csv", "text/csv");
  const count = glossaryOf([...notes.values()]).length;
  saved(`Saved glossary.csv with ${count} ${count === 1 ? "entry" : "entries"}.`);
}

function saved(words) {
  get("saved").textContent = words;
  say(words);
}

function forget() {
  for (const one of notes.values()) for (const item of one.items) item.answer = null;
  for (const [text, one] of notes) if (one !== note) notes.delete(text);
  unsaved = false;
  draw();
  showProgress();
  saved("All answers are forgotten.");
  get("heading").focus({ preventScroll: true });
}

// What the reader does.

get("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  read();
});
get("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) read();
});
get("text").addEventListener("input", () => {
  if (!get("text").value) named("");
});
get("cancel").addEventListener("click", () => request?.abort());
get("open-file").addEventListener("click", () => get("picker").click());
get("picker").addEventListener("change", async () => {
  const [file] = get("picker").files;
  if (file) await take(file);
  get("picker").value = "";
});
get("example").addEventListener("click", () => {
  get("text").value = EXAMPLE;
  named("");
  read();
});
get("edit").addEventListener("click", showEntry);
get("new").addEventListener("click", () => {
  get("text").value = "";
  named("");
  showEntry();
});
get("reader").addEventListener("click", (event) => {
  const button = event.target.closest(".form");
  for (const [item, itsButton] of buttons) if (itsButton === button) show(item);
});
get("reader").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault(); // a space would scroll, and Enter press a button of the panel
  event.target.click();
});
for (const id of VIEWS) get(id).addEventListener("click", () => view(id));
get("mark").addEventListener("change", draw);
get("copy").addEventListener("click", async () => {
  const done = await copy(replaced(note, get("mark").checked ? "mark" : "leave"));
  get("copy").textContent = done ? "Copied" : "Copying was refused";
  say(done ? "The expanded note is on the clipboard." : "The browser refused to copy. Save the note instead.");
  setTimeout(() => {
    get("copy").textContent = "Copy";
  }, 2000);
});
get("save-text").addEventListener("click", () => {
  save(replaced(note, get("mark").checked ? "mark" : "leave"), `${fileName.replace(/\.[^.]*$/, "") || "note"}.expanded.txt`);
});
get("save-passages").addEventListener("click", savePassages);
get("save-glossary").addEventListener("click", saveGlossary);
get("forget").addEventListener("click", forget);

for (const kind of ["dragover", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    const [file] = kind === "drop" ? event.dataTransfer.files : [];
    if (file) take(file);
  });
}
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});
