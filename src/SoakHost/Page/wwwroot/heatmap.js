/**
 * The vCPUs of the fleet, one cell each, or several where there are too many. Canvases, since thousands of elements would be slow; what a cell says
 * is told by a tip, and to screen readers by a line of text that follows the keyboard. A map is painted where cells changed, and wholly when its
 * size or the colours did.
 */

import { cloneOf, partsOf, patchChildren, setAttribute, setProperty, setText } from './dom.js';
import { counted, grouped, moment } from './format.js';
import { cellAt, cornerOf, gridOf, moved, pitchFor } from './heatmap-grid.js';
import { paintCell } from './heatmap-paint.js';

// Of all maps together: a share of the window, so that a wall shows them without scrolling wherever it can.
const HEIGHT_SHARE = 0.3;
const HEIGHT_MIN = 240;

const section = partsOf(/** @type {HTMLElement} */ (document.getElementById('heatmap')));
const dark = matchMedia('(prefers-color-scheme: dark)');

/** @typedef {import('./types.js').Cohort} Cohort */
/** @typedef {(cohort: string, from: { vm: number, vcpu: number | null }, vms: number) => Promise<boolean>} OpenIncident Opens the incident of a hung
 * vCPU, or of any one in some VMs; false when none is known. */

export class HeatMap {
  /** @param {OpenIncident} openIncident */
  constructor(openIncident) {
    this.openIncident = openIncident;
    /** @type {Map<Element, Track>} */
    this.tracks = new Map();
    /** @type {readonly Cohort[]} */
    this.cohorts = [];
    this.width = 0;
    this.palette = readPalette();
    dark.addEventListener('change', () => {
      this.palette = readPalette();
      this.layOut(true);
    });
    new ResizeObserver(() => this.layOut(false)).observe(section.tracks);
    addEventListener('resize', () => this.layOut(false));
  }

  /** @param {readonly Cohort[]} cohorts */
  show(cohorts) {
    this.cohorts = cohorts;
    patchChildren(section.tracks, cohorts, cohort => cohort.name, cohort => {
      const element = cloneOf('heatmap-track');
      this.tracks.set(element, new Track(element, cohort.name, this));
      return element;
    }, (element, cohort) => this.tracks.get(element)?.take(cohort));
    for (const element of this.tracks.keys()) {
      if (!element.isConnected)
        this.tracks.delete(element);
    }
    showScale(cohorts);
    this.layOut(false);
  }

  /** @param {boolean} repaint also where nothing moved */
  layOut(repaint) {
    const tracks = [...this.tracks.values()];
    const maps = tracks.filter(track => track.cells);
    const width = maps[0]?.parts.map.clientWidth ?? 0;
    if (width === 0)
      return;
    const shapes = maps.map(({ cells, rows }) => ({ count: cells.hung.length, rows }));
    const pitch = pitchFor(shapes, width, Math.max(HEIGHT_MIN, HEIGHT_SHARE * innerHeight));
    for (const track of maps)
      track.layOut(width, pitch, devicePixelRatio, repaint);
  }
}

/** Computed colours of the legend: the custom properties themselves are text that a canvas does not understand. */
function readPalette() {
  const color = (/** @type {string} */ state) => getComputedStyle(/** @type {Element} */ (section.legend.querySelector(`[data-state=${state}] svg`))).color;
  return {
    running: color('running'),
    starved: color('starved'),
    hung: color('hung'),
    cut: getComputedStyle(/** @type {Element} */ (document.querySelector('#heatmap'))).getPropertyValue('background-color'),
  };
}

/** @param {readonly Cohort[]} cohorts */
function showScale(cohorts) {
  const most = Math.max(1, ...cohorts.map(cohort => cohort.vcpu_cells?.vcpus_per_cell ?? 1));
  setText(section.scale, most === 1 ? 'A column is a VM, a cell a vCPU.' : `A cell is up to ${grouped(most)} vCPUs, filled by the share that is hung.`);
}

