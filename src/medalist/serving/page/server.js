/** Asks the server. Messages are for the reader and never hold a note. */

const TRIES = 4;
const LONGEST_WAIT = 60;

/** What went wrong, in a line; `wantsToken` if the server asks for a token. */
export class Refusal extends Error {
  constructor(message, { wantsToken = false } = {}) {
    super(message);
    this.wantsToken = wantsToken;
  }
}

/**
 * The expansions and warnings of a text.
 *
 * @param text what to read.
 * @param token sent as a bearer token; "" for none.
 * @param signal ends the request, and the wait for a busy server.
 * @param onWait called with the seconds that remain, each second, while a busy server is waited for.
 */
export async function expand(text, { token, signal, onWait }) {
  for (let attempt = 1; ; attempt += 1) {
    const response = await ask(text, token, signal);
    if (response.ok) return resultOf(response, signal);
    if (response.status !== 503) throw await refusal(response, token);
    const seconds = secondsUntilRetry(response.headers.get("Retry-After"));
    if (attempt === TRIES || seconds > LONGEST_WAIT) {
      throw new Refusal(`The server is busy. Try again in ${inWords(seconds)}.`);
    }
    for (let left = seconds; left > 0; left -= 1) {
      onWait(left);
      await sleep(1000, signal);
    }
    onWait(0);
  }
}

async function ask(text, token, signal) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    return await fetch("v1/expand", {
      method: "POST",
      headers,
      body: JSON.stringify({ text }),
      signal,
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer. Check that it is running, then try again.");
  }
}

async function resultOf(response, signal) {
  try {
    const { results } = await response.json();
    if (!Array.isArray(results[0].expansions) || !Array.isArray(results[0].warnings)) throw new TypeError("no result");
    return results[0];
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Refusal("The server's answer is not one that this page understands. Reload the page.");
  }
}

async function refusal(response, token) {
  const detail = await response.json().then((body) => body.detail, () => null);
  const said = typeof detail === "string" && detail.length <= 300 ? ` The server says: ${detail}` : "";
  switch (response.status) {
    case 401:
      return new Refusal(
        token ? "That token is not the right one." : "This server asks for an access token. Enter it, then read the note again.",
        { wantsToken: true },
      );
    case 408:
      return new Refusal("The note did not arrive in time. Try again.");
    case 413:
      return new Refusal(`The note is too long for this server. Read it in parts.${said}`);
    default:
      return new Refusal(`The server could not read the note (error ${response.status}).${said}`);
  }
}

/** Seconds named by a Retry-After header, which holds seconds or a date; 5 if it says neither. */
function secondsUntilRetry(header) {
  if (/^\d+$/.test(header?.trim() ?? "")) return Math.max(1, Number(header));
  const date = Date.parse(header ?? "");
  return Number.isNaN(date) ? 5 : Math.max(1, Math.ceil((date - Date.now()) / 1000));
}

export function inWords(seconds) {
  if (seconds >= 120) return `${Math.ceil(seconds / 60)} minutes`;
  return seconds === 1 ? "1 second" : `${seconds} seconds`;
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
