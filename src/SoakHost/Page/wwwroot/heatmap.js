/**
 * The vCPUs of the fleet: one cell for each vCPU or, in a large fleet, for several. The maps are canvases, because thousands of elements
 * would be slow. A tooltip describes a cell; for screen readers a line of text follows the keyboard. Only changed cells are painted
 * again, and the whole map when its size or the colours change.
 */

import { cloneOf, partsOf, patchChildren, setText } from './dom.js';
import { pitchFor } from './heatmap-grid.js';
import { HeatMapTrack } from './heatmap-track.js';

// Height of all maps together, as a share of the window: a wall display then shows them without scrolling.
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

    // In the next frame, because the layout changes the size that is observed.
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

  /** @param {boolean} repaint also what has not changed */
  layOut(repaint) {
    const tracks = [...this.tracks.values()].filter(track => track.hasMap);
    const width = tracks[0]?.parts.map.clientWidth ?? 0;
    if (width === 0) return;
    const maps = tracks.map(({ cells, rows }) => ({ count: cells.hung.length, rows }));
    const pitch = pitchFor(maps, width, Math.max(HEIGHT_MIN, HEIGHT_SHARE * innerHeight));
    for (const track of tracks) track.layOut(width, pitch, devicePixelRatio, repaint);
  }
}

/** The computed colours of the legend: a canvas does not understand the custom properties themselves. */
function readPalette() {
  const color = (/** @type {string} */ state) =>
    getComputedStyle(section.legend.querySelector(`[data-state=${state}] svg`)).color;
  return {
    running: color('running'),
    starved: color('starved'),
    hung: color('hung'),
    expected: color('expected'),
    cut: getComputedStyle(/** @type {Element} */ (document.querySelector('#heatmap'))).getPropertyValue('background-color'),
  };
}

/** @param {readonly Cohort[]} cohorts */
function showScale(cohorts) {
  const isAggregated = cohorts.some(cohort => (cohort.vcpu_cells?.vcpus_per_cell ?? 1) > 1);
  const ofSeveral = ' A cell of several VMs is filled by its share of hung vCPUs.';
  setText(section.scale, `One column per VM, one cell per vCPU.${isAggregated ? ofSeveral : ''}`);
}
