/**
 * The verdict in one line, the facts of the run above it, and the state of the connection, which decides whether either can be
 * believed.
 */

import { partsOf, setAttribute, setList, setText } from './dom.js';
import { counted, duration, grouped, moment, si } from './format.js';

const REASONS_MAX = 3;
const NAMES_MAX = 6;
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
 * @param {string} [news] a sentence to be spoken before the verdict
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

  // Spoken when the word changes, and not with each report.
  const isNew = band.dataset.verdict !== shown.verdict;
  setAttribute(band, 'data-verdict', shown.verdict);
  if (isNew) setText(announcement, `${news} ${shown.word}. ${shown.sentence}`.trim());
}

/** @param {import('./types.js').Fleet} fleet */
function ofFleet(fleet) {
  const [first, ...others] = reasonsOf(fleet);
  const more = others.slice(0, REASONS_MAX - 1);
  if (others.length > more.length) more.push(`and ${grouped(others.length - more.length)} more`);
  more.push(sizeOf(fleet));
  return {
    verdict: fleet.verdict,
    word: fleet.verdict.toUpperCase(),
    sentence: first ?? 'Every cohort shows what it is meant to, and nothing else.',
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
 * The reasons, each once: early in a run most cohorts have the same one.
 * @param {import('./types.js').Fleet} fleet
 * @returns {string[]}
 */
function reasonsOf(fleet) {
  const cohorts = new Map(fleet.cohorts.map(cohort => [`${cohort.name} (${cohort.kernel}): ${cohort.reason}`, cohort]));
  /** @type {Map<string, string[]>} */
  const namesOf = new Map();
  for (const sentence of fleet.reasons) {
    const cohort = cohorts.get(sentence);
    const reason = cohort?.reason ?? sentence;
    namesOf.set(reason, [...(namesOf.get(reason) ?? []), ...(cohort ? [`${cohort.name} (${cohort.kernel})`] : [])]);
  }
  return [...namesOf].map(([reason, names]) => (names.length === 0 ? reason : `${listed(names)}: ${reason}`));
}

/** @param {string[]} names */
const listed = names =>
  (names.length <= NAMES_MAX ? names : [...names.slice(0, NAMES_MAX), `${grouped(names.length - NAMES_MAX)} more`]).join(', ');

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
  const [who, has, its] =
    workers.length === 1 ? [`Worker ${workers[0]}`, 'has', 'its'] : [`Workers ${workers.join(', ')}`, 'have', 'their'];
  return `${who} ${has} gone silent: what is shown of ${its} VMs is old.`;
}

/**
 * @param {import('./types.js').Fleet} fleet
 * @param {number | null} rate operations per second of all cohorts
 */
export function showRun(fleet, rate) {
  setText(masthead.version, fleet.version);
  setText(masthead.seed, fleet.seed);
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