/** The map of one cohort. */
class Track {
  /**
   * @param {HTMLElement} element
   * @param {string} name
   * @param {HeatMap} map
   */
  constructor(element, name, map) {
    this.map = map;
    this.name = name;
    this.parts = partsOf(element);
    this.context = this.parts.canvas.getContext('2d');
    /** @type {import('./heatmap-grid.js').Grid | null} */
    this.grid = null;
    /** @type {import('./types.js').Cells | null} */
    this.cells = null;
    this.rows = 1;
    this.perVm = 1;
    this.ratio = 1;
    this.vms = 0;
    /** @type {readonly import('./types.js').Stall[]} */
    this.stalled = [];
    /** @type {Set<number>} */
    this.changed = new Set();
    this.selected = -1;
    element.dataset.cohort = name;
    setText(this.parts.name, name);
    this.listen(this.parts.canvas);
  }

  /** @param {HTMLCanvasElement} canvas */
  listen(canvas) {
    canvas.addEventListener('keydown', event => this.press(event));
    canvas.addEventListener('focus', () => this.select(Math.max(this.selected, 0), true));
    canvas.addEventListener('blur', () => this.select(-1, false));
    canvas.addEventListener('pointermove', event => this.select(this.at(event), false));
    canvas.addEventListener('pointerleave', () => this.select(-1, false));
    let before = -1;
    canvas.addEventListener('pointerdown', event => {
      before = this.selected;
      this.select(this.at(event), false);
    });

    // A finger has no way to look first, so that its first tap is a look.
    canvas.addEventListener('click', event => {
      const isMouse = !(event instanceof PointerEvent) || event.pointerType === 'mouse';
      if (this.at(event) >= 0 && (isMouse || before === this.selected))
        this.open();
    });
  }

  /** @param {Cohort} cohort */
  take(cohort) {
    const cells = cohort.vcpu_cells;
    const counts = `${grouped(cohort.vcpus_hung)} hung, ${grouped(cohort.vcpus_starved)} starved, ${grouped(cohort.vcpus_running)} running`;
    setText(this.parts.counts, cohort.vcpus_hung > 0 ? `${grouped(cohort.vcpus_hung)} hung` : '');
    setAttribute(this.parts.canvas, 'aria-label', `vCPUs of ${cohort.name}: ${counts}`);
    setAttribute(this.parts.canvas, 'data-hung', String(cohort.vcpus_hung));
    this.parts.map.hidden = !cells;
    this.parts.absent.hidden = Boolean(cells);
    this.vms = cohort.vms;
    this.stalled = cohort.stalled;
    this.perVm = Math.max(1, Math.round(cohort.vcpus / cohort.vms));
    const before = this.cells;
    this.cells = cells;
    if (!cells)
      return;
    this.rows = cells.vcpus_per_cell === 1 ? this.perVm : 1;
    if (before?.hung.length !== cells.hung.length || before.vcpus_per_cell !== cells.vcpus_per_cell) {
      this.grid = null;
      return;
    }
    for (let i = 0; i < cells.hung.length; i++) {
      if (cells.hung[i] !== before.hung[i] || cells.starved[i] !== before.starved[i])
        this.changed.add(i);
    }
    if (this.changed.has(this.selected))
      this.tell(document.activeElement === this.parts.canvas);
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
    const isSame = this.grid && this.ratio === ratio && this.grid.width === grid.width && this.grid.height === grid.height && this.grid.pitch === grid.pitch;
    if (!isSame) {
      this.grid = grid;
      this.ratio = ratio;
      canvas.width = grid.width;
      canvas.height = grid.height;
      canvas.style.setProperty('width', `${grid.width / ratio}px`);
      canvas.style.setProperty('height', `${grid.height / ratio}px`);
      this.select(this.selected < grid.count ? this.selected : -1, false);
    }
    if (!isSame || repaint) {
      for (let i = 0; i < grid.count; i++)
        this.paint(i);
    } else {
      for (const i of this.changed)
        this.paint(i);
    }
    this.changed.clear();
  }

