/** The timeline of an incident, step by step, in a dialog with an address of its own: #incident=... opens it, the back button closes it. */

import { Problem, request } from './api.js';
import { partsOf, setText, textElement } from './dom.js';
import { grouped, pagesText } from './format.js';

/** @type {Record<string, string>} */
const DEFECTS = {
  unjustified_retry: 'unjustified retry',
  unsafe_install: 'unsafe install',
  stale_mapping: 'stale mapping',
  accounting_error: 'accounting error',
  deadlock: 'deadlock',
};

const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('timeline'));
const parts = partsOf(dialog);

/** @type {AbortController | null} */
let asking = null;

// Whether history.back() leads to this page without the dialog, rather than to the page with the link.
let isOpenedHere = false;

// Whether the dialog was closed because the address changed, not by the user.
let isClosedByAddress = false;

// On a phone the steps of the chosen vCPU are far from each other between those of all others.
const small = matchMedia('(max-width: 34rem)');

// Whether only the steps of the incident's own vCPU are shown, and the row to which the steps are scrolled.
let isAlone = false;
/** @type {HTMLElement | null} */
let chosen = null;

export function listenForTimelines() {
  addEventListener('hashchange', event => {
    isOpenedHere = incidentOf(new URL(event.oldURL).hash) === null;
    follow();
  });
  parts.close.addEventListener('click', () => dialog.close());
  parts.copy.addEventListener('click', copy);
  parts.alone.addEventListener('click', () => {
    isAlone = !isAlone;
    showAlone();
  });
  dialog.addEventListener('click', event => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener('close', () => {
    // The event comes late: by then the address may name another incident, and must stay.
    if (isClosedByAddress) {
      isClosedByAddress = false;
      return;
    }
    asking?.abort();
    if (incidentOf(location.hash) === null) return;
    if (isOpenedHere) history.back();
    else history.replaceState(null, '', location.pathname + location.search);
  });
  follow();
}

/** @param {string} hash @returns {{ id: string, run: string | null } | null} */
function incidentOf(hash) {
  const values = new URLSearchParams(hash.slice(1).replaceAll('+', '%2B'));
  const id = values.get('incident');
  return id ? { id, run: values.get('run') } : null;
}

function follow() {
  const incident = incidentOf(location.hash);
  if (!incident) {
    asking?.abort();
    isClosedByAddress = dialog.open;
    dialog.close();
    return;
  }
  if (!dialog.open) dialog.showModal();
  parts.heading.focus();
  load(incident.id, incident.run);
}

/**
 * @param {string} id
 * @param {string | null} run
 */
async function load(id, run) {
  asking?.abort();
  const { signal } = (asking = new AbortController());
  setText(parts.heading, headingOf(id));
  setText(parts.progress, 'Replaying the VM up to the incident…');
  setText(parts.copied, '');
  setText(parts.copy, 'Copy');
  parts.progress.hidden = false;
  parts.story.hidden = parts.problem.hidden = parts.repeat.hidden = true;
  try {
    show(
      await request(`timeline?incident=${encodeURIComponent(id)}${run ? `&run=${encodeURIComponent(run)}` : ''}`, { signal }),
      id,
    );
  } catch (error) {
    if (!signal.aborted) showProblem(/** @type {Error} */ (error));
  } finally {
    if (!signal.aborted) parts.progress.hidden = true;
  }
}

/** @param {string} id "hang:control/59/0@71680" @returns {string} "Hang in control: VM 59, vCPU 0"; the id itself if it has another form */
function headingOf(id) {
  const match = /^([a-z-_]+):([a-z0-9-]+)\/(\d+)\/(?:(\d+)|-)@(\d+)$/.exec(id);
  if (!match) return id;
  const [, kind, cohort, vm, vcpu] = match;
  const words = kind.replaceAll(/[-_]/g, ' ');
  return `${words.charAt(0).toUpperCase()}${words.slice(1)} in ${cohort}: VM ${vm}${vcpu ? `, vCPU ${vcpu}` : ''}`;
}

/** @param {Error} error */
function showProblem(error) {
  setText(parts.problem, error.message);
  parts.problem.hidden = false;
  const command = error instanceof Problem ? error.members.command : null;
  if (typeof command === 'string') showCommand(command);
}

/** @param {string} command */
function showCommand(command) {
  // The interventions on a cohort are recorded in its data directory only, so their replay needs that directory.
  setText(parts['repeat-heading'], `Reproduce on ${command.startsWith('soakhost ') ? 'any' : 'this'} machine with:`);

  // Lines break between arguments, not after the hyphens of an option.
  parts.command.replaceChildren(
    ...command.split(' ').flatMap((word, index) => [...(index > 0 ? [' '] : []), textElement('span', word)]),
  );
  parts.repeat.hidden = false;
}

/**
 * @param {import('./types.js').Timeline} timeline
 * @param {string} id
 */
function show(timeline, id) {
  const { conclusion, kernel, command, steps } = timeline;
  setText(parts.conclusion, /[.!?]$/.test(conclusion) ? conclusion : `${conclusion}.`);
  const own = actorOf(id);
  const defect = defectOf(steps, own);
  compare(defect?.verdict === 'unjustified_retry' && defect.snapshot !== null ? defect : null);
  parts.facts.replaceChildren(
    ...fact('Kernel', kernel),
    ...fact('Steps shown', grouped(steps.length)),
    ...(defect ? fact('Defect', `${DEFECTS[defect.verdict]}, tick ${grouped(defect.tick)}, ${defect.actor}`) : []),
    ...fact('Incident', id),
  );
  const actor = own ?? defect?.actor ?? '';
  const rows = steps.map(step => rowOf(step, actor));
  parts.steps.replaceChildren(...rows);
  parts.story.hidden = false;
  showCommand(command);

  // The first defect of the chosen vCPU, or else what it did last.
  const last = steps.findLastIndex(step => step.actor === actor);
  chosen = defect ? rows[steps.indexOf(defect)] : (rows[last] ?? null);
  isAlone = small.matches && last >= 0;
  parts.alone.hidden = last < 0;
  setText(parts.alone, `Only ${actor}`);
  showAlone();
}

/** @param {string} id of an incident @returns {string | null} the actor that it is about; null where that is the whole VM */
function actorOf(id) {
  const vcpu = /\/(\d+)@/.exec(id)?.[1];
  return vcpu === undefined ? null : `vCPU ${vcpu}`;
}

/**
 * The defective step of this incident; other vCPUs of the VM can have defective steps before it.
 * @param {import('./types.js').Step[]} steps
 * @param {string | null} own the actor that the incident is about
 */
function defectOf(steps, own) {
  const defects = steps.filter(step => step.verdict in DEFECTS);
  return defects.find(step => step.actor === own) ?? (own === null ? defects[0] : undefined);
}

/** Hides the steps of all others, or shows them again; the chosen step stays in sight. */
function showAlone() {
  parts.alone.setAttribute('aria-pressed', String(isAlone));
  for (const row of parts.steps.children) row.hidden = isAlone && row.dataset.actor === 'other';
  showRow(chosen);
}

/** Scrolls the steps but not the dialog, so its conclusion stays in sight. @param {HTMLElement | null} row */
function showRow(row) {
  const scroller = /** @type {HTMLElement} */ (parts.steps.closest('.steps'));
  scroller.scrollTop = row ? row.offsetTop - scroller.clientHeight / 2 : 0;
  for (const other of parts.steps.querySelectorAll('[aria-current]')) other.removeAttribute('aria-current');
  row?.setAttribute('aria-current', 'true');
}

/** @param {string} term @param {string} text */
const fact = (term, text) => {
  const group = document.createElement('div');
  group.append(textElement('dt', term), textElement('dd', text));
  return [group];
};

/**
 * The two values that the kernel compared, digit below digit: a hang is the difference between them.
 * @param {import('./types.js').Step | null} step
 */
function compare(step) {
  parts.compare.hidden = !step;
  if (!step) return;
  const [seq, snapshot] = [step.invalidate_seq, /** @type {string} */ (step.snapshot)].map(hex => hex.slice(2).padStart(16, '0'));
  parts['compare-seq'].replaceChildren(...digits(seq, snapshot));
  parts['compare-snapshot'].replaceChildren(...digits(snapshot, seq));
}

/** @param {string} own @param {string} other @returns {(string | Element)[]} */
function digits(own, other) {
  /** @type {(string | Element)[]} */
  const runs = ['0x'];
  for (let i = 0; i < own.length;) {
    const differs = own[i] !== other[i];
    let end = i;
    while (end < own.length && (own[end] !== other[end]) === differs) end++;
    runs.push(differs ? textElement('mark', own.slice(i, end)) : own.slice(i, end));
    i = end;
  }
  return runs;
}

/**
 * @param {import('./types.js').Step} step
 * @param {string} culprit the actor of the defect
 */
function rowOf(step, culprit) {
  const row = document.createElement('tr');
  row.dataset.verdict = step.verdict;
  row.dataset.actor = step.actor === culprit ? 'own' : 'other';
  const what = textElement('td', step.action);
  if (step.function) what.prepend(textElement('code', step.function, 'function'));
  if (step.verdict in DEFECTS) {
    row.dataset.defect = step.verdict;
    what.prepend(textElement('strong', `Defect: ${DEFECTS[step.verdict]}`, 'defect'));
  }
  for (const more of [step.truth, step.explanation].filter(text => text !== '')) what.append(textElement('span', more, 'truth'));
  row.append(
    textElement('td', grouped(step.tick), 'number'),
    textElement('td', step.actor),
    what,
    textElement('td', step.invalidate_seq, 'mono'),
    textElement('td', step.snapshot ?? '', 'mono'),
    textElement('td', String(step.in_progress), 'number'),
    textElement('td', `[${step.range[0]}, ${step.range[1]})`, 'mono'),
    textElement('td', pagesText(step.mapped), 'mono'),
  );
  return row;
}

/** The clipboard requires a secure context. Without one, such as over plain HTTP from another machine, the text is selected for Ctrl+C. */
async function copy() {
  const text = parts.command.textContent ?? '';
  try {
    await navigator.clipboard.writeText(text);
    setText(parts.copy, 'Copied');
    setText(parts.copied, 'Command copied.');
  } catch {
    getSelection()?.selectAllChildren(parts.command);
    setText(parts.copy, 'Selected');
    setText(parts.copied, 'Command selected. Press Ctrl+C to copy it.');
  }
}
