import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyOf, DIALOGS, effectOf } from '../../../../src/SoakHost/Page/wwwroot/intervention-kinds.js';

const cohort = (more = {}) => ({
  name: 'control', kernel: 'linux-6.1', vcpus_hung: 0, vcpu_recoveries: 0, invalidations_paused: false,
  invalidate_seq: { min: '0x80000000' }, ...more,
});

test('a migration sends only what was filled in, and a VM must be a number', () => {
  const migrate = (vm, counter) => bodyOf('migrate', { kernel: '', vm, counter });
  assert.deepEqual(migrate('', ' '), {});
  assert.deepEqual(migrate(' 1,234 ', '2^31-1'), { vm: 1234, invalidate_seq: '2^31-1' });
  for (const wrong of ['-1', '1.5', 'x', '1234567890'])
    assert.equal(migrate(wrong, ''), 'VM must be a whole number, or empty for all VMs.');
});

test('the other kinds send a kernel or nothing', () => {
  const fields = { kernel: 'linux-6.9', vm: '3', counter: '4' };
  assert.deepEqual(Object.keys(DIALOGS).filter(kind => kind !== 'migrate').map(kind => bodyOf(kind, fields)), [
    { kernel: 'linux-6.9' }, {}, {},
  ]);
});

test('a patch has taken effect when the kernel runs and nothing hangs any more', () => {
  const before = cohort({ vcpus_hung: 64, vcpu_recoveries: 1 });
  const after = more => effectOf('kernel', 'linux-6.1.y', before, cohort(more));
  assert.equal(after({ vcpus_hung: 64, vcpu_recoveries: 1 }), null);
  assert.equal(after({ kernel: 'linux-6.1.y', vcpus_hung: 3, vcpu_recoveries: 62 }), null);
  assert.equal(after({ kernel: 'linux-6.1.y', vcpu_recoveries: 65 }), 'Done: control runs linux-6.1.y. 64 hung vCPUs recovered.');
  assert.equal(
    effectOf('kernel', 'linux-6.1', cohort({ kernel: 'linux-6.1.y' }), cohort({ vcpus_hung: 9 })), 'Done: control runs linux-6.1.',
  );
});

test('a migration shows in the lowest counter, with all of its 64 bits', () => {
  const before = cohort({ invalidate_seq: { min: '0x20000000000001' } });
  const after = min => effectOf('migrate', '', before, cohort({ invalidate_seq: { min }, vcpu_recoveries: 1 }));
  assert.equal(after('0x20000000000001'), null);
  assert.equal(after('0x20000000000000'), 'Done: the lowest counter is now 0x20000000000000. 1 hung vCPU recovered.');
});

test('pausing and resuming show in the cohort', () => {
  const seen = (kind, isPaused) => effectOf(kind, '', cohort(), cohort({ invalidations_paused: isPaused }));
  assert.deepEqual([seen('pause', true), seen('resume', false)], ['Done: invalidations are paused.', 'Done: invalidations are running.']);
  assert.deepEqual([seen('pause', false), seen('resume', true)], [null, null]);
});
