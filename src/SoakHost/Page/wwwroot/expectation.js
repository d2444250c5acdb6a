/** What a cohort is expected to show: an expected hang proves the detector, and only an unexpected one is alarming. */

/** @typedef {import('./types.js').Cohort} Cohort */

/** What each expectation means for the incidents of a cohort. @type {Record<string, readonly Cohort['expect'][]>} */
const EXPECTED_BY = {
  hang: ['hang', 'deadlock'],
  deadlock: ['deadlock'],
  unsafe_install: ['unsafe_install'],
  stale_mapping: ['stale_mapping', 'unsafe_install'],
  accounting_error: ['accounting_error'],
};

/**
 * @param {string} kind of an incident
 * @param {Cohort['expect']} expect
 * @returns {boolean} whether a cohort with this expectation is meant to have such incidents
 */
export const isExpected = (kind, expect) => EXPECTED_BY[kind]?.includes(expect) ?? false;

/**
 * @param {Cohort} cohort
 * @returns {boolean} whether its hung vCPUs are the ones that it is there to show. Deadlocked vCPUs count as hung too.
 */
export const expectsHangs = ({ expect, stalled }) =>
  isExpected('hang', expect) && (expect === 'deadlock' || !stalled.some(({ state }) => state === 'deadlocked'));

/** @param {Cohort} cohort @returns {boolean} whether any of its VMs has crossed a boundary with a fault in flight */
export const hasCrossed = ({ crossings }) => Object.values(crossings).some(count => count > 0);
