/**
 * The incidents in groups: those of one kind in one cohort and one run. The unexpected ones come first. A group opens to its incidents,
 * newest first; each is a link to its timeline, so people can copy it and open it elsewhere. Incidents are recorded with the next
 * checkpoint; hangs that are not recorded yet come from the report.
 */

import { request } from './api.js';
import { cloneOf, partsOf, patchChildren, setAttribute, setText } from './dom.js';
import { isExpected } from './expectation.js';
import { counted, counterText, grouped, longMoment, span } from './format.js';
import { countOf, fragmentOf, lasts, ofStall, stateOf, titleOf } from './incident-text.js';

const FIRST_ROWS = 20;
const FIRST_ROWS_FEW = 5;
const MORE_ROWS = 100;
const ROWS_MAX = 1000;
const REFRESH_MS = 5000;

// The service counts every incident that it keeps: where that takes long, the page asks less often.
const REST_FOR_EACH_MS = 20;
const REFRESH_MAX_MS = 15_000;
const COHORTS_MAX = 1000;

// Longer than the default time between two checkpoints.
const RECORDED_MS = 12_000;

// The last progress that a report gives for a stalled vCPU can be a few reports old.
const REPORTED_MS = 2000;

const ICONS = { hang: 'hung', unsafe_install: 'violation', stale_mapping: 'violation', accounting_error: 'warning', deadlock: 'hung' };

/** @typedef {import('./types.js').Incident} Incident */
/** @typedef {import('./types.js').IncidentGroup} IncidentGroup */

/**
 * What is known of the incidents of a group.
 * @typedef {object} Rows
 * @property {boolean} isOpen
 * @property {boolean} mustOpen whether the page itself opens the group, and has not done so yet
 * @property {number} limit
 * @property {boolean} isFetched
 * @property {boolean} isShown whether incidents that are not recorded were shown already
 * @property {Incident[]} recorded newest first
 * @property {boolean} hasMore
 * @property {string} problem
 */

const parts = partsOf(/** @type {HTMLElement} */ (document.getElementById('incidents')));
const small = matchMedia('(max-width: 34rem)');

/** @type {WeakMap<Element, import('./dom.js').Parts>} */
const partsOfElements = new WeakMap();

/** @param {Incident} incident */
const timeOf = incident => Date.parse(incident.first_seen ?? '');

export class IncidentList {
  constructor() {
    /** @type {IncidentGroup[]} */
    this.recorded = [];
    /** @type {Incident[]} */
    this.unrecorded = [];
    /** @type {Map<string, Rows>} */
    this.rows = new Map();
    this.problem = '';
    this.signature = '';
    this.refreshed = 0;
    this.interval = REFRESH_MS;
    this.recheck = 0;
    this.timer = 0;
    this.turn = 0;
    this.answered = 0;
    this.filter = '';
    this.isLive = false;
    this.hasOpened = false;
    /** @type {number | null} the present run's, null as long as it has none */
    this.run = null;
    /** The present run's, also of removed cohorts, whose incidents stay in the list. @type {Map<string, import('./types.js').Cohort>} */
    this.cohorts = new Map();
    parts.filter.addEventListener('change', () => {
      this.filter = parts.filter.value;
      this.recorded = [];
      this.refresh();
    });
  }

  /** @param {boolean} isLive whether there is a service to ask */
  setLive(isLive) {
    this.isLive = isLive;
    parts.filter.disabled = !isLive;
    this.show();
  }

  /** @param {import('./types.js').Fleet} fleet */
  take(fleet) {
    const run = fleet.run ?? null;
    if (run !== this.run) this.cohorts.clear();
    this.run = run;
    const present = new Set(fleet.cohorts.map(({ name }) => name));
    for (const [name, cohort] of this.cohorts) {
      if (!present.has(name)) this.cohorts.set(name, { ...cohort, vcpus_hung: 0, stalled: [] });
    }
    for (const cohort of fleet.cohorts) this.cohorts.set(cohort.name, cohort);
    for (const name of [...this.cohorts.keys()].slice(0, Math.max(0, this.cohorts.size - COHORTS_MAX))) this.cohorts.delete(name);
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
    this.timer ||= setTimeout(() => this.refresh(), Math.max(ms, this.refreshed + this.interval - Date.now()));
  }

