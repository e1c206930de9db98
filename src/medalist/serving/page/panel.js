/** The panel of one short form: what it stands for and why, what else it could be, and the reviewer's answer. */

import { alwaysByDefault, isNoneLikeliest, percent, withoutAnswer } from "./note.js";
import { icon, showOrder } from "./reader.js";

const AT_FIRST = 4;
/** Where the style sheet has one column. */
const NARROW = matchMedia("(max-width: 900px)");
const get = (id) => document.getElementById(id);

export class Panel {
  /**
   * @param onAnswer called with an item after its answer changed.
   * @param onNext called with an item to go to the next one that has no answer.
   * @param onElsewhere called with the place of a click outside the panel.
   */
  constructor({ onAnswer, onNext, onElsewhere }) {
    this.dialog = get("panel");
    this.form = get("review");
    this.item = null;
    /** Takes away what is marked in the note while the panel is open. */
    this.unmark = () => {};
    get("panel-close").addEventListener("click", () => this.dialog.close());
    get("more").addEventListener("click", () => this.showAll());
    get("undo").addEventListener("click", () => {
      this.item.answer = null;
      this.dialog.close();
      onAnswer(this.item);
    });
    for (const kind of ["input", "change"]) this.form.addEventListener(kind, () => {
      get("choice-error").textContent = "";
    });
    this.form.addEventListener("change", () => this.chosen());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const answer = this.answer();
      if (!answer) return;
      this.item.answer = answer;
      this.dialog.close();
      onAnswer(this.item);
      if (event.submitter === get("accept-next")) onNext(this.item);
    });
    this.dialog.addEventListener("click", (event) => {
      if (event.target !== this.dialog) return; // what covers the page behind the panel counts as the panel
      this.dialog.close();
      onElsewhere(event.clientX, event.clientY);
    });
    // the event comes late: the panel may be open again for another
    this.dialog.addEventListener("close", () => this.dialog.open || this.unmark());
    for (const kind of ["resize", "scroll"]) addEventListener(kind, () => this.dialog.open && this.place());
  }

  /** Open for an item of a note, whose button is this. */
  open(item, note, button) {
    this.unmark();
    this.item = item;
    this.button = button;
    const { expansion } = item;
    get("panel-title").textContent = item.surface;
    get("panel-answer").replaceChildren(...answerOf(item));
    get("panel-evidence").textContent = expansion ? evidenceOf(item, note) : "";
    get("panel-evidence").hidden = !expansion;
    get("panel-warnings").replaceChildren(...item.warnings.map((warning) => warningBox(warning, note)));
    for (const id of ["choices", "panel-actions"]) get(id).hidden = !expansion;
    get("always-row").hidden = !expansion;
    if (expansion) this.fillChoices();
    showOrder(this.dialog);
    const definition = item.definition && [...document.querySelectorAll(".defines")].filter((piece) => {
      const start = Number(piece.dataset.start);
      return item.definition.start <= start && start < item.definition.end;
    });
    definition?.forEach((piece) => piece.classList.add("shown"));
    button.classList.add("open");
    this.unmark = () => {
      definition?.forEach((piece) => piece.classList.remove("shown"));
      button.classList.remove("open");
    };
    this.dialog.showModal();
    this.place();
    this.uncover();
    const first = expansion ? this.form.querySelector("[name=choice]:checked") ?? this.form.querySelector("[name=choice]") : get("panel-close");
    first.focus({ preventScroll: true });
  }

  fillChoices() {
    const { expansion, answer } = this.item;
    const rows = expansion.alternatives.map((alternative) => choiceRow(alternative, expansion.evidence !== "not read"));
    get("alternatives").replaceChildren(...rows);
    this.form.reset();
    const own = get("own-text");
    get("choice-error").textContent = "";
    const wanted = answer ? answer.longForm : expansion.long_form;
    const listed = expansion.alternatives.findIndex(({ long_form }) => long_form === wanted);
    if (listed >= 0) rows[listed].querySelector("input").checked = true;
    else if (wanted !== null) {
      get("own").checked = true;
      own.value = wanted;
    } else if (expansion.evidence === "unlisted" && !answer) get("own").checked = true;
    else get("reject").checked = Boolean(answer) || isNoneLikeliest(expansion);
    rows.forEach((row, at) => {
      row.hidden = at >= AT_FIRST && at !== listed;
    });
    const rest = rows.filter((row) => row.hidden).length;
    get("more").hidden = rest === 0;
    get("more").textContent = `Show ${rest} more`;
    get("always-text").textContent = `${expansion.key} always means this in our notes (for the glossary)`;
    get("always").checked = answer ? answer.always : alwaysByDefault(this.item);
    get("undo").hidden = !answer;
    this.chosen();
  }

  showAll() {
    const rows = [...get("alternatives").children];
    const first = rows.find((row) => row.hidden);
    rows.forEach((row) => {
      row.hidden = false;
    });
    get("more").hidden = true;
    this.place();
    first.querySelector("input").focus();
  }

  /** After another choice: show its own field, and what the button will do. */
  chosen() {
    const choice = this.form.elements.choice.value;
    get("own-row").hidden = choice !== "own";
    get("always-row").hidden = choice === "reject";
    const offered = this.item.expansion.long_form !== null && choice === `listed:${this.item.expansion.long_form}`;
    get("accept").textContent = choice === "reject" ? "Reject" : offered ? "Accept" : "Use this";
    get("accept-next").textContent = `${get("accept").textContent} and next`;
    if (this.dialog.open) this.place();
  }

  /** The answer that is chosen; null, with an error, if there is none. */
  answer() {
    const choice = this.form.elements.choice.value;
    if (!choice) {
      get("choice-error").textContent = "Choose what it stands for.";
      return null;
    }
    if (choice === "reject") return { longForm: null, always: false };
    const always = get("always").checked;
    if (choice !== "own") return { longForm: choice.slice("listed:".length), always };
    const longForm = get("own-text").value.split(/\s+/).filter(Boolean).join(" ");
    if (longForm) return { longForm, always };
    get("choice-error").textContent = "Write out what it stands for.";
    get("own-text").focus();
    return null;
  }

  /** Scroll so that the lines around the button can be read, too: on a narrow screen the panel covers the lower part. */
  uncover() {
    const { top, bottom } = this.button.getBoundingClientRect();
    const end = NARROW.matches ? this.dialog.getBoundingClientRect().top : innerHeight;
    const lines = Math.min(2.5 * parseFloat(getComputedStyle(this.button).lineHeight), (end - (bottom - top)) / 2);
    if (top < lines || bottom > end - lines) scrollBy({ top: (top + bottom - end) / 2 });
  }

  /** Beside the note, over the column of marks, level with the button; the style sheet places it on a narrow screen. */
  place() {
    const { style } = this.dialog;
    style.cssText = "";
    if (NARROW.matches) return;
    const margin = 12;
    const { left } = get("beside").getBoundingClientRect();
    style.left = `${left - margin}px`;
    style.width = `min(25rem, ${document.documentElement.clientWidth - left}px)`;
    const { height } = this.dialog.getBoundingClientRect();
    const level = this.button.getBoundingClientRect().top - 6 * margin;
    style.top = `${Math.max(margin, Math.min(level, innerHeight - height - margin))}px`;
  }
}

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...content);
  return made;
}

