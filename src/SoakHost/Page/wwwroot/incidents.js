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
const REFRESH_MAX_MS = 15_000;
const COHORTS_MAX = 1000;

// Longer than the default time between two checkpoints.
const RECORDED_MS = 12_000;

// What is seen to stall was last seen to get on up to some reports earlier.
const REPORTED_MS = 2000;

const ICONS = { hang: 'hung', unsafe_install: 'violation', stale_mapping: 'violation', accounting_error: 'warning' };

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
    this.recheck = 0;
    this.timer = 0;
    this.turn = 0;
    this.answered = 0;
    this.filter = '';
    /** @type {number | null} the present run's, null as long as it has none */
    this.run = null;
    /** @type {Map<string, string>} also of cohorts that were removed, whose incidents are still listed */
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
    const run = fleet.run ?? null;
    if (run !== this.run) this.expected.clear();
    this.run = run;
    for (const { name, expect } of fleet.cohorts) this.expected.set(name, expect);
    for (const name of [...this.expected.keys()].slice(0, Math.max(0, this.expected.size - COHORTS_MAX))) this.expected.delete(name);
    this.unrecorded = fleet.cohorts.flatMap(cohort =>
      cohort.stalled.filter(stall => stall.incident).map(stall => ofStall(cohort.name, stall)),
    );
    this.showFilter(fleet.cohorts.map(cohort => cohort.name));

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
    } else if ((this.recheck > 0 && Date.now() > this.recheck) || Date.now() > this.refreshed + REFRESH_MAX_MS) {
      // Checkpoints may be up to an hour apart: what happened may be recorded at any time.
      this.recheck = 0;
      this.refreshWithin(0);
    }
    this.show();
  }

  /**
   * A service that has just started has no cohorts yet, and one that is looked at may be removed: neither ends the filter.
   * @param {readonly string[]} cohorts
   */
  showFilter(cohorts) {
    if (cohorts.length === 0) return;
    patchChildren(
      parts.filter,
      ['', ...cohorts, ...(this.filter === '' || cohorts.includes(this.filter) ? [] : [this.filter])],
      name => name,
      name => new Option(name, name),
      () => {},
    );
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
    const turn = ++this.turn;

    // Answers may overtake each other, and one to another question is none to this.
    const isOutdated = () => {
      if (turn < this.answered || filter !== this.filter) return true;
      this.answered = turn;
      return false;
    };
    try {
      const page = await request(`incidents?limit=${this.rows}${filter ? `&cohort=${encodeURIComponent(filter)}` : ''}`);
      if (isOutdated()) return;
      this.recorded = page.incidents;
      this.hasMore = page.next !== null;
      this.problem = '';
    } catch (error) {
      if (isOutdated()) return;
      this.problem = `Recorded incidents cannot be shown. ${/** @type {Error} */ (error).message}`;
      this.refreshWithin(REFRESH_MS);
    }
    this.show();
  }

  /** @returns {Incident[]} newest first */
  listed() {
    const known = new Set(this.recorded.filter(({ run }) => run === this.run).map(({ id }) => id));
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
    // Earlier runs come after all of the present one.
    if (!this.hasMore || this.recorded.some(({ run }) => run !== this.run)) return false;
    const seen = timeOf(incident);
    const newest = this.recorded.find(({ cohort }) => cohort === incident.cohort);
    return seen < Date.now() - 2 * RECORDED_MS || (newest !== undefined && seen + REPORTED_MS < timeOf(newest));
  }

  show() {
    const listed = this.listed();
    const incidents = listed.slice(0, this.rows);
    const hasMore = this.hasMore || listed.length > this.rows;

    // An incident keeps its row, and the row its focus, as it is recorded. An earlier run may have had one of the same id.
    const keyOf = (/** @type {Incident} */ incident) => `${incident.id} ${incident.run ?? this.run}`;
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
    const isPast = incident.run !== null && incident.run !== this.run;

    // What an earlier run was meant to show is not known here.
    const expect = isPast ? undefined : this.expected.get(incident.cohort);
    const expected = expect === undefined ? 'unknown' : expect === incident.kind ? 'true' : 'false';
    const stillSo = incident.kind !== 'hang' ? 'seen' : isPast ? 'past' : 'hung';
    setAttribute(row, 'data-expected', expected);
    setAttribute(row, 'data-state', incident.recovered ? 'recovered' : stillSo);
    setText(fields.expected, { true: 'as expected', false: 'unexpected', unknown: '' }[expected]);
    setText(fields.state, stateOf(incident, isPast));
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
    const known = [...this.unrecorded, ...this.recorded.filter(({ run }) => run === this.run)].find(isIt);
    if (known || this.run === null) return known ?? null;
    const where = new URLSearchParams({ limit: '1', hung: 'true', run: `${this.run}`, cohort, vm: `${from.vm}`, vms: `${vms}` });
    if (from.vcpu !== null) where.set('vcpu', `${from.vcpu}`);
    const page = await request(`incidents?${where}`).catch(() => ({ incidents: [] }));
    return page.incidents[0] ?? null;
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

/** @param {Incident} incident @param {boolean} isPast whether it is of an earlier run */
function stateOf({ kind, run, recovered, recovered_by: by }, isPast) {
  if (recovered) return `recovered ${moment(recovered)}${by ? ` by ${by}` : ''}`;
  if (kind !== 'hang') return '';
  return run === null ? 'hung, not recorded yet' : isPast ? `hung as run ${run} ended` : 'hung';
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
