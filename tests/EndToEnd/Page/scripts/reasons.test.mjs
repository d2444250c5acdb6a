import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linesOf } from '../../../../src/SoakHost/Page/wwwroot/reasons.js';

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
