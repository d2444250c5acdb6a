/** What can be done to a cohort: asked for in a dialog, answered in a line at the bottom, which then tells what came of it. */

import { Problem, request } from './api.js';
import { partsOf, setAttribute, setText } from './dom.js';
import { counted, grouped } from './format.js';

// Reports after which an effect that still cannot be seen is no longer waited for.
const REPORTS_MAX = 30;

/** @typedef {import('./types.js').Cohort} Cohort */
/** @typedef {'kernel' | 'migrate' | 'pause' | 'resume'} Kind */

/** @type {Record<Kind, { heading: (name: string) => string, confirm: string, effect: string, fields: string[] }>} */
const DIALOGS = {
  kernel: {
    heading: name => `Patch the kernel of ${name}`,
    confirm: 'Patch kernel',
    effect: 'A live patch: every VM of the cohort goes on with the other kernel from one tick on, with its state as it is.',
    fields: ['kernel'],
  },
  migrate: {
    heading: name => `Live-migrate ${name}`,
    confirm: 'Live-migrate',
    effect: 'Counter, mappings and roots start anew, as they do on the host that a VM is migrated to.',
    fields: ['vm', 'counter'],
  },
  pause: {
    heading: name => `Pause the invalidations of ${name}`,
    confirm: 'Pause invalidations',
    effect: 'No invalidation begins any more until they are resumed. A healthy vCPU gets on; a hung one still does not.',
    fields: [],
  },
  resume: {
    heading: name => `Resume the invalidations of ${name}`,
    confirm: 'Resume invalidations',
    effect: 'Invalidations begin again.',
    fields: [],
  },
};

const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('intervention'));
const parts = partsOf(dialog);
const cards = /** @type {HTMLElement} */ (document.querySelector('#cohorts [data-part=cards]'));
const refused = /** @type {HTMLElement} */ (document.getElementById('interventions-refused'));
const statusBar = /** @type {HTMLElement} */ (document.getElementById('status'));
const status = partsOf(statusBar);

/** @param {string} name */
const field = name => /** @type {HTMLElement} */ (dialog.querySelector(`[data-field=${name}]`));

export class Interventions {
  constructor() {
    /** @type {import('./types.js').Access} */
    this.access = { interventions: 'refused', reason: null };
    this.isAnswered = true;
    /** @type {import('./types.js').KernelInfo[]} */
    this.kernels = [];
    /** @type {Map<string, Cohort>} */
    this.cohorts = new Map();
    /** @type {{ kind: Kind, cohort: string } | null} */
    this.asked = null;
    /** @type {{ text: string, before: Cohort, kind: Kind, kernel: string, reports: number } | null} */
    this.awaited = null;
    cards.addEventListener('click', event => {
      const button = /** @type {HTMLElement} */ (event.target).closest('[data-intervention]');
      if (button instanceof HTMLButtonElement && !button.disabled)
        this.ask(/** @type {Kind} */ (button.dataset.intervention), button.closest('article')?.dataset.cohort ?? '');
    });
    parts.cancel.addEventListener('click', () => dialog.close());
    parts.kernel.addEventListener('change', () => this.showKernel());
    parts.form.addEventListener('submit', (/** @type {Event} */ event) => {
      event.preventDefault();
      this.send();
    });
    status.dismiss.addEventListener('click', () => this.dismiss());
  }

  /** Asked at each connection, since after a restart the service may be another, and until there is an answer. */
  async connect() {
    this.isAnswered = true;
    try {
      [this.access, this.kernels] = await Promise.all([
        request('access'),
        this.kernels.length > 0 ? this.kernels : request('kernels'),
      ]);
    } catch (error) {
      this.isAnswered = false;
      this.access = { interventions: 'refused', reason: /** @type {Error} */ (error).message };
    }
    this.showAccess();
  }

  /** @param {import('./types.js').Fleet} fleet */
  take(fleet) {
    this.cohorts = new Map(fleet.cohorts.map(cohort => [cohort.name, cohort]));
    if (!this.isAnswered) this.connect();
    this.showAccess();
    if (this.awaited) this.followUp(this.awaited);
  }

  showAccess() {
    const isRefused = this.access.interventions === 'refused';
    const reason = isRefused ? this.access.reason : null;
    refused.hidden = !reason;
    setText(refused, reason ? `Interventions are not possible here: ${reason}` : '');
    for (const card of cards.querySelectorAll('article')) {
      const cohort = this.cohorts.get(card.dataset.cohort ?? '');
      for (const button of card.querySelectorAll('button')) {
        button.disabled = isRefused || Boolean(cohort?.host);
        setAttribute(button, 'aria-describedby', reason ? refused.id : null);
      }
      if (cohort)
        showPause(/** @type {HTMLButtonElement} */ (card.querySelector('[data-part=pause]')), cohort.invalidations_paused);
    }
  }

  /**
   * @param {Kind} kind
   * @param {string} name
   */
  ask(kind, name) {
    const cohort = this.cohorts.get(name);
    if (!cohort) return;
    this.asked = { kind, cohort: name };
    const { heading, confirm, effect, fields } = DIALOGS[kind];
    setText(parts.heading, heading(name));
    setText(parts.confirm, confirm);
    setText(parts.effect, effect);
    parts.problem.hidden = true;
    parts.confirm.disabled = false;
    for (const each of ['kernel', 'vm', 'counter']) field(each).hidden = !fields.includes(each);

    // A token that was accepted is not asked for again.
    field('token').hidden = this.access.interventions !== 'token' || parts.token.value !== '';
    parts.vm.value = parts.counter.value = '';
    setText(parts['vm-about'], `One of 0 to ${grouped(cohort.vms - 1)}. Empty is all of them.`);
    if (kind === 'kernel') this.listKernels(cohort.kernel);
    dialog.showModal();
  }

