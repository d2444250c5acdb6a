/**
 * What happened, newest first: the recorded incidents, and above them those that are not recorded yet, since incidents are with a
 * checkpoint. A row is a link to its timeline, so that it can be copied and opened elsewhere.
 */

import { request } from './api.js';
import { cloneOf, partsOf, patchChildren, setAttribute, setText } from './dom.js';
import { counterText, grouped, moment } from './format.js';

const FIRST_ROWS = 20;
const MORE_ROWS = 100;
const ROWS_MAX = 1000;
const REFRESH_MS = 5000;

// Longer than the default time between two checkpoints.
const RECORDED_MS = 12_000;

// What is seen to stall was last seen to get on up to some reports earlier.
const REPORTED_MS = 2000;

const ICONS = { hang: 'hung', unsafe_install: 'violation', accounting_error: 'warning' };

/** @typedef {import('./types.js').Incident} Incident */

const parts = partsOf(/** @type {HTMLElement} */ (document.getElementById('incidents')));

/** @type {WeakMap<Element, import('./dom.js').Parts>} */
const partsOfRows = new WeakMap();

/** @param {string} id @param {number | null} run @returns {string} the fragment that opens its timeline */
export function fragmentOf(id, run) {
  const readable = encodeURIComponent(id).replaceAll('%3A', ':').replaceAll('%2F', '/').replaceAll('%40', '@');
  return `#incident=${readable}${run === null ? '' : `&run=${run}`}`;
}

/** @param {Incident} incident */
const timeOf = incident => Date.parse(incident.first_seen ?? '');

/** @param {Incident} incident @returns {string} "vCPU 0 of VM 2 hung on page 17" */
export function titleOf({ kind, vm, vcpu, page }) {
  const who = vcpu === null ? `VM ${vm}` : `vCPU ${vcpu} of VM ${vm}`;
  const where = page === null ? '' : ` on page ${page}`;
  return kind === 'hang'
    ? `${who} hung${where}`
    : kind === 'unsafe_install'
      ? `Unsafe install${where}, ${who}`
      : `Accounting error, ${who}`;
}

export class IncidentList {
  constructor() {
    /** @type {Incident[]} */
    this.recorded = [];
    /** @type {Incident[]} */
    this.unrecorded = [];
    this.hasMore = false;
    this.rows = FIRST_ROWS;
    this.problem = '';
    this.signature = '';
    this.refreshed = 0;
    this.timer = 0;
    this.filter = '';
    /** @type {Map<string, string>} */
    this.expected = new Map();
    parts.older.addEventListener('click', () => {
      this.rows = Math.min(this.rows + MORE_ROWS, ROWS_MAX);
      this.refresh();
    });
    parts.filter.addEventListener('change', () => {
      this.filter = parts.filter.value;
      this.rows = FIRST_ROWS;
      this.recorded = [];
      this.refresh();
    });
  }

  /** @param {import('./types.js').Fleet} fleet */
  take(fleet) {
    this.expected = new Map(fleet.cohorts.map(cohort => [cohort.name, cohort.expect]));
    this.unrecorded = fleet.cohorts.flatMap(cohort =>
      cohort.stalled.filter(stall => stall.incident).map(stall => ofStall(cohort.name, stall)),
    );
    patchChildren(
      parts.filter,
      ['', ...this.expected.keys()],
      name => name,
      name => new Option(name || 'all', name),
      () => {},
    );

    // Fetched when something happened, and once more when what happened must be recorded.
    const signature = JSON.stringify([
      fleet.started,
      ...fleet.cohorts.map(cohort => [
        cohort.vcpus_hung,
        cohort.vcpu_recoveries,
        cohort.unsafe_installs,
        cohort.accounting_errors,
      ]),
    ]);
    if (signature !== this.signature) {
      this.signature = signature;
      this.refreshWithin(0);
      this.recheck = Date.now() + RECORDED_MS;
    } else if (this.recheck && Date.now() > this.recheck) {
      this.recheck = 0;
      this.refreshWithin(0);
    }
    this.show();
  }

  /** @param {number} ms */
  refreshWithin(ms) {
    this.timer ||= setTimeout(() => this.refresh(), Math.max(ms, this.refreshed + REFRESH_MS - Date.now()));
  }

