import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countdownOf, firstOf, isWaiting } from '../../../../src/SoakHost/Page/wwwroot/countdown.js';

const cohort = (more = {}) => ({
  name: 'control', vms: 16, verdict: 'inconclusive', crossings: { '2^31': 0 }, failures: [], invalidations_paused: false,
  counters: [
    { boundary: '2^31', before: [], past: [], nearest_before: '0x3e8' }, { boundary: '2^32', before: [], past: [], nearest_before: '0x7d0' },
  ],
  ...more,
});

test('the countdown is to the boundary that comes first, at the rate of one VM', () => {
  const { boundary, seconds, text } = countdownOf(cohort(), 1600, 0);
  assert.deepEqual([boundary, seconds, text], ['2^31', 10, 'crosses 2^31 in about 11 s (1,000 invalidations to go)']);
  assert.equal(countdownOf(cohort(), null, 0).text, 'crosses 2^31 (1,000 invalidations to go)');
  assert.equal(countdownOf(cohort({ invalidations_paused: true }), 1600, 0).text, 'crosses 2^31 once its invalidations are resumed (1,000 invalidations to go)');
});

test('where all VMs are past every boundary, and where nobody knows, there is none', () => {
  assert.equal(countdownOf(cohort({ counters: [{ boundary: '2^64', before: [], past: [1], nearest_before: null }] }), 1600, 0), null);
  assert.equal(countdownOf(cohort({ counters: undefined }), 1600, 0), null);
});

test('real VMs say themselves when they cross', () => {
  const host = { expected_crossings: { '2^32': '2026-11-26T20:00:00Z', '2^31': '2026-11-26T10:00:00Z' } };
  const { boundary, seconds, text } = countdownOf(cohort({ host }), null, Date.parse('2026-11-26T09:59:00Z'));
  assert.deepEqual([boundary, seconds], ['2^31', 60]);
  assert.match(text, /^crosses 2\^31 in about 1 min 0 s, on 2[67] Nov/);
  assert.equal(countdownOf(cohort({ host: { expected_crossings: {} } }), null, 0), null);
});

test('a cohort waits until it has crossed or has something else to say', () => {
  assert.equal(isWaiting(cohort()), true);
  for (const more of [{ crossings: { '2^31': 1 } }, { verdict: 'violation' }, { failures: ['VMs 0 to 63 were taken out of service'] }])
    assert.equal(isWaiting(cohort(more)), false);
});

test('the first of several countdowns is the soonest, and one without a time comes last', () => {
  const [a, b, c] = [{ seconds: null }, { seconds: 9 }, { seconds: 3 }];
  assert.deepEqual([firstOf([a, b, c]), firstOf([a]), firstOf([])], [c, a, null]);
});
