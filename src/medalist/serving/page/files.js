/** Text in and out of the browser: reading a file, saving one, the clipboard. */

const LARGEST = 20_000_000;

/** The text of a file: UTF-8, UTF-16 with a mark, or else Windows-1252. Errors say what the file is, in a line. */
export async function textOf(file) {
  if (file.size > LARGEST) throw new Error(`${file.name} is too large for a note.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const opens = (...values) => values.every((value, at) => bytes[at] === value);
  if (opens(0x25, 0x50, 0x44, 0x46)) throw new Error(`${file.name} is a PDF. Save it as plain text first.`);
  if (opens(0x50, 0x4b, 3, 4) || opens(0xd0, 0xcf, 0x11, 0xe0)) {
    throw new Error(`${file.name} is a document or an archive, not text. Save it as plain text first.`);
  }
  const marked = opens(0xff, 0xfe) ? "utf-16le" : opens(0xfe, 0xff) ? "utf-16be" : null;
  if (!marked && bytes.includes(0)) throw new Error(`${file.name} is not a text file.`);
  const text = decoded(bytes, marked);
  if (!text.trim()) throw new Error(`${file.name} is empty.`);
  return text;
}

function decoded(bytes, marked) {
  if (marked) return new TextDecoder(marked).decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** Offer a text as a download. */
export function save(text, name, type = "text/plain") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Put a text on the clipboard; whether that worked. Without https, browsers only know the old way. */
export async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // not allowed: the old way may still be
    }
  }
  const before = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus();
  return done;
}