  /** @param {number} index */
  paint(index) {
    const { hung, starved } = this.cells;
    const size = this.vcpusIn(index);
    paintCell(this.context, this.grid, cornerOf(this.grid, index), hung[index] / size, starved[index] / size, this.map.palette);
  }

  /** The last cell may have fewer than the others. @param {number} index */
  vcpusIn(index) {
    const { vcpus_per_cell: size } = this.cells;
    return Math.min(size, this.vms * this.perVm - index * size);
  }

  /** @param {MouseEvent} event */
  at(event) {
    return this.grid ? cellAt(this.grid, event.offsetX * this.ratio, event.offsetY * this.ratio) : -1;
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    if (!this.grid || event.altKey || event.ctrlKey || event.metaKey)
      return;
    const from = Math.max(this.selected, 0);
    if (event.key === 'Enter' || event.key === ' ')
      this.open();
    else if (event.key.toLowerCase() === 'h')
      this.select(this.nextHung(from), true);
    else if (event.key === 'Escape')
      this.select(-1, false);
    else if (moved(this.grid, from, event.key) !== null)
      this.select(/** @type {number} */ (moved(this.grid, from, event.key)), true);
    else
      return;
    event.preventDefault();
  }

  /** @param {number} from @returns {number} the next cell with a hung vCPU, around the end; the same where there is none */
  nextHung(from) {
    const { hung } = this.cells;
    for (let step = 1; step <= hung.length; step++) {
      if (hung[(from + step) % hung.length] > 0)
        return (from + step) % hung.length;
    }
    return from;
  }

  /**
   * @param {number} index of a cell, or -1
   * @param {boolean} isSpoken a pointer is not followed by speech
   */
  select(index, isSpoken) {
    // Leaving with the pointer gives the place back to the keyboard.
    this.selected = index;
    const { cursor, tip } = this.parts;
    cursor.hidden = tip.hidden = index < 0 || !this.grid;
    if (cursor.hidden)
      return;
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
    if (isSpoken)
      setText(section.readout, text);
  }

  /** @param {number} index @returns {import('./types.js').VcpuState} the worst in it */
  stateOf(index) {
    return this.cells.hung[index] > 0 ? 'hung' : this.cells.starved[index] > 0 ? 'starved' : 'running';
  }

  /** @param {number} index */
  describe(index) {
    const { vcpus_per_cell: size, hung, starved } = this.cells;
    const vm = Math.floor(index * size / this.perVm);
    if (size === 1) {
      const vcpu = index % this.perVm;
      const stall = this.stalled.find(each => each.vm === vm && each.vcpu === vcpu);
      const details = stall ? ` on page ${stall.page} since ${moment(stall.last_progress)}` : '';
      return `${this.name}: VM ${grouped(vm)}, vCPU ${vcpu}: ${this.stateOf(index)}${details}`;
    }
    const last = Math.min(this.vms, vm + size / this.perVm) - 1;
    const all = this.vcpusIn(index);
    const running = all - hung[index] - starved[index];
    const where = last > vm ? `VMs ${grouped(vm)} to ${grouped(last)}` : `VM ${grouped(vm)}`;
    return `${this.name}: ${where}, ${counted(all, 'vCPU')}: ${grouped(hung[index])} hung, ${grouped(starved[index])} starved, ${grouped(running)} running`;
  }

  async open() {
    if (this.selected < 0 || this.cells.hung[this.selected] === 0)
      return;
    const size = this.cells.vcpus_per_cell;
    const first = this.selected * size;
    const from = { vm: Math.floor(first / this.perVm), vcpu: size === 1 ? first % this.perVm : null };
    if (!await this.map.openIncident(this.name, from, Math.max(1, size / this.perVm)))
      setText(this.parts.tip, `${this.describe(this.selected)}; its incident is not recorded yet, or no longer`);
  }
}
