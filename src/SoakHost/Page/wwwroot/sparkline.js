/** Two minutes of operations per second as a line. */

import { setAttribute } from './dom.js';
import { si } from './format.js';

const SECONDS = 120;
const HEIGHT = 30;

/**
 * @param {import('./dom.js').Parts} parts of a card
 * @param {readonly import('./history.js').Sample[]} samples oldest first
 */
export function showSparkline(parts, samples) {
  if (samples.length < 2) {
    setAttribute(parts.line, 'points', '');
    setAttribute(parts.area, 'points', '');
    setAttribute(parts.sparkline, 'aria-label', 'Operations per second: not enough reports yet');
    return;
  }
  const now = samples[samples.length - 1].time;
  const rates = samples.map(sample => sample.rate);

  // From zero: a cohort that lost half of its throughput should look like it.
  const top = 1.08 * Math.max(...rates, 1);
  const points = samples.map(({ time, rate }) => `${(SECONDS - (now - time) / 1000).toFixed(1)},${(HEIGHT * (1 - rate / top)).toFixed(1)}`);
  setAttribute(parts.line, 'points', points.join(' '));
  const [first] = points[0].split(',');
  setAttribute(parts.area, 'points', `${first},${HEIGHT} ${points.join(' ')} ${SECONDS},${HEIGHT}`);
  setAttribute(parts.sparkline, 'aria-label',
    `Operations per second in the last two minutes: ${si(Math.min(...rates))} to ${si(Math.max(...rates))}`);
}
