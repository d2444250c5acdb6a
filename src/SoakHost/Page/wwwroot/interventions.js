/**
 * Interventions on a cohort: a dialog asks for confirmation, a line at the bottom shows the answer and then the effect that the reports
 * show.
 */

import { Problem, request } from './api.js';
import { partsOf, setAttribute, setText } from './dom.js';
import { grouped, sentenceOf } from './format.js';
import { bodyOf, DIALOGS, effectOf } from './intervention-kinds.js';

// The most reports in which the page looks for the effect.
const REPORTS_MAX = 30;

/** @typedef {import('./types.js').Cohort} Cohort */
/** @typedef {import('./intervention-kinds.js').Kind} Kind */

const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('intervention'));
const parts = partsOf(dialog);
const cards = /** @type {HTMLElement} */ (document.getElementById('cohorts'));
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
    this.isLive = false;
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

  /** Asks again at each connection, because the service may have restarted with another configuration. */
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

  /**
   * Without a connection a button would act on a fleet that is not the one in sight.
   * @param {boolean} isLive
   */
  setLive(isLive) {
    this.isLive = isLive;
    parts.confirm.disabled = !isLive;
    parts.offline.hidden = isLive;
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
    setText(refused, reason ? `Interventions are not possible: ${reason}.` : '');
    for (const card of cards.querySelectorAll('article')) {
      const cohort = this.cohorts.get(card.dataset.cohort ?? '');
      for (const button of card.querySelectorAll('button')) {
        button.disabled = isRefused || !this.isLive || Boolean(cohort?.host);
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
    parts.confirm.disabled = !this.isLive;
    for (const each of ['kernel', 'vm', 'counter']) field(each).hidden = !fields.includes(each);

    // An accepted token is not asked for again.
    field('token').hidden = this.access.interventions !== 'token' || parts.token.value !== '';
    parts.vm.value = parts.counter.value = '';
    const { first_vm: first, vm_step: step, vms } = cohort;
    const steps = step > 1 ? ` in steps of ${step}` : '';
    setText(parts['vm-about'], `${grouped(first)} to ${grouped(first + (vms - 1) * step)}${steps}. Leave empty for all VMs.`);
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
        'Mutants: one seeded defect each',
        others.filter(kernel => kernel.group === 'mutant'),
      ),
    );

    // The usual patch of a defective kernel is its fixed stable kernel.
    const fixed = `${current}.y`;
    parts.kernel.value = others.some(kernel => kernel.name === fixed) ? fixed : (others[0]?.name ?? '');
    this.showKernel();
  }

  showKernel() {
    const kernel = this.kernels.find(({ name }) => name === parts.kernel.value);
    setText(
      parts['kernel-about'],
      kernel ? `Expected: ${kernel.expected.replaceAll('_', ' ')}. ${sentenceOf(kernel.description)}` : '',
    );
  }

  async send() {
    const asked = this.asked;
    if (!asked) return;
    const { kind, cohort } = asked;
    const before = this.cohorts.get(cohort);
    const token = parts.token.value;
    const body = bodyOf(kind, { kernel: parts.kernel.value, vm: parts.vm.value, counter: parts.counter.value });
    parts.confirm.disabled = true;
    parts.problem.hidden = true;
    try {
      if (!before) throw new Problem('The cohort is no longer in the fleet.', 0);
      if (typeof body === 'string') throw new Problem(body, 400);
      const answer = await request(`cohorts/${encodeURIComponent(cohort)}/${kind}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) },
        body: JSON.stringify(body),
      });

      // The dialog may be open for another intervention by now.
      if (this.asked === asked) dialog.close();
      const who = answer.requested_by ? ` Recorded as requested by ${answer.requested_by.name}.` : '';
      const text = `${DIALOGS[kind].confirm}, ${cohort}: takes effect at tick ${grouped(answer.tick)}.${who}`;
      this.awaited = { text, before, kind, kernel: answer.kernel ?? '', reports: 0 };
      this.say(text);
    } catch (error) {
      if (this.asked === asked && dialog.open) this.showProblem(/** @type {Error} */ (error));
      else this.say(`${DIALOGS[kind].confirm}, ${cohort}: ${/** @type {Error} */ (error).message}`);
    } finally {
      if (this.asked === asked) parts.confirm.disabled = !this.isLive;
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
    const seen = now ? effectOf(awaited.kind, awaited.kernel, awaited.before, now) : null;
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
