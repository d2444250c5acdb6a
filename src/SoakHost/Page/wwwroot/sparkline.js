/**
 * Up to two minutes of operations per second as a line; less as long as the page has not seen that much, so that the line is
 * never a speck.
 */

import { setAttribute } from './dom.js';
import { duration, si } from './format.js';

const WIDTH = 120;
const HEIGHT = 30;
const SECONDS_MIN = 20;

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
  const seconds = Math.max(SECONDS_MIN, (now - samples[0].time) / 1000);
  const rates = samples.map(sample => sample.rate);

  // From zero: a cohort that lost half of its throughput should look like it.
  const top = 1.08 * Math.max(...rates, 1);
  const points = samples.map(({ time, rate }) => {
    const x = WIDTH * (1 - (now - time) / 1000 / seconds);
    return `${x.toFixed(1)},${(HEIGHT * (1 - rate / top)).toFixed(1)}`;
  });
  setAttribute(parts.line, 'points', points.join(' '));
  const [first] = points[0].split(',');
  setAttribute(parts.area, 'points', `${first},${HEIGHT} ${points.join(' ')} ${WIDTH},${HEIGHT}`);
  setAttribute(
    parts.sparkline,
    'aria-label',
    `Operations per second in the last ${duration(seconds)}: ${si(Math.min(...rates))} to ${si(Math.max(...rates))}`,
  );
}
