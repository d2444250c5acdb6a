/** The map of one cohort: a canvas, a cursor, and a tooltip that describes the cell at the cursor. */

import { partsOf, setAttribute, setProperty, setText } from './dom.js';
import { expectsHangs } from './expectation.js';
import { counted, grouped, longMoment } from './format.js';
import { cellAt, cornerOf, gridOf, moved } from './heatmap-grid.js';
import { paintCell } from './heatmap-paint.js';

/**
 * What all maps share.
 * @typedef {object} Surroundings
 * @property {import('./heatmap-paint.js').Palette} palette
 * @property {Element} readout describes the keyboard's cell to screen readers
 * @property {(cohort: string, from: { vm: number, vcpu: number | null }, vms: number) => Promise<boolean>} openIncident
 *   Opens the incident of a hung vCPU, or of any hung vCPU in some VMs; false when none is known.
 */

/** @type {import('./types.js').Cells} */
const NO_CELLS = { vcpus_per_cell: 1, hung: [], starved: [] };

export class HeatMapTrack {
  /**
   * @param {HTMLElement} element
   * @param {string} name
   * @param {Surroundings} surroundings
   */
  constructor(element, name, surroundings) {
    this.surroundings = surroundings;
    this.name = name;
    this.parts = partsOf(element);
    this.context = this.parts.canvas.getContext('2d');
    this.grid = gridOf(0, 1, 1, 1);
    this.cells = NO_CELLS;
    this.hasMap = false;
    this.isPainted = false;
    this.isExpected = false;
    this.rows = 1;
    this.perVm = 1;
    this.ratio = 1;
    this.vms = 0;
    this.firstVm = 0;
    this.vmStep = 1;
    /** @type {readonly import('./types.js').Stall[]} */
    this.stalled = [];
    /** @type {Set<number>} */
    this.changed = new Set();
    this.selected = -1;

    // The keyboard's cell, also while a pointer is elsewhere.
    this.place = 0;
    element.dataset.cohort = name;
    setText(this.parts.name, name);
    this.listen(this.parts.canvas);
  }

  /** @param {HTMLCanvasElement} canvas */
  listen(canvas) {
    canvas.addEventListener('keydown', event => this.press(event));
    canvas.addEventListener('focus', () => this.select(this.selected >= 0 ? this.selected : this.place, true));
    canvas.addEventListener('blur', () => this.select(-1, false));
    canvas.addEventListener('pointermove', event => this.select(this.at(event), false));
    canvas.addEventListener('pointerleave', () => this.select(this.hasFocus() ? this.place : -1, false));
    let before = -1;
    canvas.addEventListener('pointerdown', event => {
      before = this.selected;
      this.select(this.at(event), false);
    });

    // A finger cannot hover, so its first tap shows the tooltip and the second one opens the incident.
    canvas.addEventListener('click', event => {
      const isMouse = !(event instanceof PointerEvent) || event.pointerType === 'mouse';
      if (this.at(event) >= 0 && (isMouse || before === this.selected)) this.open();
    });
  }

  /** @param {import('./types.js').Cohort} cohort */
  take(cohort) {
    const before = this.cells;
    const cells = (this.cells = cohort.vcpu_cells ?? NO_CELLS);
    const isResized =
      this.vms !== cohort.vms || before.hung.length !== cells.hung.length || before.vcpus_per_cell !== cells.vcpus_per_cell;
    this.hasMap = cohort.vcpu_cells !== undefined;
    this.vms = cohort.vms;
    this.firstVm = cohort.first_vm;
    this.vmStep = cohort.vm_step;
    this.stalled = cohort.stalled;
    this.perVm = Math.max(1, Math.round(cohort.vcpus / cohort.vms));
    this.rows = cells.vcpus_per_cell === 1 ? this.perVm : 1;
    this.caption(cohort);

    // Another colour for every hung cell.
    if (this.isExpected !== expectsHangs(cohort)) this.isPainted = false;
    this.isExpected = expectsHangs(cohort);
    if (isResized) {
      this.isPainted = false;
      this.place = Math.max(0, Math.min(this.place, cells.hung.length - 1));
      this.select(-1, false);
      return;
    }
    for (let i = 0; i < cells.hung.length; i++) {
      if (cells.hung[i] !== before.hung[i] || cells.starved[i] !== before.starved[i]) this.changed.add(i);
    }
    if (this.changed.has(this.selected)) this.tell(this.hasFocus());
  }

