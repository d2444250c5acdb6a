/**
 * The VMs that other processes of this host run. The live page shows them where the service also watches; the watch's own page shows
 * nothing else. Whoever is on call must see a hung vCPU first: what is bad stands on top, with its proof.
 */

import { request } from './api.js';
import { patchChildren, setAttribute, setList, setText, textElement } from './dom.js';
import { byUrgency, countsOf, hungText, plain, sinceText, summaryOf } from './watch-text.js';

const REFRESH_MS = 5000;
const VMS_MAX = 200;
const VCPUS_MAX = 20;
const UNREAD_MAX = 20;

/** A service that does not look is worse than none: it shows old states as present ones. */
const OLD_MS = 60_000;

/** @typedef {import('./types.js').Watched} Watched */
/** @typedef {import('./types.js').WatchedVm} WatchedVm */
/** @typedef {import('./types.js').WatchedVcpu} WatchedVcpu */

export class WatchSection {
  /**
   * @param {HTMLElement} section an empty one
   * @param {(alarm: string, count: number) => void} onAlarm is told what is hung: a sentence, and how many vCPUs; empty and 0 for none
   */
  constructor(section, onAlarm) {
    this.section = section;
    this.onAlarm = onAlarm;
    this.timer = 0;
    this.isAsking = false;
    /** @type {Watched | null} */
    this.watched = null;
    this.answered = 0;
    const heading = textElement('h2', 'VMs of this host');
    heading.id = 'watch-heading';
    this.summary = textElement('p', '');
    const head = withClass('div', 'heading', heading, this.summary);
    this.problem = textElement('p', '', 'watch-problem');
    this.kernel = textElement('p', '', 'watch-kernel');
    this.body = document.createElement('table');
    this.body.className = 'summary-table watch-table';
    this.body.append(textElement('caption', 'The VMs of this host, those with hung vCPUs first', 'hidden'), headOf());
    this.more = textElement('p', '', 'empty');
    this.unreadHeading = textElement('h3', 'Not read');
    this.unread = withClass('ul', 'watch-unread');
    section.append(head, this.problem, this.kernel, this.body, this.more, this.unreadHeading, this.unread);
    this.problem.hidden = this.body.hidden = this.more.hidden = this.unreadHeading.hidden = true;
  }

  /** @param {boolean} isLive whether there is a service to ask */
  setLive(isLive) {
    clearInterval(this.timer);
    if (!isLive) return;
    this.section.hidden = false;
    this.timer = setInterval(() => this.refresh(), REFRESH_MS);
    this.refresh();
  }

  async refresh() {
    if (this.isAsking) {
      // An answer that does not come must not keep old states looking like present ones.
      this.show(this.watched, '');
      return;
    }
    this.isAsking = true;
    try {
      this.watched = await request('watch');
      this.answered = performance.now();
      this.show(this.watched, '');
    } catch (error) {
      this.show(this.watched, /** @type {Error} */ (error).message);
    } finally {
      this.isAsking = false;
    }
  }

  /**
   * @param {Watched | null} watched
   * @param {string} problem why there is nothing newer; empty where there is
   */
  show(watched, problem) {
    const at = watched?.looked_at ? Date.parse(watched.looked_at) : null;
    // By the service's clock alone: that of the browser may be another.
    const age = watched && at !== null ? Date.parse(watched.answered_at) - at + performance.now() - this.answered : 0;
    const why = problem
      ? `The watch cannot be asked: ${problem} What is shown is old.`
      : age > OLD_MS
        ? `The host was last looked at ${sinceText(age / 1000)} ago: what is shown is old.`
        : '';
    setText(this.problem, why);
    this.problem.hidden = why === '';
    if (!watched) return;
    setText(this.summary, at === null ? 'The host was not looked at yet.' : summaryOf(watched));
    setText(this.kernel, plain(watched.kernel?.sentence ?? ''));
    const vms = byUrgency(watched);
    this.body.hidden = vms.length === 0;
    patchChildren(
      this.body,
      vms.slice(0, VMS_MAX),
      vm => vm.vm.vm,
      createVm,
      (element, { vm, vcpus }) => showVm(/** @type {HTMLElement} */ (element), vm, vcpus),
    );
    this.more.hidden = at === null || (vms.length > 0 && vms.length <= VMS_MAX);
    setText(this.more, vms.length === 0 ? 'No VM was found.' : `and ${vms.length - VMS_MAX} more VMs, none of them worse`);
    this.unreadHeading.hidden = watched.unread.length === 0;
    const more = watched.unread.length - UNREAD_MAX;
    setList(this.unread, [...watched.unread.slice(0, UNREAD_MAX).map(plain), ...(more > 0 ? [`and ${more} more`] : [])]);
    const hung = watched.vcpus.filter(({ state }) => state === 'hung');
    setAttribute(this.section, 'data-hung', String(hung.length > 0));
    this.onAlarm(hungText(hung), hung.length);
  }
}

