/**
 * The stream of the fleet's reports. EventSource reconnects after a lost connection. It gives up when the answer is not 200, for example
 * while the service starts, and it never notices a connection that falls silent. This module handles both.
 */

import { problemOf } from './api.js';

const ADDRESS = 'api/v1/fleet/stream';
const DELAY_MIN_MS = 1000;
const DELAY_MAX_MS = 10_000;
const SILENT_REPORTS = 5;
const SILENT_MIN_MS = 3000;

/**
 * @typedef {'connecting' | 'live' | 'lost'} ConnectionState
 * @typedef {object} Connection
 * @property {ConnectionState} state
 * @property {number} since when the last report came or, before the first, when the page opened; ms
 * @property {string} reason a sentence, or empty
 */

export class FleetStream {
  /**
   * @param {(fleet: import('./types.js').Fleet) => void} onReport
   * @param {(connection: Connection) => void} onConnection
   */
  constructor(onReport, onConnection) {
    this.onReport = onReport;
    this.onConnection = onConnection;
    /** @type {EventSource | null} */
    this.source = null;
    this.state = /** @type {ConnectionState} */ ('connecting');
    this.delay = DELAY_MIN_MS;
    this.received = 0;
    this.started = Date.now();
    this.time = '';
    this.silence = SILENT_MIN_MS;
    this.retry = 0;

    // Whether the page has asked why the stream is refused: once for each outage, not with each attempt.
    this.isAsked = false;
  }

  start() {
    this.open();
    setInterval(() => this.checkSilence(), 500);

    // A tab that the browser froze would otherwise show old figures as live until its timers run again.
    document.addEventListener('visibilitychange', () => this.checkSilence());
  }

  open() {
    this.source?.close();
    this.opened = Date.now();
    const source = (this.source = new EventSource(ADDRESS));
    source.addEventListener('fleet', event => this.receive(/** @type {MessageEvent} */ (event).data));
    source.addEventListener('error', () => {
      if (source !== this.source) return;
      this.lose('The connection was lost.');
      if (source.readyState === EventSource.CLOSED) this.openLater();
    });
  }

  /** @param {string} data */
  receive(data) {
    const report = JSON.parse(data);

    // Each connection gets the latest report first, however old it is. The same report again is no sign of life.
    if (report.time === this.time) return;
    this.time = report.time;
    const now = Date.now();
    this.received = now;
    this.silence = Math.max(SILENT_MIN_MS, SILENT_REPORTS * 1000 * report.interval_seconds);
    this.delay = DELAY_MIN_MS;
    this.isAsked = false;
    if (this.state !== 'live') this.become('live', '');
    this.onReport(report);
  }

  checkSilence() {
    const silentFor = Date.now() - Math.max(this.received, this.opened ?? 0);
    if (this.state === 'live' && silentFor > this.silence) {
      this.lose('The service stopped sending reports.');
      this.open();
    } else if (this.state !== 'live' && this.source?.readyState !== EventSource.CLOSED && silentFor > 2 * DELAY_MAX_MS) {
      // Connected, but nothing was ever sent.
      this.open();
    }
  }

  async openLater() {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.open(), this.delay);
    this.delay = Math.min(2 * this.delay, DELAY_MAX_MS);
    if (this.isAsked) return;
    this.isAsked = true;
    const why = await whyRefused();
    if (why && this.state !== 'live') this.become('lost', why);
  }

  /** @param {string} reason */
  lose(reason) {
    if (this.state !== 'lost') this.become('lost', reason);
  }

  /**
   * @param {ConnectionState} state
   * @param {string} reason
   */
  become(state, reason) {
    this.state = state;
    this.onConnection({ state, since: this.received || this.started, reason });
  }
}

/** EventSource does not show the answer, so the page requests it again. */
async function whyRefused() {
  const abort = new AbortController();
  try {
    const response = await fetch(ADDRESS, { signal: abort.signal, cache: 'no-store' });
    return response.ok ? '' : (await problemOf(response)).message;
  } catch {
    return 'The service does not answer.';
  } finally {
    abort.abort();
  }
}
