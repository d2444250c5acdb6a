/** Operations per second of each cohort over the last two minutes, from the totals of successive reports. */

/** @typedef {{ time: number, rate: number }} Sample time in ms, rate in operations per second since the sample before */

const WINDOW_MS = 120_000;

// One report alone is jumpy: which slices ended in it is chance.
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
    // After a restart the totals begin at the last checkpoint again, which is no rate of anything.
    if (fleet.started !== this.started) this.cohorts.clear();
    const time = Date.parse(fleet.time);
    const seconds = (time - this.time) / 1000;
    const before = this.cohorts;
    this.cohorts = new Map(
      fleet.cohorts.map(({ name, operations }) => {
        const known = before.get(name);

        // Fewer operations than before: another cohort of the same name. An earlier time: the clock was set back, and the samples
        // from before that are of no time at all.
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
   * @returns {number | null} the average of the last seconds; null as long as there are not two reports
   */
  rate(cohort) {
    const recent = this.samples(cohort).filter(sample => sample.time > this.time - AVERAGE_MS);
    return recent.length === 0 ? null : recent.reduce((sum, sample) => sum + sample.rate, 0) / recent.length;
  }

  /** Over the cohorts that are there now, so that one that comes or goes leaves no spike. */
  total() {
    const rates = [...this.cohorts.keys()].map(name => this.rate(name)).filter(rate => rate !== null);
    return rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0);
  }
}
