// Asks the API. An error is a Problem: what the server says is wrong, in its words.
// @ts-check

/** What the server says is wrong. */
export class Problem extends Error {
  /** @param {number} status @param {string} detail */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/**
 * The JSON at an address below /api/v1.
 * @param {string} address
 * @returns {Promise<any>}
 */
export async function ask(address) {
  let reply;
  try {
    reply = await fetch(`/api/v1${address}`, { headers: { accept: "application/json" } });
  } catch {
    throw new Problem(0, "the server does not reply");
  }
  const body = await reply.json().catch(() => null);
  if (!reply.ok) throw new Problem(reply.status, body?.detail ?? reply.statusText);
  return body;
}