  async refresh() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.refreshed = Date.now();
    const filter = this.filter;
    try {
      const page = await request(`incidents?limit=${this.rows}${filter ? `&cohort=${encodeURIComponent(filter)}` : ''}`);
      if (filter !== this.filter) return;
      this.recorded = page.incidents;
      this.hasMore = page.next !== null;
      this.problem = '';
    } catch (error) {
      this.problem = `Recorded incidents cannot be shown. ${/** @type {Error} */ (error).message}`;
      this.refreshWithin(REFRESH_MS);
    }
    this.show();
  }

  /** @returns {Incident[]} newest first */
  listed() {
    const known = new Set(this.recorded.map(incident => incident.id));
    const fresh = this.unrecorded.filter(
      incident => !known.has(incident.id) && (!this.filter || incident.cohort === this.filter) && !this.isOld(incident),
    );
    return [...fresh.sort((a, b) => b.tick - a.tick || b.vm - a.vm), ...this.recorded];
  }

  /**
   * Stalled vCPUs that are not among the rows that were fetched may be recorded all the same: those that hung well before the newest
   * one that is, or long ago.
   * @param {Incident} incident
   */
  isOld(incident) {
    if (!this.hasMore) return false;
    const seen = timeOf(incident);
    const newest = this.recorded.find(({ cohort }) => cohort === incident.cohort);
    return seen < Date.now() - 2 * RECORDED_MS || (newest !== undefined && seen + REPORTED_MS < timeOf(newest));
  }

  show() {
    const listed = this.listed();
    const incidents = listed.slice(0, this.rows);
    const hasMore = this.hasMore || listed.length > this.rows;

    // An incident keeps its row, and the row its focus, as it is recorded. An older run may have had one of the same id.
    const newest = new Map(incidents.toReversed().map(incident => [incident.id, incident]));
    const keyOf = (/** @type {Incident} */ incident) =>
      newest.get(incident.id) === incident ? incident.id : `${incident.id} ${incident.run}`;
    patchChildren(parts.list, incidents, keyOf, createRow, (row, incident) =>
      this.showRow(/** @type {HTMLElement} */ (row), incident),
    );
    parts.older.hidden = !hasMore || this.rows >= ROWS_MAX;
    setText(parts.summary, incidents.length === 0 ? '' : `The newest ${grouped(incidents.length)}${hasMore ? ' of more' : ''}`);
    parts.empty.hidden = incidents.length > 0 && !this.problem;
    setText(parts.empty, this.problem || 'None so far.');
  }

  /**
   * @param {HTMLElement} row
   * @param {Incident} incident
   */
  showRow(row, incident) {
    const fields = /** @type {import('./dom.js').Parts} */ (partsOfRows.get(row));
    const isExpected = this.expected.get(incident.cohort) === incident.kind;
    setAttribute(row, 'data-expected', String(isExpected));
    setAttribute(row, 'data-state', incident.recovered ? 'recovered' : incident.kind === 'hang' ? 'hung' : 'seen');
    setText(fields.expected, isExpected ? 'as expected' : 'unexpected');
    setText(fields.state, stateOf(incident));
    setAttribute(fields.link, 'href', fragmentOf(incident.id, incident.run));
    setText(fields.time, moment(/** @type {string} */ (incident.first_seen)));
    setAttribute(fields.time, 'datetime', incident.first_seen);
  }

  /**
   * The incident of a vCPU that is hung now.
   * @param {string} cohort
   * @param {{ vm: number, vcpu: number | null }} from any vCPU where it is null
   * @param {number} vms how many to look at from there
   * @returns {Promise<Incident | null>}
   */
  async find(cohort, from, vms) {
    const isIt = (/** @type {Incident} */ incident) =>
      incident.cohort === cohort &&
      incident.kind === 'hang' &&
      !incident.recovered &&
      incident.vm >= from.vm &&
      incident.vm < from.vm + vms &&
      (from.vcpu === null || incident.vcpu === from.vcpu);
    const known = [...this.recorded, ...this.unrecorded].find(isIt);
    if (known) return known;
    const page = await request(`incidents?limit=${ROWS_MAX}&cohort=${encodeURIComponent(cohort)}`).catch(() => ({
      incidents: [],
    }));
    return page.incidents.find(isIt) ?? null;
  }
}

/**
 * @param {string} cohort
 * @param {import('./types.js').Stall} stall
 * @returns {Incident}
 */
function ofStall(cohort, stall) {
  return {
    id: /** @type {string} */ (stall.incident),
    run: null,
    kind: 'hang',
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

/** @param {Incident} incident */
function stateOf({ kind, run, recovered, recovered_by: by }) {
  if (recovered) return `recovered ${moment(recovered)}${by ? ` by ${by}` : ''}`;
  return run === null ? 'hung, not recorded yet' : kind === 'hang' ? 'hung' : '';
}

/** @param {Incident} incident */
function createRow(incident) {
  const row = cloneOf('incident-row');
  const fields = partsOf(row);
  partsOfRows.set(row, fields);
  row.dataset.incident = incident.id;
  row.dataset.kind = incident.kind;
  row.dataset.cohort = incident.cohort;
  setAttribute(fields.icon, 'href', `#icon-${ICONS[incident.kind]}`);
  setText(fields.title, titleOf(incident));
  setText(fields.cohort, incident.cohort);
  setText(fields.seq, counterText(incident.invalidate_seq));
  return row;
}
