/** A cohort's card: everything that a report says of it, and the buttons of its interventions. */

import { showCounter } from './counter-axis.js';
import { cloneOf, partsOf, setAttribute, setList, setProperty, setText } from './dom.js';
import { expectsHangs, hasCrossed, isExpected } from './expectation.js';
import { counted, fitted, grouped, longMoment, sentenceOf, si } from './format.js';
import { showSparkline } from './sparkline.js';

const EXPECTATIONS = {
  progress: 'Expected: progress.',
  hang: 'Expected: a hang (control).',
  unsafe_install: 'Expected: an unsafe install.',
  stale_mapping: 'Expected: a stale mapping.',
  accounting_error: 'Expected: an accounting error.',
  deadlock: 'Expected: a deadlock.',
};

const LINES_MAX = 3;

// The lowest boundary at which Linux ever failed.
const FIRST_REAL = '2^31';

/** @typedef {import('./types.js').Cohort} Cohort */
/** @typedef {import('./dom.js').Parts} Parts */

/** @type {WeakMap<Element, Parts>} */
const partsOfCards = new WeakMap();

/** @param {string} name @returns {HTMLElement} */
export function createCard(name) {
  const card = cloneOf('cohort-card');
  const parts = partsOf(card);
  partsOfCards.set(card, parts);
  parts.name.id = `cohort-${name}`;
  card.id = `card-${name}`;
  card.setAttribute('aria-labelledby', parts.name.id);
  card.dataset.cohort = name;
  setText(parts.name, name);
  setAttribute(parts.interventions, 'aria-label', `Interventions on ${name}`);
  return card;
}

/**
 * @param {HTMLElement} card
 * @param {Cohort} cohort
 * @param {import('./history.js').RateHistory} history
 * @param {string} reason why its verdict is what it is
 */
export function showCard(card, cohort, history, reason) {
  const parts = /** @type {Parts} */ (partsOfCards.get(card));
  showVerdict(card, parts, cohort, reason);
  showStates(parts, cohort);
  showRates(parts, cohort.name, history);
  showSparkline(parts, history.samples(cohort.name));
  showCounter(parts, cohort);
  showTotals(parts, cohort);
  showNotes(parts, cohort);
}

/**
 * @param {HTMLElement} card
 * @param {Parts} parts
 * @param {Cohort} cohort
 * @param {string} reason
 */
function showVerdict(card, parts, cohort, reason) {
  setAttribute(card, 'data-verdict', cohort.verdict);
  setAttribute(card, 'data-kernel', cohort.kernel);
  setAttribute(card, 'data-paused', String(cohort.invalidations_paused));
  setAttribute(parts['verdict-icon'], 'href', `#icon-${cohort.verdict}`);
  setText(parts['verdict-word'], cohort.verdict);
  setText(parts.kernel, cohort.kernel);
  setText(parts.size, `${counted(cohort.vms, 'VM')}, ${counted(cohort.vcpus, 'vCPU')}`);
  setText(parts.expect, EXPECTATIONS[cohort.expect]);
  setText(parts.reason, sentenceOf(reason));
  showToy(parts, cohort);
}

/** A boundary that people chose to see a crossing soon. @param {Parts} parts @param {Cohort} cohort */
export function showToy(parts, { toy_boundary: toy }) {
  parts.toy.hidden = !toy;
  setText(parts.toy, toy ? `toy: ${toy}` : '');
}

/** @param {Parts} parts @param {Cohort} cohort */
export function showStates(parts, cohort) {
  const counts = { running: cohort.vcpus_running, starved: cohort.vcpus_starved, hung: cohort.vcpus_hung };
  setAttribute(parts.states, 'data-hangs', expectsHangs(cohort) ? 'expected' : 'unexpected');
  for (const segment of parts.bar.children) {
    const state = /** @type {keyof typeof counts} */ (segment.dataset.state);
    setProperty(segment, '--count', counts[state]);
    segment.hidden = counts[state] === 0;
    setText(parts[state], grouped(counts[state]));
    setAttribute(parts[state].parentElement, 'data-count', String(counts[state]));
  }
  parts['hung-expected'].hidden = cohort.vcpus_hung === 0 || !expectsHangs(cohort);
}

/**
 * Progress beside operations: a cohort that only retries is busy and gets nowhere.
 * @param {Parts} parts
 * @param {string} name
 * @param {import('./history.js').RateHistory} history
 */
