/** How a long form is worded where it takes the place of a short form: `expansion/wording.py`, which says why, on the page. */

const ARTICLE = /(?:(?<![^\s([/])(?:an?|An|AN)|(?:^|[.!?:;(\n][ \t]*)A)(?=[ \t]+$)/u;
const BEGINS_SENTENCE = /(?:^|[.!?][ \t\xa0]+|\n[ \t\xa0]*)$/u;
const WORD = /[^\s,.;:!?()[\]/]+/uy;
const HEAD = /(?<= )(?:of|in|for|with|without|to|on|by|at|from|per|and|or|as) /u;
const UNCOUNTED = /(?:s|ing|graphy|metry|oxygen|air|blood|care|water|right|left|ive|ic|al|ar|ous|ed)$/u;
const SCAN = /(?:imaging|tomography)$/u;
const AN = /^(?:(?!u[^aeiou\W\d][aeiou]|eu|one\b|once\b)[aeiou]|un[ao]|uni(?:n|m|d)|hour|honest|heir|8|11(?!\d)|18(?!\d))/i;
const LETTERS = /^[AEFHILMNORSX](?:[A-Z]{0,3}(?![A-Za-z]))/u;
const NUMBER = /(?:^|[^\p{L}\p{N}_.,/])(?:[x×] ?)?(?!1 ?$)\d+(?:[.,]\d+)?(?: ?- ?\d+)? ?$/u;
const MEASURE = /^(?:(?:international )?unit|tablet|capsule|drop|puff|pound|ounce|liter|meter|pint|teaspoon|tablespoon|pack-year)$/;
const TIME = /^(?:second|minute|hour|day|week|month|year)$/;
const NO_NOUN =
  /^(?:[ \t]*(?:$|[^\p{L}\p{N}_\s-])|\s*\n|[ \t]+(?:ago|after|and|apart|at|before|but|by|each|earlier|every|for|from|in|later|of|on|or|out|over|per|post|prior|s\/p|since|then|to|until|up|w\/|with|without)(?:(?<=\/)|(?![\p{L}\p{N}_])))/u;
const FULL_STOP = /^\.(?:(?=[,;:)\]])|(?=([ \t]+[a-z0-9(])))/;
const CAPITALS = /(?:^|[.!?][ \t]+|\n[ \t]*)[A-Z][a-z ]/;
const SENTENCE_BEFORE = /(?:[A-Z]{2,}|\p{Nd}|(?<![A-Za-z])(?![Aa]pprox\.)[A-Za-z][a-z]{4,}|[)\]%])[.!?][ \t\xa0]+$/u;
const ATTRIBUTE = /^ (?:o?edema|swelling|weakness|pain|cellulitis|ulcers?|wounds?|pulses?|strength|numbness)(?![\p{L}\p{N}_])/u;
const HALF_DAY = /^(?:ante|post) meridiem$/;
const DAY = /(?<![\p{L}\p{N}_])(?:this|the|every|each|tomorrow|yesterday|last|next|late|early)[ \t]+$/iu;
const NEAR = 80;

/** What names are compared by where case does not count; accents are composed, as `folded` in spelling.py does it. */
export const folded = (name) => name.normalize("NFC").toLowerCase();

/** The article for the last word before a short form ("" leaves that word), and what takes the short form's place. */
export function inPlace(text, start, end, key, longForm) {
  const surface = text.slice(start, end);
  const before = text.slice(Math.max(0, start - NEAR), start);
  const after = text.slice(end, end + NEAR);
  if (isPartOfDay(before, longForm)) return ["", surface];
  let written = longForm;
  if (written.endsWith(" extremities") && ATTRIBUTE.test(after)) written = `${written.slice(0, -3)}y`;
  if (surface.endsWith("s") && folded(surface.slice(0, -1)) === folded(key)) written = plural(written);
  written = counted(withoutNext(withoutLast(written, before), after), before, after);
  if (/\d$/.test(before) && /^\p{L}/u.test(written)) written = ` ${written}`;
  if (/^\d/.test(after)) written = `${written} `;
  if (/^\p{Ll}{2}/u.test(written) && beginsSentence(text, start, end)) {
    written = written[0].toUpperCase() + written.slice(1);
  }
  const article = ARTICLE.exec(before);
  if (!article) return ["", written];
  const given = article[0].replace(/\W/g, "");
  const right = AN.test(written) || LETTERS.test(written) ? "an" : "a";
  return [given.toLowerCase() === right ? "" : asGiven(right, given), written];
}