  /** @param {string} current */
  listKernels(current) {
    const others = this.kernels.filter(kernel => kernel.name !== 'host' && kernel.name !== current);
    const group = (/** @type {string} */ label, /** @type {import('./types.js').KernelInfo[]} */ kernels) => {
      const element = document.createElement('optgroup');
      element.label = label;
      element.append(...kernels.map(kernel => new Option(kernel.name, kernel.name)));
      return element;
    };
    parts.kernel.replaceChildren(
      group(
        'Linux',
        others.filter(kernel => kernel.group === 'release'),
      ),
      group(
        'Historical defects',
        others.filter(kernel => kernel.group === 'historical_defect'),
      ),
      group(
        'Mutants, with one seeded defect each',
        others.filter(kernel => kernel.group === 'mutant'),
      ),
    );

    // From a defective kernel one most often wants the fix.
    const fixed = `${current}.y`;
    parts.kernel.value = others.some(kernel => kernel.name === fixed) ? fixed : (others[0]?.name ?? '');
    this.showKernel();
  }

  showKernel() {
    const kernel = this.kernels.find(({ name }) => name === parts.kernel.value);
    setText(
      parts['kernel-about'],
      kernel ? `Expected: ${kernel.expected.replaceAll('_', ' ')}. ${sentence(kernel.description)}` : '',
    );
  }

  async send() {
    const asked = this.asked;
    if (!asked) return;
    const { kind, cohort } = asked;
    const before = this.cohorts.get(cohort);
    const token = parts.token.value;
    const body = bodyOf(kind);
    parts.confirm.disabled = true;
    parts.problem.hidden = true;
    try {
      if (!before) throw new Problem('The latest report has no such cohort.', 0);
      if (typeof body === 'string') throw new Problem(body, 400);
      const answer = await request(`cohorts/${encodeURIComponent(cohort)}/${kind}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) },
        body: JSON.stringify(body),
      });

      // The dialog may be about something else by now.
      if (this.asked === asked) dialog.close();
      const text = `${DIALOGS[kind].confirm}, ${cohort}: takes effect at tick ${grouped(answer.tick)}.`;
      this.awaited = { text, before, kind, kernel: answer.kernel ?? '', reports: 0 };
      this.say(text);
    } catch (error) {
      if (this.asked === asked && dialog.open) this.showProblem(/** @type {Error} */ (error));
      else this.say(`${DIALOGS[kind].confirm}, ${cohort}: ${/** @type {Error} */ (error).message}`);
    } finally {
      if (this.asked === asked) parts.confirm.disabled = false;
    }
  }

  /** @param {Error} error */
  showProblem(error) {
    setText(parts.problem, error.message);
    parts.problem.hidden = false;
    if (error instanceof Problem && error.status === 401) {
      parts.token.value = '';
      field('token').hidden = false;
      parts.token.focus();
    }
  }

  /** @param {NonNullable<Interventions['awaited']>} awaited */
  followUp(awaited) {
    const now = this.cohorts.get(awaited.before.name);
    const seen = now ? effectOf(awaited, now) : null;
    if (!seen && ++awaited.reports < REPORTS_MAX) return;
    if (seen && !statusBar.hidden) this.say(`${awaited.text} ${seen}`);
    this.awaited = null;
  }

  /** @param {string} text */
  say(text) {
    statusBar.hidden = false;
    document.body.classList.add('has-status');
    setText(status.text, text);
  }

  dismiss() {
    statusBar.hidden = true;
    document.body.classList.remove('has-status');
    setText(status.text, '');
  }
}

/**
 * @param {HTMLButtonElement} button
 * @param {boolean} isPaused
 */
function showPause(button, isPaused) {
  setAttribute(button, 'data-intervention', isPaused ? 'resume' : 'pause');
  setText(button, isPaused ? 'Resume…' : 'Pause…');
}

/** @param {Kind} kind @returns {object | string} the request, or what is wrong with it */
function bodyOf(kind) {
  if (kind === 'kernel') return { kernel: parts.kernel.value };
  if (kind !== 'migrate') return {};
  const vm = parts.vm.value.trim().replaceAll(',', '');
  const counter = parts.counter.value.trim();
  if (vm !== '' && !/^\d{1,9}$/.test(vm)) return 'VM is to be a whole number, or empty for all of them.';
  return { ...(vm === '' ? {} : { vm: Number(vm) }), ...(counter === '' ? {} : { invalidate_seq: counter }) };
}

/**
 * @param {NonNullable<Interventions['awaited']>} awaited
 * @param {Cohort} now
 * @returns {string | null} what is seen of it in a report, in a sentence; null as long as it is not
 */
function effectOf({ kind, kernel, before }, now) {
  const recovered = now.vcpu_recoveries - before.vcpu_recoveries;
  const recovery = recovered > 0 ? ` ${counted(recovered, 'vCPU')} that hung got on again.` : '';
  switch (kind) {
    case 'kernel':
      // The patch and the recoveries that it brings come in different reports.
      return now.kernel === kernel && (before.vcpus_hung === 0 || now.vcpus_hung === 0)
        ? `Seen: it runs ${now.kernel}.${recovery}`
        : null;
    case 'migrate':
      return BigInt(now.invalidate_seq.min) < BigInt(before.invalidate_seq.min)
        ? `Seen: the lowest counter is ${now.invalidate_seq.min}.${recovery}`
        : null;
    default:
      return now.invalidations_paused === (kind === 'pause')
        ? `Seen: invalidations are ${kind === 'pause' ? 'paused' : 'going on'}.`
        : null;
  }
}

/** @param {string} text @returns {string} with a capital and a full stop */
const sentence = text => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