/** @param {string} tag @param {string} className @param {Element[]} children */
function withClass(tag, className, ...children) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

function headOf() {
  const row = document.createElement('tr');
  for (const name of ['VM', 'vCPUs', 'mmu_invalidate_seq', 'Reaches 2^31', 'Read by']) {
    const cell = textElement('th', name);
    cell.setAttribute('scope', 'col');
    row.append(cell);
  }
  const head = document.createElement('thead');
  head.append(row);
  return head;
}

function createVm() {
  const row = document.createElement('tr');
  const name = document.createElement('th');
  name.setAttribute('scope', 'row');
  name.append(textElement('span', '', 'name'), document.createElement('small'));
  const states = document.createElement('td');
  states.append(withClass('ul', 'watch-states'));
  row.append(name, states, ...['counter', 'crossing', 'sources'].map(part => textElement('td', '', part)));
  const body = document.createElement('tbody');
  body.append(row);
  return body;
}

/**
 * @param {HTMLElement} body
 * @param {WatchedVm} vm
 * @param {WatchedVcpu[]} vcpus the worst first
 */
function showVm(body, vm, vcpus) {
  setAttribute(body, 'data-vm', vm.vm);
  setAttribute(body, 'data-state', vcpus[0]?.state ?? 'unknown');
  const part = (/** @type {string} */ selector) => /** @type {Element} */ (body.querySelector(selector));
  setText(part('.name'), plain(vm.vm));
  setText(part('small'), vm.pid === null ? '' : `pid ${vm.pid}`);
  patchChildren(
    part('.watch-states'),
    countsOf(vcpus),
    ({ state }) => state,
    ({ state }) => stateItem(state),
    (element, { state, count }) => setText(element, `${count} ${state}`),
  );
  setText(part('.counter'), vm.invalidate_seq ?? 'not read');
  setText(part('.crossing'), vm.crossing);
  setText(part('.sources'), vm.sources.length === 0 ? 'nothing' : vm.sources.join(', '));
  const shown = vcpus.filter(({ state }) => state !== 'running');
  const more = shown.length - VCPUS_MAX;
  patchChildren(
    body,
    [...shown.slice(0, VCPUS_MAX), ...(more > 0 ? [more] : [])],
    each => (typeof each === 'number' ? 'more' : `${each.vcpu ?? 'all'}`),
    createVcpu,
    (element, each) => (typeof each === 'number' ? showMore(element, each) : showVcpu(element, each)),
  );
}

/** @param {string} state */
function stateItem(state) {
  const item = document.createElement('li');
  item.dataset.state = state;
  return item;
}

function createVcpu() {
  const row = document.createElement('tr');
  const who = textElement('td', '', 'who');
  const why = textElement('td', '', 'why-so');
  why.setAttribute('colspan', '4');
  row.className = 'vcpu';
  row.append(who, why);
  return row;
}

/** @param {Element} row @param {WatchedVcpu} vcpu */
function showVcpu(row, { vcpu, state, proof, since_seconds, cause, reasons }) {
  setAttribute(row, 'data-state', state);
  setText(row.children[0], vcpu === null ? `all vCPUs ${state}` : `vCPU ${vcpu} ${state}`);
  const likely = cause ? ` Likely cause: ${cause}.` : '';
  setText(row.children[1], `${proof ? `Proof: ${proof}. ` : ''}For ${sinceText(since_seconds)}. ${plain(`${reasons.join(' ')}${likely}`)}`);
}

/** @param {Element} row @param {number} more */
function showMore(row, more) {
  setText(row.children[1], `and ${more} more vCPUs that do not run, none of them worse`);
}
