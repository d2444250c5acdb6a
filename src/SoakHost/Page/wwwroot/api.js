/** Requests to the service. Addresses are relative, so the page also works behind a proxy with a path prefix. */

/** A failed request: an RFC 9457 problem, or no answer at all. */
export class Problem extends Error {
  /**
   * @param {string} detail a sentence for people
   * @param {number} status 0 when nothing answered
   * @param {Record<string, unknown>} [members] the problem document
   */
  constructor(detail, status, members = {}) {
    super(detail);
    this.status = status;
    this.members = members;
  }
}

/**
 * @param {string} path below /api/v1
 * @param {RequestInit} [options]
 * @returns {Promise<any>} the JSON document
 * @throws {Problem}
 */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(`api/v1/${path}`, { cache: 'no-store', ...options });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem('The service does not answer.', 0);
  }
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
export async function problemOf(response) {
  const members = await response.json().catch(() => ({}));
  return new Problem(members.detail ?? members.title ?? `The service answered with status ${response.status}.`, response.status, members);
}
