/** The verdict with its reasons, the facts of the run, and the state of the connection: without a connection both are old. */

import { partsOf, setAttribute, setList, setText } from './dom.js';
import { counted, decimalOf, duration, grouped, moment, si } from './format.js';
import { linesOf } from './reasons.js';

const REASONS_MAX = 3;
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
 * @param {string} [news] a sentence that screen readers say before the verdict
 */
export function showVerdict(fleet, connection, news = '') {
  const shown = connection.state === 'live' && fleet ? ofFleet(fleet) : withoutReports(fleet, connection);
  document.title = `${shown.word} · SoakHost`;
  setAttribute(emblem, 'href', `#icon-${shown.verdict}`);
  setText(parts.name, shown.word);
  setText(parts.sentence, shown.sentence);
  setList(parts.more, shown.more);
  const silent = connection.state === 'live' && fleet ? fleet.silent_workers : [];
  parts.silent.hidden = silent.length === 0;
  setText(parts.silent, silent.length === 0 ? '' : silence(silent));

  // Screen readers say it when the word changes, not with each report.
  const isNew = band.dataset.verdict !== shown.verdict;
  setAttribute(band, 'data-verdict', shown.verdict);
  if (isNew) setText(announcement, `${news} ${shown.word}. ${shown.sentence}`.trim());
}

/** @param {import('./types.js').Fleet} fleet */
function ofFleet(fleet) {
  const [first, ...others] = linesOf(fleet.reasons);
  const more = others.slice(0, REASONS_MAX - 1);
  if (others.length > more.length) more.push(`and ${counted(others.length - more.length, 'more reason')}`);
  if (first && fleet.evidence) more.push(`So far: ${fleet.evidence}.`);
  more.push(sizeOf(fleet));
  return {
    verdict: fleet.verdict,
    word: fleet.verdict.toUpperCase(),
    sentence: first ?? `Every cohort behaves as expected${fleet.evidence ? `: ${fleet.evidence}` : ''}.`,
    more,
  };
}

/** @param {import('./types.js').Fleet} fleet @returns {string} "5 cohorts, 960 VMs, 3,840 vCPUs; 256 hung as expected" */
function sizeOf({ cohorts }) {
  const sum = (/** @type {(cohort: import('./types.js').Cohort) => number} */ of) =>
    cohorts.reduce((total, cohort) => total + of(cohort), 0);
  const meantTo = sum(cohort => (cohort.expect === 'hang' ? cohort.vcpus_hung : 0));
  const hung = sum(cohort => cohort.vcpus_hung) - meantTo;
  const vms = counted(
    sum(cohort => cohort.vms),
    'VM',
  );
  const vcpus = counted(
    sum(cohort => cohort.vcpus),
    'vCPU',
  );
  return (
    `${counted(cohorts.length, 'cohort')}, ${vms}, ${vcpus}` +
    (meantTo > 0 ? `; ${grouped(meantTo)} hung as expected` : '') +
    (hung > 0 ? `; ${grouped(hung)} hung unexpectedly` : '')
  );
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
    sentence: `No report since ${moment(connection.since)} (${ago} ago). ${connection.reason} Reconnecting.`,
    more: fleet ? [`Last verdict: ${fleet.verdict}. The figures below are from then.`] : [],
  };
}

/** @param {number[]} workers */
function silence(workers) {
  const [who, has, its] =
    workers.length === 1 ? [`Worker ${workers[0]}`, 'has', 'its'] : [`Workers ${workers.join(', ')}`, 'have', 'their'];
  return `${who} ${has} stopped reporting. The figures of ${its} VMs are out of date.`;
}

/**
 * @param {import('./types.js').Fleet} fleet
 * @param {number | null} rate operations per second of all cohorts
 */
export function showRun(fleet, rate) {
  setText(masthead.version, fleet.version);
  setText(masthead.seed, decimalOf(fleet.seed));
  setText(masthead.uptime, duration(fleet.elapsed_seconds));
  setText(masthead.operations, si(fleet.operations));
  setAttribute(masthead.operations, 'title', grouped(fleet.operations));
  setText(masthead.rate, rate === null ? '–' : si(rate));
}

/**
 * @param {import('./stream.js').Connection} connection
 * @param {{ text: string, time: number } | null} note about its last change
 */
export function showConnection(connection, note) {
  setAttribute(document.body, 'data-connection', connection.state);
  setText(lamp.state, { connecting: 'Connecting', live: 'Live', lost: 'Disconnected' }[connection.state]);
  setText(lamp.note, note && Date.now() - note.time < NOTE_MS ? note.text : '');
}
