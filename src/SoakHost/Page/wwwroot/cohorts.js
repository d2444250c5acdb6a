/** The cohorts: one card each. */

import { showCounter } from './counter-axis.js';
import { cloneOf, partsOf, patchChildren, setAttribute, setList, setProperty, setText } from './dom.js';
import { counted, fitted, grouped, moment, sentenceOf, si } from './format.js';
import { showSparkline } from './sparkline.js';

const EXPECTATIONS = {
  progress: 'Expected: progress.',
  hang: 'Expected: a hang (control).',
  unsafe_install: 'Expected: an unsafe install.',
  stale_mapping: 'Expected: a stale mapping.',
  accounting_error: 'Expected: an accounting error.',
  deadlock: 'Expected: a deadlock.',
};

const cards = /** @type {HTMLElement} */ (document.querySelector('#cohorts [data-part=cards]'));

/** @type {WeakMap<Element, import('./dom.js').Parts>} */
const partsOfCards = new WeakMap();

/**
 * @param {import('./types.js').Fleet} fleet
 * @param {import('./history.js').RateHistory} history
 */
export function showCohorts(fleet, history) {
  patchChildren(
    cards,
    fleet.cohorts,
    cohort => cohort.name,
    createCard,
    (card, cohort) => {
      const parts = /** @type {import('./dom.js').Parts} */ (partsOfCards.get(card));
      showVerdict(/** @type {HTMLElement} */ (card), parts, cohort);
      showStates(parts, cohort);
      const rate = history.rate(cohort.name);
      setText(parts.rate, rate === null ? '–' : si(rate));
      showSparkline(parts, history.samples(cohort.name));
      showCounter(parts, cohort);
      showTotals(parts, cohort);
      showNotes(parts, cohort);
    },
  );
}

/** @param {import('./types.js').Cohort} cohort */
function createCard(cohort) {
  const card = cloneOf('cohort-card');
  const parts = partsOf(card);
  partsOfCards.set(card, parts);
  parts.name.id = `cohort-${cohort.name}`;
  card.setAttribute('aria-labelledby', parts.name.id);
  card.dataset.cohort = cohort.name;
  setText(parts.name, cohort.name);
  setAttribute(parts.interventions, 'aria-label', `Interventions on ${cohort.name}`);
  return card;
}

/**
 * @param {HTMLElement} card
 * @param {import('./dom.js').Parts} parts
 * @param {import('./types.js').Cohort} cohort
 */
function showVerdict(card, parts, cohort) {
  setAttribute(card, 'data-verdict', cohort.verdict);
  setAttribute(card, 'data-kernel', cohort.kernel);
  setAttribute(card, 'data-paused', String(cohort.invalidations_paused));
  setAttribute(parts['verdict-icon'], 'href', `#icon-${cohort.verdict}`);
  setText(parts['verdict-word'], cohort.verdict);
  setText(parts.kernel, cohort.kernel);
  setText(parts.expect, EXPECTATIONS[cohort.expect]);
  setText(parts.reason, sentenceOf(cohort.reason));
}

/**
 * @param {import('./dom.js').Parts} parts
 * @param {import('./types.js').Cohort} cohort
 */
function showStates(parts, cohort) {
  const counts = { running: cohort.vcpus_running, starved: cohort.vcpus_starved, hung: cohort.vcpus_hung };
  for (const segment of parts.bar.children) {
    const state = /** @type {import('./types.js').VcpuState} */ (segment.dataset.state);
    setProperty(segment, '--count', counts[state]);
    segment.hidden = counts[state] === 0;
    setText(parts[state], grouped(counts[state]));
    setAttribute(parts[state].parentElement, 'data-count', String(counts[state]));
  }
  setText(parts.size, `${counted(cohort.vms, 'VM')}, ${counted(cohort.vcpus, 'vCPU')}`);
}

/**
 * @param {import('./dom.js').Parts} parts
 * @param {import('./types.js').Cohort} cohort
 */
function showTotals(parts, cohort) {
  const crossed = Object.entries(cohort.crossings).filter(([, count]) => count > 0);
  setText(
    parts.crossings,
    crossed.length === 0
      ? 'none yet'
      : crossed.map(([boundary, count]) => `${boundary}: ${cohort.lives_started ? grouped(count) : counted(count, 'VM')}`).join(', '),
  );
  showDefect(parts['unjustified-retries'], cohort.unjustified_retries, cohort.expect === 'hang');
  showDefect(parts['unsafe-installs'], cohort.unsafe_installs, cohort.expect === 'unsafe_install');
  const expectsStale = cohort.expect === 'stale_mapping' || cohort.expect === 'unsafe_install';
  showDefect(parts['stale-mappings'], cohort.stale_mappings, expectsStale);
  showDefect(parts['accounting-errors'], cohort.accounting_errors, cohort.expect === 'accounting_error');
}

/**
 * @param {HTMLElement} element
 * @param {number} count
 * @param {boolean} isExpected
 */
function showDefect(element, count, isExpected) {
  setText(element, fitted(count));
  setAttribute(element, 'title', grouped(count));
  setAttribute(
    /** @type {HTMLElement} */ (element.parentElement),
    'data-defect',
    count === 0 ? 'none' : isExpected ? 'expected' : 'unexpected',
  );
}

/**
 * @param {import('./dom.js').Parts} parts
 * @param {import('./types.js').Cohort} cohort
 */
function showNotes(parts, cohort) {
  const notes = [];
  if (cohort.invalidations_paused) notes.push('Invalidations are paused.');
  if (cohort.lives_started) notes.push(`VMs were replaced ${grouped(cohort.lives_started)} times, each by its next life.`);
  if (cohort.host) {
    const { kernel_release: release, mmu, cpu, invalidations_per_second: rate, until } = cohort.host;
    const { expected_crossings: expected, not_covered: left } = cohort.host;
    notes.push(
      `Real VMs on ${release} (${mmu}; ${cpu}): ${si(rate)} invalidations/s, up to ${grouped(until)}.`,
      'Interventions are not possible: these VMs run on this machine’s own kernel.',
    );
    notes.push(...Object.entries(expected).map(([boundary, time]) => `Expected to cross ${boundary} at ${moment(time)}.`));
    if (left.length > 0) notes.push(`Not covered: ${left.join('; ')}.`);
  }
  notes.push(...cohort.failures);
  setList(parts.notes, notes);
  parts.notes.hidden = notes.length === 0;
}
