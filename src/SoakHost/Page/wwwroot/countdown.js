/** How long it takes until a cohort crosses its first boundary: before that there is nothing to judge. */

import { duration, grouped, longMoment } from './format.js';
import { hasCrossed } from './expectation.js';

/** @typedef {import('./types.js').Cohort} Cohort */

/**
 * @typedef {object} Countdown
 * @property {string} cohort
 * @property {string} boundary
 * @property {number | null} seconds until the first VM crosses it; null where nobody can say
 * @property {string} text what follows the cohort's name: "crosses 2^31 in about 8 s (15,204 invalidations to go)"
 */

/**
 * @param {Cohort} cohort
 * @returns {boolean} whether it is inconclusive for no other reason than that it has not crossed a boundary yet
 */
export const isWaiting = cohort => cohort.verdict === 'inconclusive' && !hasCrossed(cohort) && cohort.failures.length === 0;

/**
 * @param {Cohort} cohort
 * @param {number | null} perSecond invalidations per second of all its VMs
 * @param {number} now ms
 * @returns {Countdown | null} null where no VM is before a boundary
 */
export function countdownOf(cohort, perSecond, now) {
  if (cohort.host) return countdownOfHost(cohort, now);
  const places = (cohort.counters ?? []).flatMap(({ boundary, nearest_before: left }) => (left ? [{ boundary, left: BigInt(left) }] : []));
  if (places.length === 0) return null;
  const { boundary, left } = places.reduce((best, place) => (place.left < best.left ? place : best));
  const seconds = perSecond && !cohort.invalidations_paused ? (Number(left) * cohort.vms) / perSecond : null;
  const toGo = `${grouped(left)} ${left === 1n ? 'invalidation' : 'invalidations'} to go`;
  const when = cohort.invalidations_paused ? ' once its invalidations are resumed' : seconds === null ? '' : ` in about ${duration(seconds + 1)}`;
  return { cohort: cohort.name, boundary, seconds, text: `crosses ${boundary}${when} (${toGo})` };
}

/** @param {Cohort} cohort @param {number} now @returns {Countdown | null} */
function countdownOfHost({ name, host }, now) {
  const [first] = Object.entries(host?.expected_crossings ?? {}).sort(([, one], [, other]) => Date.parse(one) - Date.parse(other));
  if (!first) return null;
  const [boundary, time] = first;
  const seconds = Math.max(0, (Date.parse(time) - now) / 1000);
  return { cohort: name, boundary, seconds, text: `crosses ${boundary} in about ${duration(seconds)}, on ${longMoment(time)}` };
}

/**
 * @param {readonly Countdown[]} countdowns
 * @returns {Countdown | null} the one that ends first
 */
export const firstOf = countdowns =>
  countdowns.length === 0
    ? null
    : countdowns.reduce((best, each) => ((each.seconds ?? Infinity) < (best.seconds ?? Infinity) ? each : best));
