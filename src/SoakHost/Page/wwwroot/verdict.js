/** The verdict in one line, the facts of the run above it, and the state of the connection, which decides whether either can be believed. */

import { partsOf, setAttribute, setList, setText } from './dom.js';
import { counted, duration, grouped, moment, si } from './format.js';

const REASONS_MAX = 5;
const NOTE_MS = 60_000;

const masthead = partsOf(/** @type {HTMLElement} */ (document.getElementById('run')));
const lamp = partsOf(/** @type {HTMLElement} */ (document.getElementById('connection')));
const band = /** @type {HTMLElement} */ (document.getElementById('verdict'));
const parts = partsOf(band);
const emblem = /** @type {Element} */ (band.querySelector('use'));
const announcement = /** @type {HTMLElement} */ (document.getElementById('announcement'));

/**
 * @param {import('./types.js').Fleet | null} fleet the latest report
 * @param {import('./stream.js').Connection} connection
 */
export function showVerdict(fleet, connection) {
  const shown = connection.state === 'live' && fleet ? ofFleet(fleet) : withoutReports(fleet, connection);
  document.title = `${shown.word} · SoakHost`;
  setAttribute(emblem, 'href', `#icon-${shown.verdict}`);
  setText(parts.name, shown.word);
  setText(parts.sentence, shown.sentence);
  setList(parts.more, shown.more);
  const silent = connection.state === 'live' && fleet ? fleet.silent_workers : [];
  parts.silent.hidden = silent.length === 0;
  setText(parts.silent, silent.length === 0 ? '' : silence(silent));

  // Spoken when the word changes, and not with each report.
  const isNew = band.dataset.verdict !== shown.verdict;
  setAttribute(band, 'data-verdict', shown.verdict);
  if (isNew)
    setText(announcement, `${shown.word}. ${shown.sentence}`);
}

/** @param {import('./types.js').Fleet} fleet */
function ofFleet(fleet) {
  const sum = (/** @type {(cohort: import('./types.js').Cohort) => number} */ of) => fleet.cohorts.reduce((total, cohort) => total + of(cohort), 0);
  const hung = sum(cohort => (cohort.expect === 'hang' ? 0 : cohort.vcpus_hung));
  const meantTo = sum(cohort => (cohort.expect === 'hang' ? cohort.vcpus_hung : 0));
  const size = `${counted(fleet.cohorts.length, 'cohort')}, ${counted(sum(cohort => cohort.vms), 'VM')}, ${counted(sum(cohort => cohort.vcpus), 'vCPU')}`;
  const [first, ...others] = fleet.reasons;
  const more = others.slice(0, REASONS_MAX - 1);
  if (others.length > more.length)
    more.push(`and ${grouped(others.length - more.length)} more`);
  more.push([size, ...(meantTo > 0 ? [`${grouped(meantTo)} hung as expected`] : []), ...(hung > 0 ? [`${grouped(hung)} hung unexpectedly`] : [])].join('; '));
  return {
    verdict: fleet.verdict,
    word: fleet.verdict.toUpperCase(),
    sentence: first ?? 'Every cohort shows what it is meant to, and nothing else.',
    more,
  };
}

/**
 * @param {import('./types.js').Fleet | null} fleet
 * @param {import('./stream.js').Connection} connection
 */
function withoutReports(fleet, connection) {
  if (connection.state === 'connecting')
    return { verdict: 'connecting', word: 'CONNECTING', sentence: 'Waiting for the first report.', more: [] };
  const ago = duration((Date.now() - connection.since) / 1000);
  return {
    verdict: 'disconnected',
    word: 'DISCONNECTED',
    sentence: `No report since ${moment(connection.since)}, ${ago} ago. ${connection.reason} Trying again.`,
    more: fleet ? [`The last verdict was ${fleet.verdict}. What is shown below is from then.`] : [],
  };
}

/** @param {number[]} workers */
function silence(workers) {
  const [who, has, its] = workers.length === 1 ? [`Worker ${workers[0]}`, 'has', 'its'] : [`Workers ${workers.join(', ')}`, 'have', 'their'];
  return `${who} ${has} gone silent: what is shown of ${its} VMs is old.`;
}

/**
 * @param {import('./types.js').Fleet} fleet
 * @param {number | null} rate operations per second of all cohorts
 */
export function showRun(fleet, rate) {
  setText(masthead.version, fleet.version);
  setText(masthead.seed, String(fleet.seed));
  setText(masthead.uptime, duration(fleet.elapsed_seconds));
  setText(masthead.operations, si(fleet.operations));
  setAttribute(masthead.operations, 'title', grouped(fleet.operations));
  setText(masthead.rate, rate === null ? '–' : si(rate));
}

/**
 * @param {import('./stream.js').Connection} connection
 * @param {{ text: string, time: number } | null} note what happened to it lately
 */
export function showConnection(connection, note) {
  setAttribute(document.body, 'data-connection', connection.state);
  setText(lamp.state, { connecting: 'Connecting', live: 'Live', lost: 'Disconnected' }[connection.state]);
  setText(lamp.note, note && Date.now() - note.time < NOTE_MS ? note.text : '');
}

/** @param {string} text is spoken once */
export function announce(text) {
  setText(announcement, text);
}
