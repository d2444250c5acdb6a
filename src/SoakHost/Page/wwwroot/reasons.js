/** Why a verdict is not a pass, in lines for people. */

import { grouped } from './format.js';

const NAMES_MAX = 6;

/** @typedef {import('./types.js').Reason} Reason */

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