  /** @param {import('./types.js').Cohort} cohort */
  caption(cohort) {
    const { name, vcpus_running: running, vcpus_starved: starved, vcpus_hung: hung } = cohort;
    const { counts, expected, share, canvas, map, absent } = this.parts;
    const vmsPerCell = this.cells.vcpus_per_cell / this.perVm;
    setText(counts, hung > 0 ? `${grouped(hung)} hung` : '');
    setAttribute(counts, 'data-hangs', expectsHangs(cohort) ? 'expected' : 'unexpected');
    expected.hidden = hung === 0 || !expectsHangs(cohort);
    setText(share, vmsPerCell > 1 ? `${counted(vmsPerCell, 'VM')} per cell` : '');
    setAttribute(canvas, 'aria-label', `vCPUs of ${name}: ${statesText(hung, starved, running)}`);
    setAttribute(canvas, 'data-hung', String(hung));
    map.hidden = !this.hasMap;
    absent.hidden = this.hasMap;
  }

  hasFocus() {
    return document.activeElement === this.parts.canvas;
  }

  /**
   * @param {number} width CSS pixels
   * @param {number} pitch likewise
   * @param {number} ratio device pixels in one of them
   * @param {boolean} repaint
   */
  layOut(width, pitch, ratio, repaint) {
    const { canvas } = this.parts;
    const grid = gridOf(this.cells.hung.length, this.rows, Math.floor(width * ratio), Math.round(pitch * ratio));
    const isSame = this.isPainted && this.ratio === ratio && JSON.stringify(this.grid) === JSON.stringify(grid);
    if (!isSame) {
      this.grid = grid;
      this.ratio = ratio;
      this.isPainted = true;
      canvas.width = grid.width;
      canvas.height = grid.height;
      canvas.style.setProperty('width', `${grid.width / ratio}px`);
      canvas.style.setProperty('height', `${grid.height / ratio}px`);
      this.select(this.selected, false);
    }
    if (!isSame || repaint) {
      for (let i = 0; i < grid.count; i++) this.paint(i);
    } else {
      for (const i of this.changed) this.paint(i);
    }
    this.changed.clear();
  }

  /** @param {number} index */
  paint(index) {
    const { hung, starved } = this.cells;
    const size = this.vcpusIn(index);
    paintCell(
      this.context,
      this.grid,
      cornerOf(this.grid, index),
      hung[index] / size,
      starved[index] / size,
      this.isExpected,
      this.surroundings.palette,
    );
  }

  /** A VM's number in its cohort: in a part of a fleet they are not consecutive. @param {number} index */
  numberOf(index) {
    return this.firstVm + index * this.vmStep;
  }

  /** The last cell can have fewer than the others. @param {number} index */
  vcpusIn(index) {
    const { vcpus_per_cell: size } = this.cells;
    return Math.min(size, this.vms * this.perVm - index * size);
  }

  /** @param {MouseEvent} event */
  at(event) {
    return cellAt(this.grid, event.offsetX * this.ratio, event.offsetY * this.ratio);
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const target = event.key.toLowerCase() === 'h' ? this.nextHung(this.place) : moved(this.grid, this.place, event.key);
    if (event.key === 'Enter' || event.key === ' ') this.open();
    else if (event.key === 'Escape') this.select(-1, false);
    else if (target !== null) this.select(target, true);
    else return;
    event.preventDefault();
  }