  /** Fetches the groups, and the incidents of those that are open. */
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
      const answer = await request(`incidents/groups${filter ? `?cohort=${encodeURIComponent(filter)}` : ''}`);
      this.interval = Math.max(REFRESH_MS, REST_FOR_EACH_MS * (Date.now() - this.refreshed));
      if (isOutdated()) return;
      this.recorded = answer.groups;
      this.problem = '';
    } catch (error) {
      if (isOutdated()) return;
      this.problem = `Recorded incidents could not be loaded. ${/** @type {Error} */ (error).message}`;
      this.refreshWithin(REFRESH_MS);
    }
    this.show();
    await Promise.all(this.recorded.filter(group => this.rowsOf(group).isOpen).map(group => this.fetchRows(group)));
  }

  /** @param {IncidentGroup} group a recorded one */
  async fetchRows(group) {
    const rows = this.rowsOf(group);
    const where = new URLSearchParams({ limit: `${rows.limit}`, run: `${group.run}`, cohort: group.cohort, kind: group.kind });
    try {
      const page = await request(`incidents?${where}`);

      // An answer that was overtaken by that to a later question has fewer rows than were asked for by then, or older ones.
      const isOlder = rows.recorded.length > 0 && page.incidents.length > 0 && timeOf(page.incidents[0]) < timeOf(rows.recorded[0]);
      if (where.get('limit') !== `${rows.limit}` || isOlder) return;
      rows.recorded = page.incidents;
      rows.hasMore = page.next !== null;
      rows.isFetched = true;
      rows.problem = '';
    } catch (error) {
      rows.problem = `These incidents could not be loaded. ${/** @type {Error} */ (error).message}`;
    }
    this.show();
  }

  /** @param {IncidentGroup} group */
  keyOf({ run, cohort, kind }) {
    return `${run ?? this.run} ${kind} ${cohort}`;
  }

  /** @param {IncidentGroup} group @returns {Rows} */
  rowsOf(group) {
    const key = this.keyOf(group);
    const known = this.rows.get(key);
    if (known) return known;
    const limit = small.matches ? FIRST_ROWS_FEW : FIRST_ROWS;
    const [isOpen, mustOpen, isFetched, isShown] = [false, false, false, false];
    const rows = { isOpen, mustOpen, isFetched, isShown, limit, recorded: [], hasMore: false, problem: '' };
    this.rows.set(key, rows);
    return rows;
  }

  /** @param {{ run: number | null }} group */
  isPast({ run }) {
    return run !== null && run !== this.run;
  }

  /** @returns {IncidentGroup[]} the unexpected ones first, those of earlier runs last, else the newest first */
  groups() {
    const groups = this.recorded.map(group => this.withReport(group));
    const known = new Set(groups.map(group => this.keyOf(group)));
    for (const { cohort, kind } of this.unrecorded) {
      /** @type {IncidentGroup} */
      const group = { run: null, cohort, kind, count: 0, first_seen: null, newest_seen: null, expected: null };
      if (known.has(this.keyOf(group)) || (this.filter && this.filter !== cohort)) continue;
      known.add(this.keyOf(group));
      groups.push(this.withReport(group));
    }
    const rank = (/** @type {IncidentGroup} */ group) => (this.isPast(group) ? 2 : 0) + (group.expected === false ? 0 : 1);
    return groups.sort((a, b) => rank(a) - rank(b) || Date.parse(b.newest_seen ?? '') - Date.parse(a.newest_seen ?? '') || 0);
  }

  /** A recorded group with what the report says of it. @param {IncidentGroup} group @returns {IncidentGroup} */
  withReport(group) {
    const cohort = this.isPast(group) ? undefined : this.cohorts.get(group.cohort);
    if (!cohort) return group;
    const times = this.freshOf(group).map(timeOf);
    const [first, newest] = [group.first_seen, group.newest_seen].map(time => Date.parse(time ?? ''));
    const [earliest, latest] = [Math.min(...times, first || Infinity), Math.max(...times, newest || -Infinity)];
    return {
      ...group,
      count: Math.max(group.count, lasts(group.kind) ? cohort.vcpus_hung : 0),
      first_seen: Number.isFinite(earliest) ? new Date(earliest).toISOString() : null,
      newest_seen: Number.isFinite(latest) ? new Date(latest).toISOString() : null,
      expected: group.expected ?? isExpected(group.kind, cohort.expect),
    };
  }

  /** @param {IncidentGroup} group @returns {Incident[]} those of the report that are not recorded, newest first */
  freshOf(group) {
    if (this.isPast(group)) return [];
    const rows = this.rows.get(this.keyOf(group));
    const known = new Set(rows?.recorded.map(({ id }) => id));
    const isFresh = (/** @type {Incident} */ incident) =>
      incident.cohort === group.cohort && incident.kind === group.kind && !known.has(incident.id) && !isOld(incident, rows);
    return this.unrecorded.filter(isFresh).sort((a, b) => b.tick - a.tick || b.vm - a.vm);
  }

  show() {
    const groups = this.groups();
    this.openFirst(groups);
    patchChildren(
      parts.list,
      groups,
      group => this.keyOf(group),
      group => this.createGroup(group),
      (element, group) => this.showGroup(/** @type {HTMLElement} */ (element), group),
    );
    const keys = new Set(groups.map(group => this.keyOf(group)));
    if (!this.filter) for (const key of this.rows.keys()) if (!keys.has(key)) this.rows.delete(key);
    const all = groups.reduce((sum, { count }) => sum + count, 0);
    setText(parts.summary, groups.length === 0 ? '' : counted(all, 'incident'));
    parts.empty.hidden = groups.length > 0 && !this.problem;
    setText(parts.empty, this.problem || 'No incidents yet.');
  }

  /** The first unexpected group opens a little by itself, once: nobody should have to look for it. @param {readonly IncidentGroup[]} groups */
  openFirst(groups) {
    const [first] = groups;
    if (this.hasOpened || !first || first.expected !== false || this.isPast(first)) return;
    this.hasOpened = true;
    const rows = this.rowsOf(first);
    rows.isOpen = true;
    rows.mustOpen = true;
    rows.limit = FIRST_ROWS_FEW;
    this.refreshWithin(0);
  }

  /** @param {IncidentGroup} group */
  createGroup(group) {
    const element = cloneOf('incident-group');
    const fields = partsOf(element);
    partsOfElements.set(element, fields);
    element.dataset.kind = group.kind;
    element.dataset.cohort = group.cohort;
    fields.details.open = this.rowsOf(group).isOpen;
    fields.details.addEventListener('toggle', () => {
      const rows = this.rowsOf(group);
      if (rows.isOpen === fields.details.open) return;
      rows.isOpen = fields.details.open;
      if (rows.isOpen) this.refresh();
      this.show();
    });
    fields.older.addEventListener('click', () => {
      const rows = this.rowsOf(group);
      rows.limit = Math.min(rows.limit + MORE_ROWS, ROWS_MAX);
      this.refresh();
    });
    return element;
  }

  /**
   * @param {HTMLElement} element
   * @param {IncidentGroup} group
   */
  showGroup(element, group) {
    const fields = /** @type {import('./dom.js').Parts} */ (partsOfElements.get(element));
    const isPast = this.isPast(group);
    const rows = this.rowsOf(group);
    const expected = group.expected === null ? 'unknown' : String(group.expected);
    setAttribute(element, 'data-expected', expected);
    setAttribute(element, 'data-run', isPast ? 'past' : 'present');
    setAttribute(fields.icon, 'href', `#icon-${lasts(group.kind) && group.expected ? 'expected' : ICONS[group.kind]}`);
    setText(fields.title, countOf(group));
    setText(fields.expected, { true: 'expected', false: 'unexpected', unknown: '' }[expected] ?? '');
    setText(fields.span, group.first_seen && group.newest_seen ? span(group.first_seen, group.newest_seen) : '');
    const hung = isPast || !lasts(group.kind) ? null : (this.cohorts.get(group.cohort)?.vcpus_hung ?? null);
    setText(fields.state, isPast ? `in run ${group.run}` : hung === null ? '' : hung === 0 ? 'none hung now' : `${grouped(hung)} hung now`);

    // Never closed here: the toggle event comes after the click, and a report between them must not undo the click.
    if (rows.mustOpen) fields.details.open = true;
    rows.mustOpen = false;
    if (rows.isOpen) this.showRows(fields, group, rows);
  }

  /**
   * @param {import('./dom.js').Parts} fields
   * @param {IncidentGroup} group
   * @param {Rows} rows
   */
  showRows(fields, group, rows) {
    // Until the recorded ones are known nobody can say which of the report's are not recorded.
    rows.isShown ||= group.run === null;
    const listed = [...(rows.isFetched || rows.isShown ? this.freshOf(group) : []), ...rows.recorded];
    const hasMore = rows.hasMore || listed.length > rows.limit;

    // The key stays when an incident is recorded, so its row keeps the focus.
    patchChildren(fields.rows, listed.slice(0, rows.limit), ({ id }) => id, createRow, (row, incident) =>
      this.showRow(/** @type {HTMLElement} */ (row), incident),
    );
    fields.older.hidden = !hasMore || rows.limit >= ROWS_MAX;
    fields.older.disabled = !this.isLive;
    fields.problem.hidden = !rows.problem;
    setText(fields.problem, rows.problem);
  }

  /**
   * @param {HTMLElement} row
   * @param {Incident} incident
   */
  showRow(row, incident) {
    const fields = /** @type {import('./dom.js').Parts} */ (partsOfElements.get(row));
    const isPast = this.isPast(incident);
    const stillSo = !lasts(incident.kind) ? 'seen' : isPast ? 'past' : 'hung';
    setAttribute(row, 'data-state', incident.recovered ? 'recovered' : stillSo);
    setText(fields.state, stateOf(incident, isPast));
    setAttribute(fields.link, 'href', fragmentOf(incident.id, incident.run));
    setText(fields.time, longMoment(/** @type {string} */ (incident.first_seen)));
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
    const recorded = [...this.rows.values()].flatMap(rows => rows.recorded);
    const known = [...this.unrecorded, ...recorded.filter(({ run }) => run === this.run)].find(isIt);
    if (known || this.run === null) return known ?? null;
    const where = new URLSearchParams({ limit: '1', hung: 'true', run: `${this.run}`, cohort, vm: `${from.vm}`, vms: `${vms}` });
    if (from.vcpu !== null) where.set('vcpu', `${from.vcpu}`);
    const page = await request(`incidents?${where}`).catch(() => ({ incidents: [] }));
    return page.incidents[0] ?? null;
  }
}

/**
 * Whether the hang of a stalled vCPU must be recorded already, on a page that was not fetched: it began well before the newest recorded
 * one, or long ago.
 * @param {Incident} incident
 * @param {Rows | undefined} rows
 */
function isOld(incident, rows) {
  if (!rows?.hasMore) return false;
  const seen = timeOf(incident);
  const [newest] = rows.recorded;
  return seen < Date.now() - 2 * RECORDED_MS || (newest !== undefined && seen + REPORTED_MS < timeOf(newest));
}

/** @param {Incident} incident */
function createRow(incident) {
  const row = cloneOf('incident-row');
  const fields = partsOf(row);
  partsOfElements.set(row, fields);
  row.dataset.incident = incident.id;
  row.dataset.kind = incident.kind;
  row.dataset.cohort = incident.cohort;
  setText(fields.title, titleOf(incident));
  setText(fields.seq, counterText(incident.invalidate_seq));
  return row;
}
