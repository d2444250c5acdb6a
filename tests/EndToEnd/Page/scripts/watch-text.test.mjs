import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byUrgency, countsOf, hungText, plain, sinceText, summaryOf } from '../../../../src/SoakHost/Page/wwwroot/watch-text.js';

const vcpu = (vm, number, state) => ({ vm, vcpu: number, state });
const watched = {
  vms: [{ vm: 'db' }, { vm: 'empty' }, { vm: 'odd' }, { vm: 'web' }],
  vcpus: [vcpu('db', 0, 'running'), vcpu('odd', 0, 'a new state'), vcpu('web', 0, 'running'), vcpu('web', 1, 'hung'), vcpu('web', 2, 'starved')],
};

test('the worst VM is first, with its worst vCPU first, and a state that is not known is no better than unknown', () => {
  assert.deepEqual(byUrgency(watched).map(({ vm }) => vm.vm), ['web', 'odd', 'db', 'empty']);
  assert.deepEqual(byUrgency(watched)[0].vcpus.map(({ vcpu }) => vcpu), [1, 2, 0]);
});

test('states are counted, the worst first', () => {
  assert.deepEqual(countsOf(watched.vcpus).map(({ state, count }) => `${count} ${state}`), ['1 hung', '1 starved', '1 a new state', '2 running']);
  assert.match(summaryOf({ ...watched, looked_at: '2001-11-27T00:41:03Z' }), /^4 VMs, 5 vCPUs: 1 hung, .*2 running; looked at 27 Nov 2001 /);
  assert.equal(summaryOf({ vms: [], vcpus: [] }), '0 VMs, 0 vCPUs');
});

test('what is hung is a sentence with at most three names', () => {
  assert.equal(hungText([]), '');
  assert.equal(hungText([vcpu('web', 1, 'hung')]), '1 vCPU of VM web on this host is hung, with proof');
  assert.equal(
    hungText(['a', 'b', 'b', 'c', 'd'].map(vm => vcpu(vm, 0, 'hung'))), '5 vCPUs of VMs a, b, c and 1 more on this host are hung, with proof');
});

test('times below a second are none', () => {
  assert.deepEqual([0, 0.4, 5.2, 65].map(sinceText), ['less than 1 s', 'less than 1 s', '5 s', '1 min 5 s']);
});

test('a name has nothing in it that turns text around or is not seen', () => {
  assert.equal(plain('web\u202e71-\u2066\u200b\u0007'), 'web?71-???');
  assert.equal(plain('größe-日本-🐧'), 'größe-日本-🐧');
  assert.equal(hungText([vcpu('web\u202e71', 0, 'hung')]), '1 vCPU of VM web?71 on this host is hung, with proof');
});
