/** Figures as people read them. Values of 64 bits come as hex text and are BigInt here. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const threeDigits = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3, minimumSignificantDigits: 3 });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const date = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const dayOfYear = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E'];

/** @param {number | bigint} value @returns {string} "1,234,567" */
export const grouped = value => whole.format(value);

/** @param {number} value @returns {string} at most 5 characters and an SI prefix: "81.2 M" */
export function si(value) {
  let power = 0;
  // 999.5 would be rounded to 1,000.
  while (Math.abs(value) >= 999.5 && power < prefixes.length - 1) {
    value /= 1000;
    power++;
  }
  return power === 0 ? whole.format(value) : `${threeDigits.format(value)} ${prefixes[power]}`;
}

/** @param {number} power @returns {string} a power of ten: "10 k", "1 M" */
export function powerOfTen(power) {
  const prefix = Math.floor(power / 3);
  return prefix < prefixes.length ? `${10 ** (power % 3)} ${prefixes[prefix]}`.trim() : `10^${power}`;
}

/** @param {number} value @returns {string} in full up to a billion, then with an SI prefix */
export const fitted = value => (Math.abs(value) < 1e9 ? grouped(value) : si(value));

/** @param {string} hex a value of 64 bits @returns {string} the same in decimal, with every digit */
export const decimalOf = hex => BigInt(hex).toString();

/** @param {string} text @returns {string} with a capital letter and a full stop */
export const sentenceOf = text => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;

/** @param {number} count @param {string} one @param {string} [many] @returns {string} "1 vCPU", "4 vCPUs" */
export const counted = (count, one, many = `${one}s`) => `${grouped(count)} ${count === 1 ? one : many}`;

/** @param {number} seconds @returns {string} "34 s", "12 min 4 s", "3 h 12 min", "5 d 3 h" */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const [minutes, hours, days] = [Math.floor(s / 60), Math.floor(s / 3600), Math.floor(s / 86400)];
  return days > 0
    ? `${grouped(days)} d ${hours % 24} h`
    : hours > 0
      ? `${hours} h ${minutes % 60} min`
      : minutes > 0
        ? `${minutes} min ${s % 60} s`
        : `${s} s`;
}

/** @param {string | number | Date} time @returns {string} the local time of day, with the date unless it is today's */
export function moment(time) {
  const then = new Date(time);
  return (then.toDateString() === new Date().toDateString() ? clock : date).format(then);
}

/** @param {string | number | Date} time @returns {string} the date, with the year unless it is this year's: "26 Nov" */
const dateOf = time => (new Date(time).getFullYear() === new Date().getFullYear() ? day : dayOfYear).format(new Date(time));

/** @param {string | number | Date} time @returns {string} always with the date: "26 Nov 18:53:03" */
export const longMoment = time => `${dateOf(time)} ${clock.format(new Date(time))}`;

/**
 * @param {string | number | Date} first
 * @param {string | number | Date} last
 * @returns {string} "26 Nov, 18:53:03 to 18:53:18", with both dates where they differ
 */
export function span(first, last) {
  const [from, to] = [longMoment(first), longMoment(last)];
  if (from === to) return from;
  return dateOf(first) === dateOf(last) ? `${dateOf(first)}, ${clock.format(new Date(first))} to ${clock.format(new Date(last))}` : `${from} to ${to}`;
}

/** @typedef {{ name: string, value: bigint }} Boundary */

/**
 * @param {string} name "2^31", or a plain number as real VMs may be given
 * @returns {Boundary | null} null when it is neither
 */
export function parseBoundary(name) {
  const power = /^2\^(\d{1,2})$/.exec(name);
  if (power) return { name, value: 1n << BigInt(power[1]) };
  const digits = name.replace(/[_,]/g, '');
  return /^(0x[0-9a-f]+|\d+)$/i.test(digits) ? { name, value: BigInt(digits) } : null;
}

// A counter wraps to 0 here.
const WRAP = 1n << 64n;

/**
 * Whether a counter can be past a boundary only by wrapping to 0. A counter that started near 0 looks the same.
 * @param {bigint} counter
 * @param {Boundary} boundary
 */
export const isRound = (counter, boundary) => boundary.value === WRAP && counter < WRAP / 2n;

/**
 * @param {bigint} counter
 * @param {Boundary} boundary
 * @returns {bigint} how far it is past the boundary, negative before it
 */
export const distanceOf = (counter, boundary) => counter - boundary.value + (isRound(counter, boundary) ? WRAP : 0n);

/**
 * @param {bigint} counter
 * @param {readonly Boundary[]} boundaries at least one
 * @returns {Boundary} the nearest one
 */
export function nearestBoundary(counter, boundaries) {
  const distance = (/** @type {Boundary} */ boundary) => {
    const past = distanceOf(counter, boundary);
    return past < 0n ? -past : past;
  };
  return boundaries.reduce((best, boundary) => (distance(boundary) < distance(best) ? boundary : best));
}

/** @param {bigint} counter @param {Boundary} boundary @returns {string} "1,011 past 2^31" */
export function distanceText(counter, boundary) {
  const past = distanceOf(counter, boundary);
  return past === 0n
    ? `at ${boundary.name}`
    : past > 0n
      ? `${grouped(past)} past ${boundary.name}`
      : `${grouped(-past)} before ${boundary.name}`;
}

const common = /** @type {Boundary[]} */ (['2^15', '2^16', '2^31', '2^32', '2^63', '2^64'].map(parseBoundary));

/** @param {string} hex @returns {string} "0x800003f3, 1,011 past 2^31"; other text, such as "unknown", is returned as it is */
export function counterText(hex) {
  if (!/^0x[0-9a-f]+$/i.test(hex)) return hex;
  const counter = BigInt(hex);
  const boundaries = common.filter(boundary => !isRound(counter, boundary));
  return `${hex}, ${distanceText(counter, nearestBoundary(counter, boundaries))}`;
}

/** @param {string} mask pages as bits, in hex @returns {string} "0-3, 7", or "none" */
export function pagesText(mask) {
  const bits = BigInt(mask);
  const runs = [];
  for (let page = 0; page < 64; page++) {
    if (!((bits >> BigInt(page)) & 1n)) continue;
    const first = page;
    while (page < 63 && (bits >> BigInt(page + 1)) & 1n) page++;
    runs.push(first === page ? `${first}` : `${first}-${page}`);
  }
  return runs.length > 0 ? runs.join(', ') : 'none';
}
