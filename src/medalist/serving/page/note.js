/**
 * A note and what is said about it, without any page: offsets, the pieces to show, the expanded text, the files to save.
 *
 * The server's offsets count code points and JavaScript's strings UTF-16 units. Inside this module "start" and "end"
 * count units, "from" and "to" code points; only the latter leave it, in saved files.
 */

import { endInPlace, folded, inPlace, withArticle } from "./wording.js";

export const NONE_OF_THESE = "none of these";

/** What may stand between a long form and its short form where a text defines it; `results.py` has the same. */
const OPENS = /^[\s,;:."'“”‘’]*[(\[][\s"'“”‘’]*$/u;

/** The text with each half of a surrogate pair replaced, since JSON files cannot hold one. */
export function wellFormed(text) {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

/** A function from an offset in code points to the one in UTF-16 units. */
function unitsOf(text) {
  const units = [];
  let at = 0;
  for (const character of text) {
    units.push(at);
    at += character.length;
  }
  units.push(at);
  return (offset) => {
    if (!Number.isInteger(offset) || offset < 0 || offset >= units.length) throw new RangeError("offset outside the text");
    return units[offset];
  };
}

/** How an expansion is shown. */
function kindOf(expansion) {
  if (expansion.evidence === "unlisted") return "unlisted";
  if (expansion.long_form === null) return "none";
  if (!expansion.sure) return "unsure";
  return { "defined in text": "defined", glossary: "glossary" }[expansion.evidence] ?? "sure";
}

/**
 * A note: its text, and in the order of the text an item for each short form and each notation to avoid.
 *
 * An item has `start`, `end`, `from`, `to`, `surface`, `kind`, `warnings`, `expansion` (null for a notation that is no
 * short form), `definition` (units, or null) and `answer`, the reviewer's: null, or `{longForm, always}` in which
 * `longForm` is null for "not a short form" and `always` sends the answer to the glossary.
 */
export function readNote(text, result) {
  const unit = unitsOf(text);
  const placed = (one) => ({ start: unit(one.start), end: unit(one.end), from: one.start, to: one.end });
  const warnings = result.warnings.map((warning) => ({ ...warning, ...placed(warning) }));
  const items = result.expansions.map((expansion) => {
    const place = placed(expansion);
    return {
      ...place,
      expansion,
      kind: kindOf(expansion),
      warnings: warnings.filter((warning) => overlap(warning, place)),
      definition: expansion.definition && { start: unit(expansion.definition[0]), end: unit(expansion.definition[1]) },
    };
  });
  for (const warning of warnings) {
    if (items.some((item) => item.expansion && overlap(item, warning))) continue;
    const known = items.find((item) => !item.expansion && overlap(item, warning));
    if (known) {
      known.warnings.push(warning);
      if (warning.end > known.end) Object.assign(known, { end: warning.end, to: warning.to });
    } else {
      const { start, end, from, to } = warning;
      items.push({ start, end, from, to, expansion: null, kind: "warning", warnings: [warning], definition: null });
    }
  }
  items.sort((one, other) => one.start - other.start);
  for (const item of items) Object.assign(item, { surface: text.slice(item.start, item.end), answer: null });
  return { text, items, warnings };
}

function overlap(one, other) {
  return one.start < other.end && other.start < one.end;
}

/** The text in pieces, each inside or outside one item, one definition and any warning; joined they are the text. */
export function piecesOf(note) {
  const definitions = note.items.filter((item) => item.definition).map((item) => item.definition);
  const spans = [...note.items, ...note.warnings, ...definitions];
  const cuts = [...new Set([0, note.text.length, ...spans.flatMap((span) => [span.start, span.end])])].sort((a, b) => a - b);
  const sorted = (all) => [...all].sort((one, other) => one.start - other.start);
  const inside = [note.items, sorted(note.warnings), sorted(definitions)].map(walker);
  return cuts.slice(1).map((end, number) => {
    const start = cuts[number];
    const [item, warning, definition] = inside.map((covering) => covering(start));
    return { start, end, text: note.text.slice(start, end), item, warned: warning !== null, defines: definition !== null };
  });
}

/** A function from increasing offsets to the span that covers each, or null; spans are sorted by their start. */
function walker(spans) {
  let next = 0;
  let open = [];
  return (offset) => {
    while (next < spans.length && spans[next].start <= offset) open.push(spans[next++]);
    open = open.filter((span) => span.end > offset);
    return open[0] ?? null;
  };
}

/**
 * The article before a short form in the expanded text ("" if it stays), what takes the short form's place, and where the
 * text goes on; null if the short form stays.
 */
export function writtenFor(note, item, unsure = "mark") {
  if (!item.expansion || definesHere(note.text, item)) return null;
  const { key, long_form, sure, probability } = item.expansion;
  const answer = item.answer ? item.answer.longForm : long_form;
  if (answer === null) return null;
  const end = endInPlace(note.text, item.start, item.end, key, answer);
  if (item.answer || sure) return [...inPlace(note.text, item.start, item.end, key, answer), end];
  const surface = note.text.slice(item.start, end);
  const apart = /^\d/.test(note.text.slice(end)) ? " " : "";
  return unsure === "leave" ? null : ["", `${surface} [${answer}? ${wholePercent(probability)} %]${apart}`, end];
}

/** The text with short forms replaced, as `ExpandedText.replaced` does it; what was reviewed counts as sure. */
export function replaced(note, unsure = "mark") {
  let result = "";
  let at = 0;
  for (const item of note.items) {
    const written = writtenFor(note, item, unsure);
    if (written === null) continue;
    result += withArticle(note.text.slice(at, item.start), written[0]) + written[1];
    at = written[2];
  }
  return result + note.text.slice(at);
}

function definesHere(text, item) {
  if (!item.definition) return false;
  const { start, end } = item.definition;
  return OPENS.test(end <= item.start ? text.slice(end, item.start) : text.slice(item.end, start));
}

/** Why a listed short form has no answer, in words. */
export function withoutAnswer(expansion) {
  if (expansion.evidence === "not read") return "not read";
  return isNoneLikeliest(expansion) ? "none of the listed meanings" : "undecided";
}

/** Whether "none of these" is likelier than any listed meaning; below its threshold a model can decline without that. */
export function isNoneLikeliest({ evidence, probability, alternatives }) {
  return evidence === "abstained" && !(alternatives[0]?.probability > probability);
}

/** A probability in whole percent, a half rounded to even as Python does. */
export function wholePercent(probability) {
  const percent = 100 * probability;
  const floor = Math.floor(percent);
  if (percent - floor !== 0.5) return Math.round(percent);
  return floor % 2 ? floor + 1 : floor;
}

/** A probability for reading: never 0 % or 100 % of what is not certain. */
export function percent(probability) {
  if (probability > 0.99 && probability < 1) return ">\u00a099\u00a0%";
  if (probability < 0.01 && probability > 0) return "<\u00a01\u00a0%";
  return `${wholePercent(probability)}\u00a0%`;
}

/**
 * The short form to save for an item: the server's, unless `passage_files.py` would not find it in the text as written
 * ("C.O.P.D." for COPD), then what is written.
 */
function shortFormOf(item) {
  const wanted = folded(item.expansion.key);
  const found = folded(item.surface);
  const bare = found.replace(/^[.,;:()[\]'"]+|[.,;:()[\]'"]+$/g, "");
  const marked = [wanted, `${wanted}s`, `${wanted}'s`, `${wanted}’s`].includes(found) || bare === wanted;
  return marked ? item.expansion.key : item.surface;
}

/** The long forms that the server lists for an item; those of a definition hold for its text only. */
function listedFor(item) {
  const { alternatives, evidence, key } = item.expansion;
  if (evidence === "defined in text" || shortFormOf(item) !== key) return [];
  return alternatives.map((alternative) => alternative.long_form);
}

/** Whether an answer goes to the glossary unless the reviewer says otherwise: nothing else is listed. */
export function alwaysByDefault(item) {
  return item.expansion.evidence !== "defined in text" && listedFor(item).length < 2;
}

export function reviewed(note) {
  return note.items.filter((item) => item.answer);
}

/** A note's reviewed answers as a line of the file that `medalist train --data` reads. */
export function passageOf(note) {
  const mentions = reviewed(note).map((item) => ({
    start: item.from,
    end: item.to,
    short_form: shortFormOf(item),
    long_form: item.answer.longForm ?? NONE_OF_THESE,
  }));
  return { id: note.id, text: note.text, mentions, source: "reviewed" };
}

/**
 * The glossary of reviewed notes, rows of short form and long form.
 *
 * A glossary's only entry for a short form needs no model, so one answer must not decide for all notes unless the
 * reviewer says so (`always`). Listed meanings of a short form with several stay with the server's inventory; a new
 * meaning comes with the listed ones beside it.
 */
export function glossaryOf(notes) {
  const entries = new Map();
  for (const item of notes.flatMap(reviewed).filter((item) => item.answer.longForm !== null)) {
    const shortForm = shortFormOf(item);
    if (!entries.has(shortForm)) entries.set(shortForm, { always: new Set(), added: new Set(), listed: new Set() });
    const entry = entries.get(shortForm);
    const listed = listedFor(item);
    listed.forEach((longForm) => entry.listed.add(longForm));
    if (item.answer.always) entry.always.add(item.answer.longForm);
    else if (listed.length && !listed.includes(item.answer.longForm)) entry.added.add(item.answer.longForm);
  }
  return [...entries].flatMap(([shortForm, { always, added, listed }]) => {
    const longForms = added.size ? new Set([...always, ...added, ...listed]) : always;
    return [...longForms].map((longForm) => [shortForm, longForm]);
  });
}

/** Passages as JSON Lines. */
export function passagesFile(notes) {
  return notes.filter((note) => reviewed(note).length).map((note) => `${JSON.stringify(passageOf(note))}\n`).join("");
}

/** A glossary as CSV. */
export function glossaryFile(notes) {
  const cell = (value) => (/[",;\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const rows = [["short_form", "long_form"], ...glossaryOf(notes)];
  return rows.map((row) => `${row.map(cell).join(",")}\n`).join("");
}