  /** @param {number} from @returns {number} the next cell with a hung vCPU, wrapping at the end; the same cell if there is none */
  nextHung(from) {
    const { hung } = this.cells;
    for (let step = 1; step <= hung.length; step++) {
      if (hung[(from + step) % hung.length] > 0) return (from + step) % hung.length;
    }
    return from;
  }

  /**
   * @param {number} index of a cell, or -1
   * @param {boolean} isSpoken whether screen readers describe it: for the keyboard, not for a pointer
   */
  select(index, isSpoken) {
    this.selected = index < this.cells.hung.length ? index : -1;
    const { cursor, tip } = this.parts;
    cursor.hidden = tip.hidden = this.selected < 0;
    if (cursor.hidden) return;
    if (isSpoken) this.place = index;
    const { x, y } = cornerOf(this.grid, index);
    setProperty(cursor, '--x', `${x / this.ratio}px`);
    setProperty(cursor, '--y', `${y / this.ratio}px`);
    setProperty(cursor, '--size', `${this.grid.pitch / this.ratio}px`);
    setProperty(tip, '--x', `${x / this.ratio}px`);
    setProperty(tip, '--y', `${y / this.ratio}px`);
    setProperty(tip, '--share', (x / Math.max(1, this.parts.map.clientWidth * this.ratio)).toFixed(3));
    this.tell(isSpoken);
  }

  /** @param {boolean} isSpoken */
  tell(isSpoken) {
    const text = this.describe(this.selected);
    setText(this.parts.tip, text);
    setAttribute(this.parts.tip, 'data-state', this.stateOf(this.selected));
    this.parts.canvas.classList.toggle('openable', this.cells.hung[this.selected] > 0);
    if (isSpoken) setText(this.surroundings.readout, text);
  }

  /** @param {number} index @returns {import('./types.js').VcpuState} the worst in it */
  stateOf(index) {
    return this.cells.hung[index] > 0 ? 'hung' : this.cells.starved[index] > 0 ? 'starved' : 'running';
  }

  /** @param {number} index */
  describe(index) {
    const { vcpus_per_cell: size, hung, starved } = this.cells;
    const vm = this.numberOf(Math.floor((index * size) / this.perVm));
    if (size === 1) {
      const vcpu = index % this.perVm;
      const stall = this.stalled.find(each => each.vm === vm && each.vcpu === vcpu);
      const details = stall ? ` on page ${stall.page} since ${longMoment(stall.last_progress)}` : '';
      const expected = this.isExpected && hung[index] > 0 ? ' as expected' : '';
      return `${this.name}: VM ${grouped(vm)}, vCPU ${vcpu}: ${this.stateOf(index)}${expected}${details}`;
    }
    const last = this.numberOf(Math.min(this.vms, (index * size + size) / this.perVm) - 1);
    const all = this.vcpusIn(index);
    const states = statesText(hung[index], starved[index], all - hung[index] - starved[index]);
    const where = last > vm ? `VMs ${grouped(vm)} to ${grouped(last)}` : `VM ${grouped(vm)}`;
    return `${this.name}: ${where}, ${counted(all, 'vCPU')}: ${states}`;
  }

  async open() {
    if (this.selected < 0 || this.cells.hung[this.selected] === 0) return;
    const size = this.cells.vcpus_per_cell;
    const first = this.selected * size;
    const from = { vm: this.numberOf(Math.floor(first / this.perVm)), vcpu: size === 1 ? first % this.perVm : null };
    if (!(await this.surroundings.openIncident(this.name, from, Math.max(1, size / this.perVm) * this.vmStep)))
      setText(this.parts.tip, `${this.describe(this.selected)}; its incident is not recorded yet or was deleted`);
  }
}

/** @param {number} hung @param {number} starved @param {number} running */
const statesText = (hung, starved, running) => `${grouped(hung)} hung, ${grouped(starved)} starved, ${grouped(running)} running`;
