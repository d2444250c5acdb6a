/**
 * A cohort's counters relative to the nearest boundary. The axis is logarithmic in the distance on both sides: the last thousand before
 * a crossing gets as much room as the million before it.
 */

import { setAttribute, setProperty, setText } from './dom.js';
import { distanceOf, distanceText, isRound, nearestBoundary, parseBoundary, powerOfTen } from './format.js';

// Below this distance the axis is linear, because a logarithm has no zero.
const LINEAR = 100;

// A counter this far away is at another boundary: VMs whose lives go round several starts must not stretch the axis of one.
const ELSEWHERE = 2 ** 30;
const REACH_MIN_POWER = 4;
const WIDTH_MIN = 0.012;

/**
 * @param {import('./dom.js').Parts} parts of a card
 * @param {import('./types.js').Cohort} cohort
 */
export function showCounter(parts, cohort) {
  setText(parts.counter, cohort.invalidate_seq.median);
  const place = placeOf(cohort);
  if (!place) return;
  const { boundary, median, lowest, highest } = place;
  const [low, middle, high] = [lowest, median, highest].map(counter => Number(distanceOf(counter, boundary)));
  const ends = [low, high].filter(distance => Math.abs(distance) < ELSEWHERE);
  const isElsewhere = ends.length < 2 && Math.abs(middle) < ELSEWHERE;
  const furthest = Math.max(...(isElsewhere ? [middle, ...ends] : [low, high]).map(Math.abs), 1);
  const power = Math.max(REACH_MIN_POWER, Math.ceil(Math.log10(1.5 * furthest)));
  const reach = 10 ** power;
  const [from, at, to] = [low, middle, high].map(distance => position(distance, reach));
  setText(parts.distance, `, ${distanceText(median, boundary)}`);
  setText(
    parts['counter-range'],
    isElsewhere
      ? 'Other VMs are at other boundaries.'
      : `From ${distanceText(lowest, boundary)} to ${distanceText(highest, boundary)}.`,
  );
  setText(parts['scale-before'], `−${powerOfTen(power)}`);
  setText(parts['scale-boundary'], boundary.name);
  setText(parts['scale-past'], `+${powerOfTen(power)}`);

  // Far from the boundary all VMs are at one point; the mark still needs a visible width.
  const width = Math.max(to - from, WIDTH_MIN);
  const start = width > WIDTH_MIN ? from : Math.min(Math.max(at - width / 2, 0), 1 - width);
  setProperty(parts.axis, '--from', start.toFixed(4));
  setProperty(parts.axis, '--width', width.toFixed(4));
  setProperty(parts.axis, '--decade', (0.5 / Math.log10(1 + reach / LINEAR)).toFixed(4));
  setAttribute(parts.axis, 'data-crossing', low >= 0 ? 'past' : high >= 0 ? 'now' : 'before');
}

/**
 * The boundary nearest to the median counter, and the counters furthest before and past it. Around 2^64 these are not the lowest and the
 * highest number.
 * @param {import('./types.js').Cohort} cohort
 */
export function placeOf({ crossings, invalidate_seq: seq }) {
  const median = BigInt(seq.median);

  // A low counter is past 2^64 only if the cohort has crossed it; most low counters just started low.
  const boundaries = Object.entries(crossings)
    .map(([name, count]) => ({ boundary: parseBoundary(name), count }))
    .flatMap(({ boundary, count }) => (boundary && (count > 0 || !isRound(median, boundary)) ? [boundary] : []));
  if (boundaries.length === 0) return null;
  const boundary = nearestBoundary(median, boundaries);
  const [lowest, , highest] = [BigInt(seq.min), median, BigInt(seq.max)].sort((a, b) =>
    distanceOf(a, boundary) < distanceOf(b, boundary) ? -1 : 1,
  );
  return { boundary, median, lowest, highest };
}

/**
 * @param {number} distance from the boundary, negative before it
 * @param {number} reach the distance at either end
 * @returns {number} 0 to 1; 0.5 is the boundary
 */
function position(distance, reach) {
  const share = Math.log10(1 + Math.abs(distance) / LINEAR) / Math.log10(1 + reach / LINEAR);
  return 0.5 + 0.5 * Math.sign(distance) * Math.min(share, 1);
}
