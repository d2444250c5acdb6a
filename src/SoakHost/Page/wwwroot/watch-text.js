/** What is said of watched VMs. */

import { counted, duration, longMoment } from './format.js';

/** The worst first. */
const STATES = ['hung', 'run-failed', 'emulation-failed', 'stalled', 'starved', 'blocked-in-host', 'halt-spin', 'unknown', 'running'];

const VMS_NAMED_MAX = 3;

/** @typedef {import('./types.js').Watched} Watched */
/** @typedef {import('./types.js').WatchedVm} WatchedVm */
/** @typedef {import('./types.js').WatchedVcpu} WatchedVcpu */

/**
 * @param {string} text what others have named
 * @returns {string} the same with nothing in it that is not seen or that turns text around: one name must not look like another
 */
export const plain = text => text.replace(/[\p{Cc}\p{Cf}]/gu, '?');

/** @param {WatchedVcpu} vcpu */
const urgency = ({ state }) => (STATES.includes(state) ? STATES.indexOf(state) : STATES.indexOf('unknown'));

/**
 * @param {Watched} watched
 * @returns {{ vm: WatchedVm, vcpus: WatchedVcpu[] }[]} the VMs, the worst first; of each its vCPUs, the worst first
 */
export function byUrgency({ vms, vcpus }) {
  const all = vms.map(vm => ({
    vm,
    vcpus: vcpus.filter(vcpu => vcpu.vm === vm.vm).sort((one, other) => urgency(one) - urgency(other)),
  }));
  const worst = (/** @type {WatchedVcpu[]} */ [first]) => (first ? urgency(first) : STATES.length);
  return all.sort((one, other) => worst(one.vcpus) - worst(other.vcpus));
}

/** @param {readonly WatchedVcpu[]} vcpus @returns {{ state: string, count: number }[]} how many are in each state, the worst first */
export function countsOf(vcpus) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const vcpu of [...vcpus].sort((one, other) => urgency(one) - urgency(other)))
    counts.set(vcpu.state, (counts.get(vcpu.state) ?? 0) + 1);
  return [...counts].map(([state, count]) => ({ state, count }));
}

/** @param {Watched} watched @returns {string} "2 VMs, 5 vCPUs: 1 hung, 4 running; looked at 27 Nov 00:41:03" */
export function summaryOf({ vms, vcpus, looked_at }) {
  const counts = countsOf(vcpus).map(({ state, count }) => `${count} ${state}`);
  return (
    `${counted(vms.length, 'VM')}, ${counted(vcpus.length, 'vCPU')}${counts.length > 0 ? `: ${counts.join(', ')}` : ''}` +
    (looked_at ? `; looked at ${longMoment(looked_at)}` : '')
  );
}

/** @param {readonly WatchedVcpu[]} hung @returns {string} "2 vCPUs of VM web-17 on this host are hung, with proof"; empty for none */
export function hungText(hung) {
  if (hung.length === 0) return '';
  const names = [...new Set(hung.map(({ vm }) => vm))];
  const more = names.length - VMS_NAMED_MAX;
  const named = names.slice(0, VMS_NAMED_MAX).map(plain).join(', ');
  const of = `${names.length === 1 ? 'VM' : 'VMs'} ${named}${more > 0 ? ` and ${more} more` : ''}`;
  return `${counted(hung.length, 'vCPU')} of ${of} on this host ${hung.length === 1 ? 'is' : 'are'} hung, with proof`;
}

/** @param {number} seconds */
export const sinceText = seconds => (seconds < 1 ? 'less than 1 s' : duration(seconds));
