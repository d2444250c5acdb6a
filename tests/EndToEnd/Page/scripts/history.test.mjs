import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateHistory } from '../../../../src/SoakHost/Page/wwwroot/history.js';

/** @param {number} second @param {Record<string, number>} cohorts operations by name @param {string} [started] */
const report = (second, cohorts, started = 'once') => ({
  started,
  time: new Date(1_800_000_000_000 + 1000 * second).toISOString(),
  cohorts: Object.entries(cohorts).map(([name, operations]) => ({ name, operations })),
});

/** @param {...ReturnType<typeof report>} reports */
function historyOf(...reports) {
  const history = new RateHistory();
  for (const each of reports) history.add(each);
  return history;
}

test('a rate needs two reports and is the average of the last five seconds', () => {
  assert.equal(historyOf(report(0, { a: 100 })).rate('a'), null);
  assert.equal(historyOf(report(0, { a: 100 }), report(2, { a: 500 })).rate('a'), 200);
  assert.equal(historyOf(report(0, { a: 0 }), report(1, { a: 1000 }), report(6, { a: 1000 }), report(7, { a: 1100 })).rate('a'), 50);
  assert.equal(historyOf().rate('a'), null);
});

test('the total is over the cohorts that are there, and one that goes takes its samples with it', () => {
  const history = historyOf(report(0, { a: 0, b: 0 }), report(1, { a: 100, b: 10 }));
  assert.equal(history.total(), 110);
  history.add(report(2, { b: 20 }));
  assert.equal(history.total(), 10);
  history.add(report(3, { a: 5, b: 30 }));
  assert.deepEqual([history.rate('a'), history.samples('a')], [null, []]);
});

test('two minutes are kept', () => {
  const history = historyOf(...Array.from({ length: 200 }, (_, second) => report(second, { a: second })));
  assert.equal(history.samples('a').length, 120);
});

test('after a restart, and in another cohort of the same name, rates begin anew', () => {
  const before = [report(0, { a: 100 }), report(1, { a: 200 })];
  assert.deepEqual(historyOf(...before, report(2, { a: 300 }, 'again')).samples('a'), []);
  assert.deepEqual(historyOf(...before, report(2, { a: 50 })).samples('a'), []);
});

test('a report of the same time changes nothing', () => {
  const history = historyOf(report(0, { a: 100 }), report(1, { a: 200 }), report(1, { a: 250 }));
  assert.equal(history.samples('a').length, 1);
});

test('when the clock is set back the samples from before it go', () => {
  const history = historyOf(report(3600, { a: 100 }), report(3601, { a: 200 }), report(0, { a: 300 }));
  assert.deepEqual(history.samples('a'), []);
  history.add(report(1, { a: 340 }));
  assert.deepEqual(history.samples('a').map(sample => sample.rate), [40]);
  assert.equal(history.rate('a'), 40);
});

test('a cohort that only retries has operations and no progress', () => {
  const at = (second, operations, guest_accesses) => ({
    started: 'once', time: new Date(1_800_000_000_000 + 1000 * second).toISOString(),
    cohorts: [{ name: 'a', operations, guest_accesses, invalidations: null }, { name: 'b', operations: 0, guest_accesses: 0 }],
  });
  const history = historyOf(at(0, 0, 70), at(1, 900, 70), at(2, 1800, 70));
  assert.deepEqual([history.rate('a'), history.rate('a', 'accesses'), history.rate('a', 'invalidations')], [900, 0, null]);
  assert.deepEqual([history.total(), history.total('accesses')], [900, 0]);
  assert.equal(historyOf(at(0, 0, null), at(1, 900, null)).rate('a', 'accesses'), null);
});
