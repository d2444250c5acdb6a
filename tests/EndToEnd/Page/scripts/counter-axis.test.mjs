import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axisOf, placeOf, placesOf } from '../../../../src/SoakHost/Page/wwwroot/counter-axis.js';

/** @param {bigint[]} counters min, median and max @param {number} [crossings64] @param {Record<string, number>} [more] */
function placeAt([min, median, max], crossings64 = 0, more = {}) {
  const hex = counter => `0x${counter.toString(16)}`;
  return placeOf({
    crossings: { '2^31': 9, '2^32': 0, '2^63': 0, '2^64': crossings64, ...more },
    invalidate_seq: { min: hex(min), median: hex(median), max: hex(max) },
  });
}

const WRAP = 1n << 64n;

test('a cohort that began near 0 is before 2^31', () => {
  const { boundary, lowest, highest } = placeAt([0n, 3n, 5n]);
  assert.deepEqual([boundary.name, lowest, highest], ['2^31', 0n, 5n]);
});

test('a cohort that came round to 0 is past 2^64', () => {
  const { boundary, lowest, highest } = placeAt([0n, 3n, 5n], 16);
  assert.deepEqual([boundary.name, lowest, highest], ['2^64', 0n, 5n]);
});

test('around 2^64 the number that is lowest is the furthest past it', () => {
  const { boundary, lowest, median, highest } = placeAt([7n, WRAP - 9n, WRAP - 1n]);
  assert.deepEqual([boundary.name, lowest, median, highest], ['2^64', WRAP - 9n, WRAP - 9n, 7n]);
});

test('boundaries of real VMs count, and without any there is no place', () => {
  assert.equal(placeAt([2_000_000n, 2_400_000n, 2_600_000n], 0, { '2_500_000': 0 }).boundary.name, '2_500_000');
  assert.equal(placeOf({ crossings: {}, invalidate_seq: { min: '0x1', median: '0x1', max: '0x1' } }), null);
});

/** @param {Record<number, number>} before VMs by bits of distance @param {Record<number, number>} past */
const places = (before, past, boundary = '2^31') => ({
  boundary,
  ...Object.fromEntries(Object.entries({ before, past }).map(([side, counts]) => [
    side, Array.from({ length: Math.max(-1, ...Object.keys(counts).map(Number)) + 1 }, (_, bits) => counts[bits] ?? 0),
  ])),
});

test('one VM that is far away does not stretch the axis, and is counted', () => {
  const together = axisOf([places({ 11: 40 }, { 12: 23 })]);
  assert.deepEqual([together.power, together.outliers, together.before, together.past], [4, 0, 40, 23]);
  const one = axisOf([places({ 11: 40 }, { 12: 23 }), places({ 32: 1 }, {}, '2^15')]);
  assert.deepEqual([one.power, one.outliers, one.before], [4, 1, 41]);
  assert.deepEqual(one.bars, together.bars);

  // Three of sixteen are no exception any more.
  assert.deepEqual([axisOf([places({ 11: 13, 32: 3 }, {})]).power, axisOf([places({ 11: 13, 32: 3 }, {})]).outliers], [10, 0]);
});

test('the axis grows with all of them', () => {
  assert.equal(axisOf([places({ 20: 64 }, {})]).power, 7);
  assert.equal(axisOf([places({ 11: 32, 14: 32 }, {})]).power, 5);
  assert.equal(axisOf([]).power, 4);
});

test('VMs at several boundaries share the axis, and bars are on the side where they are', () => {
  const { bars, before, past } = axisOf([places({ 5: 7 }, { 0: 2 }), places({}, { 5: 3 }, '2^32')]);
  assert.deepEqual([before, past, bars.map(bar => bar.count)], [7, 5, [7, 2, 3]]);
  assert.ok(bars[0].to < 0.5 && bars[1].from === 0.5 && bars[2].from > 0.5, JSON.stringify(bars));
});

test('a report without places has three counters to show', () => {
  const cohort = { crossings: { '2^31': 0 }, invalidate_seq: { min: '0x7fffff00', median: '0x7fffffff', max: '0x80000000' } };
  assert.deepEqual(placesOf(cohort).map(({ boundary, before, past }) => [boundary, before.length, before[1], before[9], past]), [
    ['2^31', 10, 1, 1, [1]],
  ]);
});
