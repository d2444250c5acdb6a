import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fleetLines, linesOf } from '../../../../src/SoakHost/Page/wwwroot/reasons.js';

const of = (cohort, sentence, more = {}) => ({
  kind: 'cohort', verdict: 'inconclusive', sentence, cohort, kernel: 'linux-6.1.y', ...more,
});

test('cohorts with the same reason share a line, in the order of the report', () => {
  assert.deepEqual(linesOf([of('a', '2 vCPUs hung'), of('b', 'no crossing yet'), of('c', 'no crossing yet')]), [
    'a (linux-6.1.y): 2 vCPUs hung', 'b (linux-6.1.y), c (linux-6.1.y): no crossing yet',
  ]);
});

test('a removed cohort that is no longer in the report keeps its name and joins the others', () => {
  assert.deepEqual(linesOf([of('a', '2 vCPUs hung'), of('late', '2 vCPUs hung', { kind: 'removed_cohort', kernel: 'linux-6.1' })]), [
    'a (linux-6.1.y), late (linux-6.1, removed): 2 vCPUs hung',
  ]);
});

test('a reason of the whole fleet has no name, and a sentence may contain anything', () => {
  const fleet = { kind: 'no_control', verdict: 'inconclusive', sentence: 'a (linux-6.1.y): none', cohort: null, kernel: null };
  assert.deepEqual(linesOf([fleet, of('a', 'failed: "b (linux-6.9): 1"')]), [
    'a (linux-6.1.y): none', 'a (linux-6.1.y): failed: "b (linux-6.9): 1"',
  ]);
  assert.deepEqual(linesOf([]), []);
});

test('of many cohorts six are named', () => {
  const names = Array.from({ length: 1234 }, (_, index) => `c${index}`);
  assert.deepEqual(linesOf(names.map(name => of(name, 'x'))), [
    `${names.slice(0, 6).map(name => `${name} (linux-6.1.y)`).join(', ')}, 1,228 more: x`,
  ]);
});

test('before the first boundary there is a countdown, and nothing about a hang that did not come', () => {
  const cohort = (name, crossings = 0) => ({ name, verdict: 'inconclusive', failures: [], crossings: { '2^31': crossings } });
  const ahead = ({ name }) => ({ cohort: name, boundary: '2^31', seconds: name === 'a' ? 9 : 4, text: `crosses 2^31 in about ${name}` });
  const reasons = [of('a', 'expected at least one hang, and no vCPU hung'), of('b', 'no crossing yet')];
  assert.deepEqual(fleetLines({ reasons, cohorts: [cohort('a'), cohort('b')] }, ahead), [
    'First boundary ahead: b crosses 2^31 in about b', 'Until then there is nothing to judge',
  ]);

  // Once some have crossed, the others are told beside their reasons.
  assert.deepEqual(fleetLines({ reasons: [reasons[0], of('b', '2 vCPUs hung')], cohorts: [cohort('a'), cohort('b', 3)] }, ahead), [
    'b (linux-6.1.y): 2 vCPUs hung', '1 cohort of 2 has not crossed a boundary yet: a crosses 2^31 in about a',
  ]);

  // Where nobody can say when, the reasons are as they came.
  assert.deepEqual(fleetLines({ reasons, cohorts: [cohort('a'), cohort('b')] }, () => null), linesOf(reasons));
});
