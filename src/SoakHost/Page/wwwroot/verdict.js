/** The verdict with its reasons, the facts of the run, and the state of the connection: without a connection both are old. */

import { partsOf, setAttribute, setList, setText } from './dom.js';
import { expectsHangs } from './expectation.js';
import { counted, decimalOf, duration, grouped, longMoment, si } from './format.js';
import { fleetLines } from './reasons.js';

const REASONS_MAX = 3;
const NOTE_MS = 60_000;

const masthead = partsOf(/** @type {HTMLElement} */ (document.getElementById('run')));
const lamp = partsOf(/** @type {HTMLElement} */ (document.getElementById('connection')));
const band = /** @type {HTMLElement} */ (document.getElementById('verdict'));
const parts = partsOf(band);
const about = /** @type {HTMLElement} */ (document.getElementById('about'));
const toy = /** @type {HTMLElement} */ (document.getElementById('toy'));
const alarm = /** @type {HTMLElement} */ (document.getElementById('alarm'));
const emblem = /** @type {Element} */ (band.querySelector('use'));

// Whoever looks at a row of tabs sees both: the verdict, and what the watch found.
let title = document.title;
let hung = 0;
const announcement = /** @type {HTMLElement} */ (document.getElementById('announcement'));

/**
 * @param {import('./types.js').Fleet | null} fleet the latest report
 * @param {import('./stream.js').Connection} connection
 * @param {(cohort: import('./types.js').Cohort) => import('./countdown.js').Countdown | null} countdownOf a cohort's first boundary
 * @param {string} [news] a sentence that screen readers say before the verdict
 */
export function showVerdict(fleet, connection, countdownOf, news = '') {
  const shown = connection.state === 'live' && fleet ? ofFleet(fleet, countdownOf) : withoutReports(fleet, connection);
  const toys = fleet ? toysOf(fleet) : [];
  toy.hidden = toys.length === 0;
  setText(toy, toys.length === 0 ? '' : toyText(toys));
  setAttribute(band, 'data-toy', toys.length === 0 ? null : 'true');
  title = `${shown.word}${toys.length === 0 ? '' : ' (toy run)'} · SoakHost`;
  showTitle();
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

/**
 * A hang of a VM of this host stands in the verdict, whatever the soak found.
 * @param {string} text empty for none
 * @param {number} count
 */
export function showAlarm(text, count) {
  alarm.hidden = text === '';
  setText(/** @type {Element} */ (alarm.firstElementChild), text);
  hung = count;
  showTitle();
}

function showTitle() {
  document.title = hung > 0 ? `${grouped(hung)} hung on this host · ${title}` : title;
}

/**
 * A boundary that is near shows how SoakHost works, and nothing about a kernel. A control or a mutant may have one of its own.
 * @param {import('./types.js').Fleet} fleet
 */
const toysOf = ({ cohorts }) => cohorts.filter(({ toy_boundary, expect }) => toy_boundary && expect === 'progress');

/** @param {import('./types.js').Cohort[]} toys */
const toyText = toys =>
  `Toy run: ${toys.map(({ name, toy_boundary }) => `${name} crosses ${toy_boundary}`).join(', ')}, far below 2^31. ` +
  'Linux’s counter fails from 2^31 on, so this verdict says nothing about a real kernel.';

/**
 * What people must know before they believe a verdict: what runs here, and what a pass means.
 * @param {import('./types.js').Fleet} fleet
 */
export function showAbout({ cohorts }) {
  const real = cohorts.filter(({ kind }) => kind === 'host').map(({ name }) => name);
  const [simulated, where] =
    real.length === 0
      ? ['These VMs are simulated', '']
      : [real.length === cohorts.length ? '' : 'All other VMs are simulated', `The VMs of ${real.join(', ')} are real and run on this machine’s kernel. `];
  setText(
    about,
    `${where}${simulated ? `${simulated}: SoakHost runs its model of KVM’s page-fault code, not your kernel. ` : ''}` +
      'A pass means that every cohort crossed a counter boundary with page faults in flight and did what is expected of it, and that ' +
      'the control hung, which shows that a hang would have been found.',
  );
}

/**
 * @param {import('./types.js').Fleet} fleet
 * @param {(cohort: import('./types.js').Cohort) => import('./countdown.js').Countdown | null} countdownOf
 */
function ofFleet(fleet, countdownOf) {
  const [first, ...others] = fleetLines(fleet, countdownOf);
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
  const meantTo = sum(cohort => (expectsHangs(cohort) ? cohort.vcpus_hung : 0));
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
    sentence: `No report since ${longMoment(connection.since)} (${ago} ago). ${connection.reason} Reconnecting.`,
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
 * @param {number | null} accesses guest accesses per second of all cohorts
 */
export function showRun(fleet, rate, accesses) {
  setText(masthead.version, fleet.version);
  setText(masthead.seed, decimalOf(fleet.seed));
  setText(masthead.uptime, duration(fleet.elapsed_seconds));
  setText(masthead.operations, si(fleet.operations));
  setAttribute(masthead.operations, 'title', grouped(fleet.operations));
  setText(masthead.rate, rate === null ? '–' : si(rate));
  setText(masthead.progress, accesses === null ? '–' : si(accesses));
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
