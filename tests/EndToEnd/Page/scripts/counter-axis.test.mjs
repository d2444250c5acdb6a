import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placeOf } from '../../../../src/SoakHost/Page/wwwroot/counter-axis.js';

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
