import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countOf, fragmentOf, ofStall, stateOf, titleOf } from '../../../../src/SoakHost/Page/wwwroot/incident-text.js';

const hang = ofStall('control', {
  vm: 2, vcpu: 0, state: 'hung', page: 17, invalidate_seq: '0x800003f3', snapshot: '0xffffffff800003f2', tick: 689152,
  last_progress: '2026-01-01T00:00:00Z', incident: 'hang:control/2/0@689152',
});

test('a title names the vCPU and the page, where there are any', () => {
  assert.equal(titleOf(hang), 'vCPU 0 of VM 2 hung on page 17');
  assert.equal(titleOf({ ...hang, kind: 'unsafe_install' }), 'Unsafe install on page 17, vCPU 0 of VM 2');
  assert.equal(titleOf({ ...hang, kind: 'accounting_error', vcpu: null, page: null }), 'Accounting error, VM 2');
});

test('a hang is recorded or not, of this run or an earlier one, or over', () => {
  assert.equal(stateOf(hang, false), 'hung, not recorded yet');
  assert.equal(stateOf({ ...hang, run: 2 }, false), 'hung');
  assert.equal(stateOf({ ...hang, run: 1 }, true), 'hung when run 1 ended');
  assert.match(stateOf({ ...hang, recovered: '2026-01-01T00:00:01Z', recovered_by: 'kernel at tick 7' }, false), /^recovered .* by kernel at tick 7$/);
  assert.equal(stateOf({ ...hang, kind: 'unsafe_install', run: 2 }, false), '');
});

test('the fragment is readable and keeps every character of the id', () => {
  assert.equal(fragmentOf(hang.id, null), '#incident=hang:control/2/0@689152');
  assert.equal(fragmentOf('hang:a&b/0/0@1', 3), '#incident=hang:a%26b/0/0@1&run=3');
});

test('a group says how many of what are where', () => {
  const of = (kind, count) => countOf({ kind, count, cohort: 'stable' });
  assert.deepEqual([of('hang', 4000), of('deadlock', 1), of('unsafe_install', 1), of('stale_mapping', 2), of('accounting_error', 3)], [
    '4,000 hung in stable', '1 deadlocked in stable', '1 unsafe install in stable', '2 stale mappings in stable',
    '3 accounting errors in stable',
  ]);
});