export function showRates(parts, name, history) {
  const [operations, accesses] = [history.rate(name), history.rate(name, 'accesses')];
  setText(parts.rate, operations === null ? '–' : si(operations));
  setText(parts.progress, accesses === null ? '–' : si(accesses));
}

/**
 * @param {Cohort} cohort
 * @returns {string[]} "62 of 64 VMs crossed 2^31": a line for each boundary, or one for 2^31 and one for the others where they are many
 */
export function crossedLines({ vms, crossings, vms_crossed: crossed }) {
  const all = Object.keys(crossed).filter(boundary => crossings[boundary] > 0);
  const line = (/** @type {string} */ boundary) => `${grouped(crossed[boundary])} of ${counted(vms, 'VM')} crossed ${boundary}`;
  if (all.length <= LINES_MAX) return all.map(line);
  const others = all.filter(boundary => boundary !== FIRST_REAL);
  const counts = others.map(boundary => crossed[boundary]);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const some = `${least < most ? `${grouped(least)} to ` : ''}${grouped(most)} crossed each of ${others.join(', ')}`;
  return all.includes(FIRST_REAL) ? [line(FIRST_REAL), some] : [some];
}

/** @param {Cohort} cohort @returns {number} crossings of all boundaries, by all lives of its VMs */
export const crossingsOf = ({ crossings }) => Object.values(crossings).reduce((sum, count) => sum + count, 0);

/** @param {Parts} parts @param {Cohort} cohort */
function showTotals(parts, cohort) {
  const all = crossingsOf(cohort);
  setList(parts.crossed, hasCrossed(cohort) ? crossedLines(cohort) : [`0 of ${counted(cohort.vms, 'VM')} crossed a boundary yet`]);
  setText(parts.crossings, all === 0 ? 'none yet' : `${fitted(all)}${cohort.lives_started ? ' in all lives' : ''}`);
  setAttribute(
    parts.crossings,
    'title',
    Object.entries(cohort.crossings)
      .filter(([, count]) => count > 0)
      .map(([boundary, count]) => `${boundary}: ${grouped(count)}`)
      .join(', '),
  );
  showDefect(parts['unjustified-retries'], cohort.unjustified_retries, cohort.expect === 'hang');
  showDefect(parts['unsafe-installs'], cohort.unsafe_installs, isExpected('unsafe_install', cohort.expect));
  showDefect(parts['stale-mappings'], cohort.stale_mappings, isExpected('stale_mapping', cohort.expect));
  showDefect(parts['accounting-errors'], cohort.accounting_errors, isExpected('accounting_error', cohort.expect));
}

/**
 * @param {HTMLElement} element
 * @param {number | null} count null where it is not measured
 * @param {boolean} isMeantToBe
 */
function showDefect(element, count, isMeantToBe) {
  setText(element, count === null ? '–' : fitted(count));
  setAttribute(element, 'title', count === null ? 'Not measured' : grouped(count));
  setAttribute(
    /** @type {HTMLElement} */ (element.parentElement),
    'data-defect',
    !count ? 'none' : isMeantToBe ? 'expected' : 'unexpected',
  );
}

/** @param {Parts} parts @param {Cohort} cohort */
function showNotes(parts, cohort) {
  const notes = [];
  if (cohort.toy_boundary)
    notes.push(`A toy run: it crosses ${cohort.toy_boundary}, far below 2^31, and says nothing about a real kernel’s counter.`);
  if (cohort.invalidations_paused) notes.push('Invalidations are paused.');
  if (cohort.lives_started) notes.push(`VMs were replaced ${grouped(cohort.lives_started)} times, each by its next life.`);
  if (cohort.host) {
    const { kernel_release: release, mmu, cpu, invalidations_per_second: rate, until } = cohort.host;
    const { expected_crossings: expected, not_covered: left } = cohort.host;
    notes.push(
      `Real VMs on ${release} (${mmu}; ${cpu}): ${si(rate)} invalidations/s, up to ${grouped(until)}.`,
      'Interventions are not possible: these VMs run on this machine’s own kernel.',
    );
    notes.push(...Object.entries(expected).map(([boundary, time]) => `Expected to cross ${boundary} on ${longMoment(time)}.`));
    if (left.length > 0) notes.push(`Not covered: ${left.join('; ')}.`);
  }
  notes.push(...cohort.failures);
  setList(parts.notes, notes);
  parts.notes.hidden = notes.length === 0;
}