/** One past what a long form takes the place of: with the full stop of "pt." where it only marks a shortened word. */
export function endInPlace(text, start, end, key, longForm) {
  const stop = FULL_STOP.exec(text.slice(end, end + NEAR));
  const shortened = /\p{Ll}$/u.test(text.slice(start, end)) && !(isUpper(key) && longForm.includes(" ")) && !text.slice(start, end).includes(".");
  const before = text.slice(Math.max(0, start - NEAR), start);
  if (!stop || !shortened || isPartOfDay(before, longForm)) return end;
  return stop[1] && !BEGINS_SENTENCE.test(before) && !capitalised(text, start, end) ? end : end + 1;
}

/** Whether sentences near a short form begin with capitals. */
function capitalised(text, start, end) {
  const before = text.slice(Math.max(0, start - NEAR), start);
  return CAPITALS.test(start <= NEAR ? before : ` ${before}`) || CAPITALS.test(text.slice(end + 1, end + NEAR));
}

/** Whether a short form begins a sentence; one in lower case only if sentences near it begin with capitals. */
function beginsSentence(text, start, end) {
  const before = text.slice(Math.max(0, start - NEAR), start);
  if (/^\p{Lu}/u.test(text.slice(start, end))) return BEGINS_SENTENCE.test(before);
  return /^\p{Ll}/u.test(text.slice(start, end)) && SENTENCE_BEFORE.test(before) && capitalised(text, start, end);
}

/** Whether PM or AM stands for a part of the day, as in "this PM", which its long form does not fit. */
function isPartOfDay(before, longForm) {
  return HALF_DAY.test(longForm) && DAY.test(before);
}

function isUpper(key) {
  return key === key.toUpperCase() && key !== key.toLowerCase();
}

/** Text that ends with an article and white space, with another article in its place. */
export function withArticle(before, article) {
  return article ? before.replace(/[Aa][Nn]?(?=[ \t]+$)/, article) : before;
}

function asGiven(article, given) {
  if (given === "AN") return article.toUpperCase();
  return given[0] === "A" ? article[0].toUpperCase() + article.slice(1) : article;
}

function counted(longForm, before, after) {
  const time = TIME.test(longForm) && NO_NOUN.test(after);
  return (time || MEASURE.test(longForm)) && NUMBER.test(before) ? plural(longForm) : longForm;
}

function plural(longForm) {
  const cut = HEAD.exec(longForm);
  const head = cut ? longForm.slice(0, cut.index - 1) : longForm;
  const rest = cut ? longForm.slice(cut.index - 1) : "";
  if (SCAN.test(head)) return `${head} scans${rest}`;
  if (UNCOUNTED.test(head)) return longForm;
  if (/[^aeiou]y$/.test(head)) return `${head.slice(0, -1)}ies${rest}`;
  return `${head}${/(?:x|ch|sh)$/.test(head) ? "es" : "s"}${rest}`;
}

function withoutLast(longForm, before) {
  const words = longForm.split(/\s+/);
  const stand = before.endsWith(" ") ? before.split(" ").slice(0, -1) : [];
  for (let n = Math.min(3, words.length - 1); n > 0; n -= 1) {
    if (folded(stand.slice(-n).join(" ")) === folded(words.slice(0, n).join(" "))) return words.slice(n).join(" ");
  }
  return longForm;
}

function withoutNext(longForm, after) {
  const words = longForm.split(/\s+/);
  const follow = [];
  let at = 0;
  while (after[at] === " " && follow.length < 3) {
    WORD.lastIndex = at + 1;
    const match = WORD.exec(after);
    if (!match) break;
    follow.push(folded(match[0]));
    at = WORD.lastIndex;
  }
  for (let n = Math.min(3, words.length - 1, follow.length); n > 0; n -= 1) {
    const last = words.slice(-n).map(folded);
    if (last.every((word, k) => word === follow[k] || `${word}s` === follow[k])) return words.slice(0, -n).join(" ");
  }
  return longForm;
}
