/**
 * How far a cohort's counters are from their boundaries. VMs whose lives go round several boundaries share one axis: each VM counts at
 * the boundary nearest to its counter. The axis is logarithmic in the distance on both sides: the last thousand before a crossing gets as
 * much room as the million before it.
 */

import { setAttribute, setProperty, setText } from './dom.js';
import { counted, distanceOf, distanceText, grouped, isRound, nearestBoundary, parseBoundary, powerOfTen } from './format.js';

// Below this distance the axis is linear, because a logarithm has no zero.
const LINEAR = 100;
const REACH_MIN_POWER = 4;

// A few VMs that are much further away than all others must not stretch the axis: so many decades further.
const STRETCH_DECADES = 2;
const OUTLIER_SHARE = 0.1;
const OUTLIERS_FROM = 3;

// Of the SVG with the bars.
const WIDTH = 1000;
const HEIGHT = 20;
const BAR_WIDTH_MIN = 12;
const BAR_HEIGHT_MIN = 5;

/** @typedef {import('./types.js').Cohort} Cohort */
/** @typedef {import('./types.js').Places} Places */

/**
 * @typedef {object} Axis
 * @property {number} power of ten at either end
 * @property {{ from: number, to: number, count: number }[]} bars from 0 to 1; 0.5 is the boundary
 * @property {number} before VMs before their boundary
 * @property {number} past VMs at it or past it
 * @property {number} outliers VMs beyond either end
 */

/**
 * @param {import('./dom.js').Parts} parts of a card
 * @param {Cohort} cohort
 */
export function showCounter(parts, cohort) {
  const places = placesOf(cohort);
  const axis = axisOf(places);
  const place = placeOf(cohort);
  const isOne = places.length <= 1;
  setText(parts.counter, isOne ? cohort.invalidate_seq.median : '');
  setText(parts.distance, isOne ? (place ? `, ${distanceText(place.median, place.boundary)}` : '') : nearText(places));
  setText(parts['counter-range'], `${axis.before} before the boundary, ${axis.past} past it.`);
  setText(parts['scale-before'], `−${powerOfTen(axis.power)}`);
  setText(parts['scale-boundary'], isOne ? (places[0]?.boundary ?? '') : 'boundary');
  setText(parts['scale-past'], `+${powerOfTen(axis.power)}`);
  setText(parts.outliers, axis.outliers === 0 ? '' : `${counted(axis.outliers, 'VM')} further away than this axis shows.`);
  parts.outliers.hidden = axis.outliers === 0;
  setProperty(parts.axis, '--decade', (0.5 / Math.log10(1 + 10 ** axis.power / LINEAR)).toFixed(4));
  setAttribute(parts.axis, 'data-crossing', axis.before === 0 ? 'past' : axis.past > 0 ? 'now' : 'before');
  setAttribute(parts.axis, 'data-power', String(axis.power));
  setAttribute(parts.bars, 'd', pathOf(axis));
}

/** @param {readonly Places[]} places @returns {string} "VMs near 2^31: 43, 2^32: 42" */
const nearText = places =>
  `VMs near ${places.map(place => `${place.boundary}: ${grouped(sum(place.before) + sum(place.past))}`).join(', ')}`;

/** @param {readonly number[]} counts */
const sum = counts => counts.reduce((total, count) => total + count, 0);

/**
 * @param {Cohort} cohort
 * @returns {Places[]} of its lowest, median and highest counter where the report has no more than those
 */
export function placesOf(cohort) {
  if (cohort.counters) return cohort.counters;
  const place = placeOf(cohort);
  if (!place) return [];
  /** @type {Places} */
  const places = { boundary: place.boundary.name, before: [], past: [], nearest_before: null };
  for (const counter of [place.lowest, place.median, place.highest]) {
    const distance = distanceOf(counter, place.boundary);
    const bits = distance === 0n ? 0 : (distance < 0n ? -distance : distance).toString(2).length;
    const side = distance < 0n ? places.before : places.past;
    side[bits] = (side[bits] ?? 0) + 1;
  }
  return [{ ...places, before: Array.from(places.before, count => count ?? 0), past: Array.from(places.past, count => count ?? 0) }];
}

