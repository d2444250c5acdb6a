/**
 * The vCPUs of the fleet, one cell each, or several where there are too many. Canvases, since thousands of elements would be
 * slow; what a cell says is told by a tip, and to screen readers by a line of text that follows the keyboard. A map is painted
 * where cells changed, and wholly when its size or the colours did.
 */

import { cloneOf, partsOf, patchChildren, setText } from './dom.js';
import { pitchFor } from './heatmap-grid.js';
import { HeatMapTrack } from './heatmap-track.js';

// Of all maps together: a share of the window, so that a wall shows them without scrolling wherever it can.
const HEIGHT_SHARE = 0.3;
const HEIGHT_MIN = 240;

const section = partsOf(/** @type {HTMLElement} */ (document.getElementById('heatmap')));
const dark = matchMedia('(prefers-color-scheme: dark)');

/** @typedef {import('./types.js').Cohort} Cohort */

export class HeatMap {
  /** @param {import('./heatmap-track.js').Surroundings['openIncident']} openIncident */
  constructor(openIncident) {
    this.openIncident = openIncident;
    this.readout = section.readout;
    this.palette = readPalette();
    /** @type {Map<Element, HeatMapTrack>} */
    this.tracks = new Map();
    dark.addEventListener('change', () => {
      this.palette = readPalette();
      this.layOut(true);
    });

    // In a frame of its own, since it changes the size of what is observed.
    new ResizeObserver(() => requestAnimationFrame(() => this.layOut(false))).observe(section.tracks);
  }

  /** @param {readonly Cohort[]} cohorts */
  show(cohorts) {
    const create = (/** @type {Cohort} */ cohort) => {
      const element = cloneOf('heatmap-track');
      this.tracks.set(element, new HeatMapTrack(element, cohort.name, this));
      return element;
    };
    patchChildren(
      section.tracks,
      cohorts,
      cohort => cohort.name,
      create,
      (element, cohort) => this.tracks.get(element)?.take(cohort),
    );
    for (const element of this.tracks.keys()) {
      if (!element.isConnected) this.tracks.delete(element);
    }
    showScale(cohorts);
    this.layOut(false);
  }

  /** @param {boolean} repaint also where nothing moved */
  layOut(repaint) {
    const tracks = [...this.tracks.values()].filter(track => track.hasMap);
    const width = tracks[0]?.parts.map.clientWidth ?? 0;
    if (width === 0) return;
    const maps = tracks.map(({ cells, rows }) => ({ count: cells.hung.length, rows }));
    const pitch = pitchFor(maps, width, Math.max(HEIGHT_MIN, HEIGHT_SHARE * innerHeight));
    for (const track of tracks) track.layOut(width, pitch, devicePixelRatio, repaint);
  }
}

/** Computed colours of the legend: the custom properties themselves are text that a canvas does not understand. */
function readPalette() {
  const color = (/** @type {string} */ state) =>
    getComputedStyle(section.legend.querySelector(`[data-state=${state}] svg`)).color;
  return {
    running: color('running'),
    starved: color('starved'),
    hung: color('hung'),
    cut: getComputedStyle(/** @type {Element} */ (document.querySelector('#heatmap'))).getPropertyValue('background-color'),
  };
}

/** @param {readonly Cohort[]} cohorts */
function showScale(cohorts) {
  const isAggregated = cohorts.some(cohort => (cohort.vcpu_cells?.vcpus_per_cell ?? 1) > 1);
  const ofSeveral = ' A cell of several VMs is filled by the share of vCPUs that is hung.';
  setText(section.scale, `A column is a VM, a cell a vCPU.${isAggregated ? ofSeveral : ''}`);
}
