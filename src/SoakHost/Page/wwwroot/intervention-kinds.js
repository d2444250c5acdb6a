/** The interventions that the page offers: what their dialogs say, what they send, and how their effect shows in a report. */

import { counted } from './format.js';

/** @typedef {import('./types.js').Cohort} Cohort */
/** @typedef {'kernel' | 'migrate' | 'pause' | 'resume'} Kind */

/** @type {Record<Kind, { heading: (name: string) => string, confirm: string, effect: string, fields: string[] }>} */
export const DIALOGS = {
  kernel: {
    heading: name => `Patch the kernel of ${name}`,
    confirm: 'Patch kernel',
    effect: 'Live patch: all VMs of the cohort switch to the new kernel at the same tick and keep their state.',
    fields: ['kernel'],
  },
  migrate: {
    heading: name => `Live-migrate ${name}`,
    confirm: 'Live-migrate',
    effect: 'Live migration: each VM continues on another host. Its counter, mappings and roots start again.',
    fields: ['vm', 'counter'],
  },
  pause: {
    heading: name => `Pause the invalidations of ${name}`,
    confirm: 'Pause invalidations',
    effect: 'Pauses new invalidations until you resume them. Starved vCPUs recover; hung vCPUs stay hung.',
    fields: [],
  },
  resume: {
    heading: name => `Resume the invalidations of ${name}`,
    confirm: 'Resume invalidations',
    effect: 'Starts new invalidations again.',
    fields: [],
  },
};

/**
 * @param {Kind} kind
 * @param {{ kernel: string, vm: string, counter: string }} fields as they were filled in
 * @returns {object | string} the body of the request, or a sentence that says what is wrong
 */
export function bodyOf(kind, fields) {
  if (kind === 'kernel') return { kernel: fields.kernel };
  if (kind !== 'migrate') return {};
  const vm = fields.vm.trim().replaceAll(',', '');
  const counter = fields.counter.trim();
  if (vm !== '' && !/^\d{1,9}$/.test(vm)) return 'VM must be a whole number, or empty for all VMs.';
  return { ...(vm === '' ? {} : { vm: Number(vm) }), ...(counter === '' ? {} : { invalidate_seq: counter }) };
}

/**
 * @param {Kind} kind
 * @param {string} kernel that was asked for
 * @param {Cohort} before the request
 * @param {Cohort} now
 * @returns {string | null} the effect that a report shows, in a sentence; null while it shows none
 */
export function effectOf(kind, kernel, before, now) {
  const recovered = now.vcpu_recoveries - before.vcpu_recoveries;
  const recovery = recovered > 0 ? ` ${counted(recovered, 'hung vCPU')} recovered.` : '';
  switch (kind) {
    case 'kernel':
      // The patch and the recoveries that follow from it come in different reports.
      return now.kernel === kernel && (before.vcpus_hung === 0 || now.vcpus_hung === 0)
        ? `Done: ${now.name} runs ${now.kernel}.${recovery}`
        : null;
    case 'migrate':
      return BigInt(now.invalidate_seq.min) < BigInt(before.invalidate_seq.min)
        ? `Done: the lowest counter is now ${now.invalidate_seq.min}.${recovery}`
        : null;
    default:
      return now.invalidations_paused === (kind === 'pause')
        ? `Done: invalidations are ${kind === 'pause' ? 'paused' : 'running'}.`
        : null;
  }
}
