/** Why a verdict is not a pass, in lines for people. */

import { firstOf, isWaiting } from './countdown.js';
import { counted, grouped } from './format.js';

const NAMES_MAX = 6;

/** @typedef {import('./types.js').Reason} Reason */

/**
 * Why a fleet has its verdict, where some cohorts have no more to show yet because they have not crossed a boundary: those have one line
 * together, a countdown.
 * @param {import('./types.js').Fleet} fleet
 * @param {(cohort: import('./types.js').Cohort) => import('./countdown.js').Countdown | null} countdownOfCohort
 * @returns {string[]}
 */
export function fleetLines({ reasons, cohorts }, countdownOfCohort) {
  const waiting = cohorts.filter(isWaiting);
  const countdown = firstOf(waiting.flatMap(cohort => countdownOfCohort(cohort) ?? []));
  const names = new Set(countdown ? waiting.map(({ name }) => name) : []);
  const others = linesOf(reasons.filter(({ kind, cohort }) => kind !== 'cohort' || !names.has(cohort ?? '')));
  if (!countdown) return others;
  const isFirst = waiting.length === cohorts.length;
  return [
    ...(isFirst ? [`First boundary ahead: ${countdown.cohort} ${countdown.text}`] : []),
    ...others,
    isFirst
      ? 'Until then there is nothing to judge'
      : `${counted(waiting.length, 'cohort')} of ${cohorts.length} ${waiting.length === 1 ? 'has' : 'have'} not crossed a boundary yet: ${countdown.cohort} ${countdown.text}`,
  ];
}

/**
 * One line for each different sentence, with the cohorts it applies to: early in a run most cohorts have the same one.
 * @param {readonly Reason[]} reasons
 * @returns {string[]} "stable (linux-6.1.y), lts (linux-5.15): no VM crossed a boundary with a fault in flight yet"
 */
export function linesOf(reasons) {
  /** @type {Map<string, string[]>} */
  const namesOf = new Map();
  for (const reason of reasons) {
    const names = namesOf.get(reason.sentence) ?? [];
    if (reason.cohort) names.push(nameOf(reason));
    namesOf.set(reason.sentence, names);
  }
  return [...namesOf].map(([sentence, names]) => (names.length === 0 ? sentence : `${listOf(names)}: ${sentence}`));
}

/** @param {Reason} reason of a cohort */
const nameOf = ({ kind, cohort, kernel }) => `${cohort} (${kernel}${kind === 'removed_cohort' ? ', removed' : ''})`;

/** @param {readonly string[]} names */
const listOf = names =>
  (names.length <= NAMES_MAX ? names : [...names.slice(0, NAMES_MAX), `${grouped(names.length - NAMES_MAX)} more`]).join(', ');
