/** Ties the modules together: what happens when a report comes, the connection changes or a second passes. */

import { Cohorts } from './cohorts.js';
import { countdownOf, isWaiting } from './countdown.js';
import { duration, moment } from './format.js';
import { HeatMap } from './heatmap.js';
import { RateHistory } from './history.js';
import { fragmentOf } from './incident-text.js';
import { IncidentList } from './incidents.js';
import { Interventions } from './interventions.js';
import { FleetStream } from './stream.js';
import { listenForTimelines } from './timeline.js';
import { showAbout, showAlarm, showConnection, showRun, showVerdict } from './verdict.js';
import { WatchSection } from './watch.js';

const history = new RateHistory();
const cohorts = new Cohorts();
const incidents = new IncidentList();
const interventions = new Interventions();
const heatMap = new HeatMap(openIncident);
const watch = new WatchSection(/** @type {HTMLElement} */ (document.getElementById('watch')), showAlarm);

/** @type {import('./types.js').Fleet | null} */
let fleet = null;
/** @type {import('./stream.js').Connection} */
let connection = { state: 'connecting', since: Date.now(), reason: '' };
/** @type {{ text: string, time: number } | null} */
let note = null;
let lostAt = 0;
let news = '';
let frame = 0;
let isWatching = false;

/** @param {import('./types.js').Fleet} report */
function receive(report) {
  if (lostAt > 0) tellReconnection(report);
  if (report.watches && !isWatching) watch.setLive((isWatching = true));
  fleet = report;
  history.add(report);

  // A hidden tab draws nothing, but its title must show the verdict.
  if (document.hidden) showNewVerdict(report);
  frame ||= requestAnimationFrame(render);
}

function render() {
  frame = 0;
  if (fleet) {
    // Nothing to show before the first report.
    for (const section of document.querySelectorAll('main > [hidden]:not(#watch)')) section.removeAttribute('hidden');
    showNewVerdict(fleet);
    showConnection(connection, note);
    showAbout(fleet);
    showRun(fleet, history.total(), history.total('accesses'));
    cohorts.show(fleet.cohorts, history, reasonOf);
    interventions.take(fleet);
    heatMap.show(fleet.cohorts);
    incidents.take(fleet);
  }
}

/** @param {import('./types.js').Fleet} report */
function showNewVerdict(report) {
  showVerdict(report, connection, boundaryAhead, news);
  news = '';
}

/** @param {import('./types.js').Cohort} cohort */
const boundaryAhead = cohort => countdownOf(cohort, history.rate(cohort.name, 'invalidations'), Date.now());

/** @param {import('./types.js').Cohort} cohort @returns {string} why its verdict is what it is */
const reasonOf = cohort => (isWaiting(cohort) && boundaryAhead(cohort)?.text) || cohort.reason;

/** @param {import('./stream.js').Connection} changed */
function connect(changed) {
  if (changed.state === 'lost' && connection.state === 'live') lostAt = changed.since;
  connection = changed;
  if (changed.state === 'live') interventions.connect();
  else showVerdict(fleet, connection, boundaryAhead);
  interventions.setLive(changed.state === 'live');
  incidents.setLive(changed.state === 'live');
  if (isWatching) watch.setLive(changed.state === 'live');
  showConnection(connection, note);
}

/** @param {import('./types.js').Fleet} report */
function tellReconnection(report) {
  const gap = duration((Date.now() - lostAt) / 1000);
  const what = fleet && report.started !== fleet.started ? 'the service was restarted' : 'the service kept running';
  note = { text: `reconnected at ${moment(Date.now())} after ${gap}: ${what}`, time: Date.now() };
  lostAt = 0;
  news = `Reconnected after ${gap}: ${what}.`;
}

/** @type {import('./heatmap-track.js').Surroundings['openIncident']} */
async function openIncident(cohort, from, vms) {
  const incident = await incidents.find(cohort, from, vms);
  if (incident) location.hash = fragmentOf(incident.id, incident.run);
  return incident !== null;
}

setInterval(() => {
  if (connection.state !== 'live') {
    showVerdict(fleet, connection, boundaryAhead);
    showConnection(connection, note);
  }
}, 1000);
listenForTimelines();
new FleetStream(receive, connect).start();