/** The answer in the panel's head. */
function answerOf({ expansion, kind, answer, warnings }) {
  if (answer) return [answer.longForm ?? "Not a short form", element("span", "tag", "your answer")];
  if (!expansion) return [`means ${warnings.map((warning) => warning.means).join("; ")}`];
  if (kind === "unlisted") return ["Not listed"];
  if (kind === "none") return [capitalised(withoutAnswer(expansion))];
  if (kind === "defined" || kind === "glossary") return [expansion.long_form];
  const tag = `${kind === "unsure" ? "not sure, " : ""}${percent(expansion.probability)}`;
  return [expansion.long_form, element("span", "tag", tag)];
}

function capitalised(words) {
  return words[0].toUpperCase() + words.slice(1);
}

/** Where an answer comes from, in words. */
function evidenceOf({ expansion, definition }, note) {
  const { evidence, alternatives } = expansion;
  switch (evidence) {
    case "defined in text":
      return `The note spells it out: “${note.text.slice(definition.start, definition.end).split(/\s+/).join(" ")}”.`;
    case "glossary":
      return alternatives.length > 1 ? "Your glossary lists several meanings; this one fits best." : "From your glossary.";
    case "inventory":
      return alternatives.length > 1 ? "By how usual each listed meaning is, and by what the note is about." : "The only meaning that is listed.";
    case "unlisted":
      return "It looks like a short form, and nothing lists it. Nothing is guessed.";
    case "abstained":
      if (isNoneLikeliest(expansion)) return `None of them fits, or it is no short form here (${percent(expansion.probability)}).`;
      return `It is not certain enough that this is a short form here. If it is, ${alternatives[0].long_form} is likeliest.`;
    case "not read":
      return "It does not fit into what the model can read at once, so it was not asked. The most usual meaning is first.";
    default:
      return `The model chose among ${alternatives.length} listed meanings by what stands around it.`;
  }
}

function warningBox(warning, note) {
  const written = note.text.slice(warning.start, warning.end);
  const box = element("div", "warning-box");
  const said = element("div", "");
  said.append(
    element("p", "", element("strong", "", `Better not “${written}”`), `: ${warning.why}.`),
    element("p", "", "Write ", element("strong", "", warning.instead), "."),
    element("p", "quiet", warning.source.replaceAll(";", " and").replaceAll("  ", " ")),
  );
  box.append(icon("warning"), said);
  return box;
}

function choiceRow({ long_form, probability }, isJudged) {
  const input = element("input", "");
  Object.assign(input, { type: "radio", name: "choice", value: `listed:${long_form}` });
  const bar = element("span", "share", element("i", ""));
  bar.firstChild.style.width = `${Math.max(1, 100 * probability)}%`;
  bar.setAttribute("aria-hidden", "true");
  const row = element("label", "choice", input, element("span", "name", long_form));
  if (isJudged && probability < 1) row.append(bar, element("span", "percent", percent(probability)));
  return row;
}
