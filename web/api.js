/**
 * Questions to our own server, each answered whole or with the reason why not.
 *
 * An answer is read only up to a limit: what is larger would fill the page's memory, so the caller asks for less or does without.
 */

/** How long a question may take. */
const PATIENCE_MS = 15_000;

/** Why there is no answer, for a program and for a person. */
export class Problem extends Error {
  /** @param {string} code  the server's, or `unreachable` or `too-long` @param {string} title @param {string} detail */
  constructor(code, title, detail) {
    super(title);
    this.code = code;
    this.title = title;
    this.detail = detail;
  }
}

/**
 * @param {string} path  below `api/v1/`
 * @param {Record<string, string>} parameters
 * @param {{most: number, signal: AbortSignal, accept?: string}} options  `most` bytes of answer
 * @returns {Promise<string>}
 */
export async function ask(path, parameters, { most, signal, accept = 'application/json' }) {
  const url = new URL(`api/v1/${path}`, document.baseURI);
  url.search = new URLSearchParams(parameters).toString();
  try {
    const headers = { accept };
    const response = await fetch(url, { headers, signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]) });
    const text = await read(response, most);
    if (!response.ok) throw problemOf(response.status, text);
    return text;
  } catch (error) {
    if (error instanceof Problem || signal.aborted) throw error;
    throw new Problem('unreachable', 'pgvigil does not answer', 'The question got no answer. Try again once the page is live.');
  }
}

/** The same, read as JSON. @param {Parameters<typeof ask>} args */
export async function askJson(...args) {
  return JSON.parse(await ask(...args));
}

/** @param {Response} response @param {number} most */
async function read(response, most) {
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  let text = '';
  let size = 0;
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    size += part.value.byteLength;
    if (size > most) {
      await reader?.cancel();
      throw new Problem('too-long', 'This is too large for a page', 'The answer is longer than a page should hold.');
    }
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}

/** What an RFC 9457 problem document says. @param {number} status @param {string} text */
function problemOf(status, text) {
  try {
    const { type = '', title = '', detail = '' } = JSON.parse(text);
    return new Problem(String(type).split(':').pop() ?? '', String(title), String(detail));
  } catch {
    return new Problem('unknown', `pgvigil answered with ${status}`, text.slice(0, 200));
  }
}
