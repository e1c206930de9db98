/** Draws a note with its short forms as buttons, and the legend of their marks. */

import { percent, piecesOf, withoutAnswer, writtenFor } from "./note.js";
import { withArticle } from "./wording.js";

/** The kinds of marks, in the order of the legend. */
export const KINDS = {
  warning: "better avoided",
  unsure: "likely, not sure",
  sure: "sure",
  defined: "spelt out in the note",
  glossary: "from your glossary",
  none: "no answer",
  unlisted: "not listed anywhere",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon", `icon-${name}`);
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Characters that change the order in which others are shown: a note could be read as another than it is. */
const ORDER = /[\u202a-\u202e\u2066-\u2069]/g;

/** Show them as a sign of the same length in all text below an element. */
export function showOrder(root) {
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (text.data.search(ORDER) >= 0) text.data = text.data.replace(ORDER, "\ufffd");
  }
}

/** Marks that a sign stands for beside a line; nothing that could be read as a part of the note, such as = or a dash. */
const SIGNS = new Set(["unsure", "glossary", "unlisted", "warning", "accepted", "rejected"]);

/** Whether an item counts under a kind in the legend; one with a warning counts under two. */
export function isOfKind(item, kind) {
  return item.kind === kind || (kind === "warning" && item.warnings.length > 0);
}

/**
 * Fill `reader` with a note; its text stays the note's, character for character, unless `expanded`, except for `showOrder`.
 *
 * @returns a map from each item to its button.
 */
export function drawReader(reader, note, { expanded = false, unsure = "mark" } = {}) {
  const buttons = new Map();
  const shown = new Map();
  const all = document.createDocumentFragment();
  let goesOn = 0;
  for (const piece of piecesOf(note)) {
    const { item } = piece;
    let parent = all;
    if (item) {
      const isNew = !buttons.has(item);
      if (isNew) {
        const button = document.createElement("span"); // a button element is a box: lines do not go on behind it
        button.setAttribute("role", "button");
        button.tabIndex = 0;
        buttons.set(item, button);
        all.append(button);
      }
      parent = buttons.get(item);
      const written = expanded ? writtenFor(note, item, unsure) : null;
      if (written !== null) {
        const [article, instead, end] = written;
        goesOn = end;
        if (isNew) {
          parent.append(instead);
          const before = parent.previousSibling?.lastChild ?? parent.previousSibling;
          if (article) before.data = withArticle(before.data, article);
        }
        shown.set(item, instead);
        continue;
      }
    }
    const text = piece.text.slice(Math.max(0, goesOn - piece.start));
    if (text) parent.append(dressed({ ...piece, text }));
  }
  showOrder(all);
  for (const [item, button] of buttons) {
    dress(button, item, shown.get(item));
    keepTogether(button);
  }
  reader.replaceChildren(all);
  return buttons;
}

/** Let no line end between a button and the punctuation that touches it. */
function keepTogether(button) {
  const [before, after] = [button.previousSibling, button.nextSibling];
  const opening = before?.nodeType === Node.TEXT_NODE ? before.data.match(/[^\s\p{L}\p{N}]+$/u)?.[0].length ?? 0 : 0;
  const closing = after?.nodeType === Node.TEXT_NODE ? after.data.match(/^[^\s\p{L}\p{N}]+/u)?.[0].length ?? 0 : 0;
  if (!opening && !closing) return;
  const together = document.createElement("span");
  together.className = "together";
  button.replaceWith(together);
  if (opening) together.append(before.splitText(before.length - opening));
  together.append(button);
  if (closing) {
    after.splitText(closing);
    together.append(after);
  }
}

/** A piece's text, in an element if a warning is about it or it defines a short form. */
function dressed(piece) {
  if (!piece.warned && !piece.defines) return document.createTextNode(piece.text);
  const span = document.createElement("span");
  span.textContent = piece.text;
  span.classList.toggle("warned", piece.warned);
  span.classList.toggle("defines", piece.defines);
  span.dataset.start = piece.start;
  return span;
}

/** Classes, marks and label of an item's button, which shows this text; again after it was reviewed. */
export function dress(button, item, shown = item.surface) {
  button.querySelectorAll("svg").forEach((svg) => svg.remove());
  const review = item.answer && (item.answer.longForm === null ? "rejected" : "accepted");
  button.className = ["form", item.kind, item.warnings.length && "avoid", review].filter(Boolean).join(" ");
  const signs = new Set([item.warnings.length && "warning", review || item.kind]);
  button.append(...[...signs].filter((sign) => SIGNS.has(sign)).map(icon));
  button.setAttribute("aria-label", labelOf(item, shown));
  button.setAttribute("aria-haspopup", "dialog");
}

/** What a screen reader says for an item: it begins with what is shown. */
function labelOf(item, shown) {
  const said = [shown];
  if (shown !== item.surface) said.push(`written as ${item.surface}`, item.answer ? "reviewed" : KINDS[item.kind]);
  else if (item.answer) said.push(item.answer.longForm ?? "not a short form", "reviewed");
  else if (item.expansion) said.push(...answerInWords(item.expansion, item.kind));
  return [...said, ...item.warnings.map((warning) => `Better avoided: ${warning.why}`)].join(", ");
}

function answerInWords(expansion, kind) {
  const { long_form, probability } = expansion;
  if (kind === "unsure") return [`probably ${long_form}`, percent(probability), "not sure"];
  if (kind === "none") return [withoutAnswer(expansion)];
  if (kind === "unlisted") return ["not listed anywhere"];
  return [long_form, { defined: "spelt out in the note", glossary: "from your glossary" }[kind] ?? percent(probability)];
}

/**
 * Fill `legend` with the kinds that a note has; each is a button that goes to the next of its kind.
 *
 * @param onNext called with a kind.
 */
export function drawLegend(legend, note, onNext) {
  const entries = Object.entries(KINDS).flatMap(([kind, words]) => {
    const count = note.items.filter((item) => isOfKind(item, kind)).length;
    if (!count) return [];
    const sample = document.createElement("span");
    sample.className = `form sample ${kind === "warning" ? "warning avoid" : kind}`;
    sample.setAttribute("aria-hidden", "true");
    if (kind === "warning") {
      const warned = document.createElement("span");
      warned.className = "warned";
      warned.textContent = "Ab";
      sample.append(warned);
    } else {
      sample.append("Ab");
    }
    if (SIGNS.has(kind)) sample.append(icon(kind));
    const name = document.createElement("span");
    name.textContent = words;
    const number = document.createElement("span");
    number.className = "count";
    number.textContent = count;
    const button = document.createElement("button");
    button.type = "button";
    const action = document.createElement("span");
    action.className = "unseen";
    action.textContent = "go to the next";
    button.append(sample, name, number, action);
    button.addEventListener("click", () => onNext(kind));
    const row = document.createElement("li");
    row.append(button);
    return [row];
  });
  legend.replaceChildren(...entries);
}
