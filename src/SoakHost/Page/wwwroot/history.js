/** Operations per second of each cohort over the last two minutes, from the totals of successive reports. */

/** @typedef {{ time: number, rate: number }} Sample time in ms, rate in operations per second since the sample before */

const WINDOW_MS = 120_000;

// The rate of a single report varies with the slices that happened to end in it.
const AVERAGE_MS = 5000;

export class RateHistory {
  constructor() {
    this.started = '';
    this.time = 0;
    /** @type {Map<string, { operations: number, samples: Sample[] }>} */
    this.cohorts = new Map();
  }

  /** @param {import('./types.js').Fleet} fleet */
  add(fleet) {
    // A restarted service goes back to the totals of its last checkpoint; the difference is not a rate.
    if (fleet.started !== this.started) this.cohorts.clear();
    const time = Date.parse(fleet.time);
    const seconds = (time - this.time) / 1000;
    const before = this.cohorts;
    this.cohorts = new Map(
      fleet.cohorts.map(({ name, operations }) => {
        const known = before.get(name);

        // Fewer operations than before: another cohort of the same name. An earlier time: the clock was set back, and the older
        // samples are useless.
        if (!known || operations < known.operations || seconds <= 0)
          return [name, { operations, samples: known && seconds === 0 ? known.samples : [] }];
        const samples = known.samples.filter(sample => sample.time > time - WINDOW_MS);
        samples.push({ time, rate: (operations - known.operations) / seconds });
        return [name, { operations, samples }];
      }),
    );
    this.started = fleet.started;
    this.time = time;
  }

  /**
   * @param {string} cohort
   * @returns {readonly Sample[]} oldest first
   */
  samples(cohort) {
    return this.cohorts.get(cohort)?.samples ?? [];
  }

  /**
   * @param {string} cohort
   * @returns {number | null} the average of the last seconds; null before the second report
   */
  rate(cohort) {
    const recent = this.samples(cohort).filter(sample => sample.time > this.time - AVERAGE_MS);
    return recent.length === 0 ? null : recent.reduce((sum, sample) => sum + sample.rate, 0) / recent.length;
  }

  /** Only over the cohorts of the last report, so an added or removed cohort leaves no spike. */
  total() {
    const rates = [...this.cohorts.keys()].map(name => this.rate(name)).filter(rate => rate !== null);
    return rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0);
  }
}
