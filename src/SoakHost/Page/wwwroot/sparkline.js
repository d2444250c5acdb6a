/** A cohort's progress over the last two minutes, or what the page has seen so far. */

import { setAttribute } from './dom.js';
import { duration, si } from './format.js';

const WIDTH = 120;
const HEIGHT = 30;
const SECONDS_MIN = 20;

/**
 * Guest accesses a second: vCPUs that only retry draw a line at zero. Operations where guest accesses are not measured.
 * @param {import('./dom.js').Parts} parts of a card
 * @param {readonly import('./history.js').Sample[]} samples oldest first
 */
export function showSparkline(parts, samples) {
  const what = samples.some(({ accesses }) => accesses !== null) ? 'Guest accesses' : 'Operations';
  if (samples.length < 2) {
    setAttribute(parts.line, 'points', '');
    setAttribute(parts.area, 'points', '');
    setAttribute(parts.sparkline, 'aria-label', `${what} per second: not enough reports yet`);
    return;
  }
  const now = samples[samples.length - 1].time;
  const seconds = Math.max(SECONDS_MIN, (now - samples[0].time) / 1000);
  const rates = samples.map(({ accesses, rate }) => (what === 'Operations' ? rate : (accesses ?? 0)));

  // The axis starts at zero: a cohort that loses half of its throughput must look like it.
  const top = 1.08 * Math.max(...rates, 1);
  const points = samples.map(({ time }, index) => {
    const x = WIDTH * (1 - (now - time) / 1000 / seconds);
    return `${x.toFixed(1)},${(HEIGHT * (1 - rates[index] / top)).toFixed(1)}`;
  });
  setAttribute(parts.line, 'points', points.join(' '));
  const [first] = points[0].split(',');
  setAttribute(parts.area, 'points', `${first},${HEIGHT} ${points.join(' ')} ${WIDTH},${HEIGHT}`);
  setAttribute(
    parts.sparkline,
    'aria-label',
    `${what} per second in the last ${duration(seconds)}: ${si(Math.min(...rates))} to ${si(Math.max(...rates))}`,
  );
}
