/** Draws the answers for a note as a table, a row for each short form and each notation to avoid. */

import { percent, withoutAnswer } from "./note.js";
import { KINDS, dress, showOrder } from "./reader.js";

const AROUND = 28;
const COLUMNS = { written: "Written", means: "Stands for", certainty: "How sure", around: "In the note" };

/**
 * Fill `reader` with the table.
 *
 * @returns a map from each item to its button.
 */
export function drawTable(reader, note) {
  const buttons = new Map();
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const [name, words] of Object.entries(COLUMNS)) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.className = name;
    cell.textContent = words;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const item of note.items) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = item.surface;
    buttons.set(item, button);
    const content = { written: [button], means: [meaningOf(item)], certainty: [certaintyOf(item)], around: textAround(note.text, item) };
    const row = body.insertRow();
    for (const [name, parts] of Object.entries(content)) {
      const cell = row.insertCell();
      cell.className = name;
      cell.append(...parts);
    }
  }
  showOrder(table);
  for (const [item, button] of buttons) dress(button, item);
  reader.replaceChildren(table);
  return buttons;
}

function meaningOf({ answer, expansion, warnings }) {
  if (answer) return answer.longForm ?? "not a short form";
  if (!expansion) return warnings.map((warning) => warning.means).join("; ");
  return expansion.long_form ?? "";
}

function certaintyOf({ answer, expansion, kind, warnings }) {
  let said = KINDS[kind];
  if (answer) said = "your answer";
  else if (kind === "sure") said = percent(expansion.probability);
  else if (kind === "none") said = withoutAnswer(expansion);
  else if (kind === "unsure") said = `${percent(expansion.probability)}, not sure`;
  return warnings.length && said !== KINDS.warning ? `${said}; ${KINDS.warning}` : said;
}

/** Some words of the text before an item, the item, and some behind it. */
function textAround(text, { start, end, surface }) {
  const before = text.slice(Math.max(0, start - AROUND), start);
  const after = text.slice(end, end + AROUND);
  const strong = document.createElement("strong");
  strong.textContent = surface;
  return [
    start > AROUND ? `… ${before.replace(/^\S*\s|^[\udc00-\udfff]/, "")}` : before,
    strong,
    end + AROUND < text.length ? `${after.replace(/\s\S*$|[\ud800-\udbff]$/, "")} …` : after,
  ];
}
