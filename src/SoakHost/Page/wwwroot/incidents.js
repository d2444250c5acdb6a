/**
 * The list of incidents, newest first. Incidents are recorded with the next checkpoint; hangs that are not recorded yet come from the
 * report and stand above the others. A row is a link to its timeline, so people can copy it and open it elsewhere.
 */

import { request } from './api.js';
import { cloneOf, partsOf, patchChildren, setAttribute, setText } from './dom.js';
import { counted, counterText, grouped, moment } from './format.js';
import { fragmentOf, lasts, ofStall, stateOf, titleOf } from './incident-text.js';

const FIRST_ROWS = 20;
const MORE_ROWS = 100;
const ROWS_MAX = 1000;
const REFRESH_MS = 5000;
const REFRESH_MAX_MS = 15_000;
const COHORTS_MAX = 1000;

// Longer than the default time between two checkpoints.
const RECORDED_MS = 12_000;

// The last progress that a report gives for a stalled vCPU can be a few reports old.
const REPORTED_MS = 2000;

const ICONS = { hang: 'hung', unsafe_install: 'violation', stale_mapping: 'violation', accounting_error: 'warning', deadlock: 'hung' };

/** @typedef {import('./types.js').Incident} Incident */

const parts = partsOf(/** @type {HTMLElement} */ (document.getElementById('incidents')));

/** @type {WeakMap<Element, import('./dom.js').Parts>} */
const partsOfRows = new WeakMap();

/** @param {Incident} incident */
const timeOf = incident => Date.parse(incident.first_seen ?? '');

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
    /** @type {Map<string, string>} also of removed cohorts, whose incidents stay in the list */
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

    // Fetch when something happened, and once more when a checkpoint must have recorded it.
    const signature = JSON.stringify([
      fleet.started,
      ...fleet.cohorts.map(cohort => [
        cohort.vcpus_hung,
        cohort.vcpu_recoveries,
        cohort.unsafe_installs,
        cohort.stale_mappings,
        cohort.accounting_errors,
      ]),
    ]);
    if (signature !== this.signature) {
      this.signature = signature;
      this.refreshWithin(0);
      this.recheck = Date.now() + RECORDED_MS;
    } else if ((this.recheck > 0 && Date.now() > this.recheck) || Date.now() > this.refreshed + REFRESH_MAX_MS) {
      // Checkpoints can be an hour apart, so an incident can be recorded at any time.
      this.recheck = 0;
      this.refreshWithin(0);
    }
    this.show();
  }

  /**
   * Keeps the chosen cohort even while it is not in the report: the service may just have started, or the cohort was removed.
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

    // Answers can overtake each other, and the filter can change in between.
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
      this.problem = `Recorded incidents could not be loaded. ${/** @type {Error} */ (error).message}`;
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
   * Whether the hang of a stalled vCPU must be recorded already, on a page that was not fetched: it began well before the newest
   * recorded one of its cohort, or long ago.
   * @param {Incident} incident
   */
  isOld(incident) {
    // Incidents of earlier runs come after all of the present run's.
    if (!this.hasMore || this.recorded.some(({ run }) => run !== this.run)) return false;
    const seen = timeOf(incident);
    const newest = this.recorded.find(({ cohort }) => cohort === incident.cohort);
    return seen < Date.now() - 2 * RECORDED_MS || (newest !== undefined && seen + REPORTED_MS < timeOf(newest));
  }

  show() {
    const listed = this.listed();
    const incidents = listed.slice(0, this.rows);
    const hasMore = this.hasMore || listed.length > this.rows;

    // The key stays when an incident is recorded, so its row keeps the focus. An earlier run can have an incident of the same id.
    const keyOf = (/** @type {Incident} */ incident) => `${incident.id} ${incident.run ?? this.run}`;
    patchChildren(parts.list, incidents, keyOf, createRow, (row, incident) =>
      this.showRow(/** @type {HTMLElement} */ (row), incident),
    );
    parts.older.hidden = !hasMore || this.rows >= ROWS_MAX;
    const shown = hasMore ? `Newest ${grouped(incidents.length)}` : counted(incidents.length, 'incident');
    setText(parts.summary, incidents.length === 0 ? '' : shown);
    parts.empty.hidden = incidents.length > 0 && !this.problem;
    setText(parts.empty, this.problem || 'No incidents yet.');
  }

  /**
   * @param {HTMLElement} row
   * @param {Incident} incident
   */
  showRow(row, incident) {
    const fields = /** @type {import('./dom.js').Parts} */ (partsOfRows.get(row));
    const isPast = incident.run !== null && incident.run !== this.run;

    // The page does not know what was expected in an earlier run.
    const expect = isPast ? undefined : this.expected.get(incident.cohort);
    const expected = expect === undefined ? 'unknown' : expect === incident.kind ? 'true' : 'false';
    const stillSo = !lasts(incident.kind) ? 'seen' : isPast ? 'past' : 'hung';
    setAttribute(row, 'data-expected', expected);
    setAttribute(row, 'data-state', incident.recovered ? 'recovered' : stillSo);
    setText(fields.expected, { true: 'as expected', false: 'unexpected', unknown: '' }[expected]);
    setText(fields.state, stateOf(incident, isPast));
    setAttribute(fields.link, 'href', fragmentOf(incident.id, incident.run));
    setText(fields.time, moment(/** @type {string} */ (incident.first_seen)));
    setAttribute(fields.time, 'datetime', incident.first_seen);
  }

  /**
   * Finds the incident of a vCPU that is hung now.
   * @param {string} cohort
   * @param {{ vm: number, vcpu: number | null }} from the first VM; any vCPU where vcpu is null
   * @param {number} vms how many VMs from there
   * @returns {Promise<Incident | null>}
   */
  async find(cohort, from, vms) {
    const isIt = (/** @type {Incident} */ incident) =>
      incident.cohort === cohort &&
      lasts(incident.kind) &&
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
