/** How an incident is written: its title, its state and the fragment that opens its timeline. */

import { counted, grouped, longMoment } from './format.js';

/** @typedef {import('./types.js').Incident} Incident */

/** @param {string} id @param {number | null} run @returns {string} the fragment that opens its timeline */
export function fragmentOf(id, run) {
  const readable = encodeURIComponent(id).replaceAll('%3A', ':').replaceAll('%2F', '/').replaceAll('%40', '@');
  return `#incident=${readable}${run === null ? '' : `&run=${run}`}`;
}

/** @param {import('./types.js').IncidentGroup} group @returns {string} "4,000 hung in stable" */
export function countOf({ kind, count, cohort }) {
  switch (kind) {
    case 'hang':
      return `${grouped(count)} hung in ${cohort}`;
    case 'deadlock':
      return `${grouped(count)} deadlocked in ${cohort}`;
    case 'unsafe_install':
      return `${counted(count, 'unsafe install')} in ${cohort}`;
    case 'stale_mapping':
      return `${counted(count, 'stale mapping')} in ${cohort}`;
    default:
      return `${counted(count, 'accounting error')} in ${cohort}`;
  }
}

/** @param {Incident} incident @returns {string} "vCPU 0 of VM 2 hung on page 17" */
export function titleOf({ kind, vm, vcpu, page }) {
  const who = vcpu === null ? `VM ${vm}` : `vCPU ${vcpu} of VM ${vm}`;
  const where = page === null ? '' : ` on page ${page}`;
  switch (kind) {
    case 'hang':
      return `${who} hung${where}`;
    case 'deadlock':
      return `${who} deadlocked${where}`;
    case 'unsafe_install':
      return `Unsafe install${where}, ${who}`;
    case 'stale_mapping':
      return `Stale mapping${where}, ${who}`;
    default:
      return `Accounting error, ${who}`;
  }
}

/** @param {Incident} incident @param {boolean} isPast whether it is of an earlier run */
export function stateOf({ kind, run, recovered, recovered_by: by }, isPast) {
  if (recovered) return `recovered ${longMoment(recovered)}${by ? ` by ${by}` : ''}`;
  if (!lasts(kind)) return '';
  const state = kind === 'hang' ? 'hung' : 'deadlocked';
  return run === null ? `${state}, not recorded yet` : isPast ? `${state} when run ${run} ended` : state;
}

/** @param {Incident['kind']} kind whether such an incident lasts until its vCPU recovers */
export const lasts = kind => kind === 'hang' || kind === 'deadlock';

/**
 * The incident of a vCPU that hangs now, which the data directory may not have yet.
 * @param {string} cohort
 * @param {import('./types.js').Stall} stall
 * @returns {Incident}
 */
export function ofStall(cohort, stall) {
  return {
    id: /** @type {string} */ (stall.incident),
    run: null,
    kind: stall.state === 'deadlocked' ? 'deadlock' : 'hang',
    cohort,
    vm: stall.vm,
    vcpu: stall.vcpu,
    tick: stall.tick,
    page: stall.page,
    invalidate_seq: stall.invalidate_seq,
    snapshot: stall.snapshot,
    first_seen: stall.last_progress,
    recovered: null,
    recovered_by: null,
  };
}
