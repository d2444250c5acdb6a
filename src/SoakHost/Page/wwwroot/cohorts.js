/**
 * The cohorts: a card each or, where there are many or the screen is small, a table with a row each that opens its card. There the
 * incidents stand above the picture of the vCPUs.
 */

import { createCard, crossedLines, crossingsOf, showCard, showRates, showStates, showToy } from './cohort-card.js';
import { cloneOf, partsOf, patchChildren, setAttribute, setText } from './dom.js';
import { expectsHangs, hasCrossed, isExpected } from './expectation.js';
import { counted, sentenceOf } from './format.js';

const CARDS_MAX = 4;

const section = /** @type {HTMLElement} */ (document.getElementById('cohorts'));
const { cards, table } = partsOf(section);
const [map, incidents] = ['heatmap', 'incidents'].map(id => /** @type {HTMLElement} */ (document.getElementById(id)));
const small = matchMedia('(max-width: 56rem)');

/** @typedef {import('./types.js').Cohort} Cohort */
/** @typedef {import('./dom.js').Parts} Parts */

export class Cohorts {
  constructor() {
    /** @type {Map<string, HTMLElement>} */
    this.cards = new Map();
    /** @type {WeakMap<Element, Parts>} */
    this.partsOfRows = new WeakMap();
    /** The cohorts whose rows are open. @type {Set<string>} */
    this.open = new Set();
    /** @type {(() => void) | null} */
    this.repeat = null;
    small.addEventListener('change', () => this.repeat?.());
  }

  /**
   * @param {readonly Cohort[]} cohorts
   * @param {import('./history.js').RateHistory} history
   * @param {(cohort: Cohort) => string} reasonOf why the verdict of a cohort is what it is
   */
  show(cohorts, history, reasonOf) {
    this.repeat = () => this.show(cohorts, history, reasonOf);
    const isTable = cohorts.length > CARDS_MAX || small.matches;
    lay(isTable);
    const names = new Set(cohorts.map(({ name }) => name));
    for (const name of this.cards.keys()) {
      if (!names.has(name)) this.cards.delete(name);
    }
    for (const cohort of cohorts) {
      const card = this.cards.get(cohort.name) ?? createCard(cohort.name);
      this.cards.set(cohort.name, card);
      showCard(card, cohort, history, reasonOf(cohort));
    }
    const cardOf = (/** @type {Cohort} */ { name }) => /** @type {HTMLElement} */ (this.cards.get(name));
    patchChildren(cards, isTable ? [] : cohorts, ({ name }) => name, cardOf, () => {});
    patchChildren(
      table,
      isTable ? cohorts : [],
      ({ name }) => name,
      cohort => this.createRow(cohort),
      (row, cohort) => this.showRow(row, cohort, history, reasonOf(cohort)),
    );
  }

  /** @param {Cohort} cohort */
  createRow({ name }) {
    const row = cloneOf('cohort-row');
    const parts = partsOf(row);
    this.partsOfRows.set(row, parts);
    row.dataset.cohort = name;
    setText(parts.name, name);
    setAttribute(parts.toggle, 'aria-controls', `card-${name}`);
    parts.toggle.addEventListener('click', () => {
      if (!this.open.delete(name)) this.open.add(name);
      this.repeat?.();
    });
    return row;
  }

  /**
   * @param {Element} row
   * @param {Cohort} cohort
   * @param {import('./history.js').RateHistory} history
   * @param {string} reason
   */
  showRow(row, cohort, history, reason) {
    const parts = /** @type {Parts} */ (this.partsOfRows.get(row));
    const isOpen = this.open.has(cohort.name);
    const card = /** @type {HTMLElement} */ (this.cards.get(cohort.name));
    if (card.parentElement !== parts.card) parts.card.append(card);
    parts.details.hidden = !isOpen;
    setAttribute(parts.toggle, 'aria-expanded', String(isOpen));
    setAttribute(row, 'data-verdict', cohort.verdict);
    setAttribute(parts['verdict-icon'], 'href', `#icon-${cohort.verdict}`);
    setText(parts['verdict-word'], cohort.verdict);
    setText(parts.kernel, cohort.kernel);
    showToy(parts, cohort);
    showStates(parts, cohort);
    showRates(parts, cohort.name, history);
    setText(parts.crossed, hasCrossed(cohort) ? crossedLines(cohort).join('; ') : `0 of ${counted(cohort.vms, 'VM')}`);
    setText(parts.crossings, hasCrossed(cohort) ? counted(crossingsOf(cohort), 'crossing') : '');
    const defects = defectsOf(cohort);
    setText(parts.defects, defects.length === 0 ? 'none' : defects.join(', '));
    setAttribute(parts.defects, 'data-defect', defects.length === 0 ? 'none' : 'unexpected');
    setText(parts.reason, cohort.verdict === 'pass' ? '' : sentenceOf(reason));
    parts.why.hidden = cohort.verdict === 'pass';
  }
}

/** @param {Cohort} cohort @returns {string[]} what it shows and nobody expects of it: "4 hung vCPUs" */
function defectsOf(cohort) {
  /** @type {[string, number | null, string][]} */
  const counts = [
    ['hang', cohort.vcpus_hung, 'hung vCPU'],
    ['unsafe_install', cohort.unsafe_installs, 'unsafe install'],
    ['stale_mapping', cohort.stale_mappings, 'stale mapping'],
    ['accounting_error', cohort.accounting_errors, 'accounting error'],
    ['hang', cohort.unjustified_retries, 'unjustified retry'],
  ];
  return counts
    .filter(([kind, count]) => count && !(kind === 'hang' ? expectsHangs(cohort) : isExpected(kind, cohort.expect)))
    .map(([, count, what]) => counted(/** @type {number} */ (count), what, what.replace(/y$/, 'ie') + 's'));
}

/** @param {boolean} isTable */
function lay(isTable) {
  const layout = isTable ? 'table' : 'cards';
  if (section.dataset.layout === layout) return;
  section.dataset.layout = layout;
  cards.hidden = isTable;
  table.hidden = !isTable;

  // The order of the document is also that of the keyboard and of screen readers.
  if (isTable) map.before(incidents);
  else incidents.before(map);
}
