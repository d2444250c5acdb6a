/** Rates of each cohort over the last two minutes, from the totals of successive reports. */

/**
 * What happened per second since the sample before. Guest accesses are the progress of vCPUs: a cohort that only retries has operations
 * and none of them.
 * @typedef {object} Sample
 * @property {number} time ms
 * @property {number} rate operations
 * @property {number | null} accesses guest accesses; null where they are not measured
 * @property {number | null} invalidations likewise
 */

const WINDOW_MS = 120_000;

// The rate of a single report varies with the slices that happened to end in it.
const AVERAGE_MS = 5000;

/** @typedef {Pick<import('./types.js').Cohort, 'operations' | 'guest_accesses' | 'invalidations'>} Totals */

export class RateHistory {
  constructor() {
    this.started = '';
    this.time = 0;
    /** @type {Map<string, { totals: Totals, samples: Sample[] }>} */
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
      fleet.cohorts.map(({ name, operations, guest_accesses, invalidations }) => {
        const totals = { operations, guest_accesses, invalidations };
        const known = before.get(name);

        // Fewer operations than before: another cohort of the same name. An earlier time: the clock was set back, and the older
        // samples are useless.
        if (!known || operations < known.totals.operations || seconds <= 0)
          return [name, { totals, samples: known && seconds === 0 ? known.samples : [] }];
        const perSecond = (/** @type {number | null} */ now, /** @type {number | null} */ then) =>
          typeof now === 'number' && typeof then === 'number' ? (now - then) / seconds : null;
        const samples = known.samples.filter(sample => sample.time > time - WINDOW_MS);
        samples.push({
          time,
          rate: (operations - known.totals.operations) / seconds,
          accesses: perSecond(guest_accesses, known.totals.guest_accesses),
          invalidations: perSecond(invalidations, known.totals.invalidations),
        });
        return [name, { totals, samples }];
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
   * @param {'rate' | 'accesses' | 'invalidations'} [of]
   * @returns {number | null} the average of the last seconds; null before the second report and where it is not measured
   */
  rate(cohort, of = 'rate') {
    const recent = this.samples(cohort)
      .filter(sample => sample.time > this.time - AVERAGE_MS)
      .flatMap(sample => sample[of] ?? []);
    return recent.length === 0 ? null : recent.reduce((sum, rate) => sum + rate, 0) / recent.length;
  }

  /**
   * Only over the cohorts of the last report, so an added or removed cohort leaves no spike.
   * @param {'rate' | 'accesses'} [of]
   */
  total(of = 'rate') {
    const rates = [...this.cohorts.keys()].map(name => this.rate(name, of)).filter(rate => rate !== null);
    return rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0);
  }
}