/** @param {readonly Places[]} places @returns {Axis} */
export function axisOf(places) {
  const before = pooled(places.map(place => place.before));
  const past = pooled(places.map(place => place.past));
  const byBits = pooled([before, past]);
  const vms = sum(byBits);
  const most = bitsWithout(byBits, vms >= OUTLIERS_FROM ? Math.max(1, Math.floor(vms * OUTLIER_SHARE)) : 0);
  const all = powerOf(byBits.length - 1);
  const power = all - powerOf(most) >= STRETCH_DECADES ? powerOf(most) : all;
  const reach = 10 ** power;
  const [left, right] = [before, past].map(counts =>
    counts.map((count, bits) => ({ count, from: bits === 0 ? 0 : 2 ** (bits - 1), to: bits === 0 ? 0 : 2 ** bits })),
  );
  const isInside = (/** @type {{ count: number, from: number }} */ bar) => bar.count > 0 && bar.from < reach;
  return {
    power,
    bars: [
      ...left.filter(isInside).map(({ count, from, to }) => ({ count, from: position(-to, reach), to: position(-from, reach) })).reverse(),
      ...right.filter(isInside).map(({ count, from, to }) => ({ count, from: position(from, reach), to: position(to, reach) })),
    ],
    before: sum(before),
    past: sum(past),
    outliers: sum([...left, ...right].filter(bar => !isInside(bar)).map(bar => bar.count)),
  };
}

/** @param {readonly (readonly number[])[]} lists @returns {number[]} their sums, entry by entry */
const pooled = lists =>
  Array.from({ length: Math.max(0, ...lists.map(list => list.length)) }, (_, k) => sum(lists.map(list => list[k] ?? 0)));

/**
 * @param {readonly number[]} byBits
 * @param {number} allowed
 * @returns {number} the bits of the largest distance, without so many VMs that are furthest away
 */
function bitsWithout(byBits, allowed) {
  let left = allowed;
  for (let bits = byBits.length - 1; bits > 0; bits--) {
    left -= byBits[bits];
    if (left < 0) return bits;
  }
  return 0;
}

/** @param {number} bits @returns {number} the power of ten that is at least every distance of so many bits */
const powerOf = bits => Math.max(REACH_MIN_POWER, Math.ceil(Math.log10(2 ** Math.max(bits, 0))));

/**
 * @param {number} distance from the boundary, negative before it
 * @param {number} reach the distance at either end
 * @returns {number} 0 to 1; 0.5 is the boundary
 */
function position(distance, reach) {
  const share = Math.log10(1 + Math.abs(distance) / LINEAR) / Math.log10(1 + reach / LINEAR);
  return 0.5 + 0.5 * Math.sign(distance) * Math.min(share, 1);
}

/** @param {Axis} axis @returns {string} the bars, the higher the more VMs */
function pathOf({ bars }) {
  const top = Math.max(...bars.map(bar => bar.count), 1);
  return bars
    .map(({ from, to, count }) => {
      const width = Math.max((to - from) * WIDTH, BAR_WIDTH_MIN);
      const x = Math.min(Math.max(((from + to) / 2) * WIDTH - width / 2, 0), WIDTH - width);
      const height = BAR_HEIGHT_MIN + ((HEIGHT - BAR_HEIGHT_MIN) * count) / top;
      return `M${x.toFixed(1)} ${HEIGHT}v${(-height).toFixed(1)}h${width.toFixed(1)}v${height.toFixed(1)}z`;
    })
    .join('');
}

/**
 * The boundary nearest to the median counter, and the counters furthest before and past it. Around 2^64 these are not the lowest and the
 * highest number.
 * @param {Cohort} cohort
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
