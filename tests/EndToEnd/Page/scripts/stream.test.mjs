import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { FleetStream } from '../../../../src/SoakHost/Page/wwwroot/stream.js';

/** A connection that does what the test says, as a browser's would. */
class StubSource extends EventTarget {
  static CLOSED = 2;
  /** @type {StubSource[]} */
  static opened = [];
  readyState = 1;

  constructor() {
    super();
    StubSource.opened.push(this);
  }

  close() {
    this.readyState = StubSource.CLOSED;
  }

  /** @param {object} report */
  tell(report) {
    const text = JSON.stringify({ verdict: 'pass', interval_seconds: 1, ...report });
    this.dispatchEvent(new MessageEvent('fleet', { data: text }));
  }

  /** @param {number} readyState */
  fail(readyState) {
    this.readyState = readyState;
    this.dispatchEvent(new Event('error'));
  }
}

let visibility = new EventTarget();
let asked = 0;
/** @type {() => Promise<Response>} */
let answer;
/** @type {any[]} */
let reports;
/** @type {import('../../../../src/SoakHost/Page/wwwroot/stream.js').Connection[]} */
let connections;

const states = () => connections.map(({ state }) => state);
const latest = () => StubSource.opened[StubSource.opened.length - 1];

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_800_000_000_000 });
  StubSource.opened = [];
  visibility = new EventTarget();
  asked = 0;
  answer = async () => Response.json({ detail: 'It starts.' }, { status: 503 });
  reports = [];
  connections = [];
  Object.assign(globalThis, {
    EventSource: StubSource,
    document: visibility,
    fetch: () => (asked++, answer()),
  });
  new FleetStream(report => reports.push(report), connection => connections.push(connection)).start();
});

afterEach(() => mock.timers.reset());

test('the first report makes it live, and is passed on as it came', () => {
  const report = { verdict: 'pass', interval_seconds: 1, time: 'a', cohorts: [{ seed: 7 }], seed: '0xffffffffffffffff' };
  latest().tell(report);
  assert.deepEqual(states(), ['live']);
  assert.deepEqual(reports, [report]);
});

test('the same report again is no sign of life', () => {
  latest().tell({ time: 'a' });
  mock.timers.tick(4900);
  latest().tell({ time: 'a' });
  assert.equal(reports.length, 1);
  mock.timers.tick(1000);
  assert.deepEqual(states(), ['live', 'lost']);
});

test('silence is five intervals, however long those are, and three seconds at least', () => {
  for (const [seconds, silence] of [[60, 300_000], [0.1, 3000], [7, 35_000]]) {
    connections.length = 0;
    latest().tell({ time: `${seconds}`, interval_seconds: seconds });
    mock.timers.tick(silence);
    assert.ok(!states().includes('lost'), `${seconds} s`);
    const opened = StubSource.opened.length;
    mock.timers.tick(1000);
    assert.equal(states().pop(), 'lost', `${seconds} s`);
    assert.equal(connections[connections.length - 1].reason, 'The service stopped sending reports.');
    assert.equal(StubSource.opened.length, opened + 1);
  }
});

test('a page that was frozen looks as soon as it is shown', () => {
  latest().tell({ time: 'a' });
  mock.timers.setTime(1_800_000_060_000);
  connections.length = 0;
  visibility.dispatchEvent(new Event('visibilitychange'));
  assert.deepEqual(states(), ['lost']);
});

test('a connection that the browser opens again is left to it', () => {
  latest().tell({ time: 'a' });
  latest().fail(0);
  assert.deepEqual(states(), ['live', 'lost']);
  mock.timers.tick(5000);
  assert.equal(StubSource.opened.length, 1);
  latest().tell({ time: 'b' });
  assert.deepEqual(states(), ['live', 'lost', 'live']);
});

test('one that was refused is opened again, later and later, and why is asked once', async () => {
  latest().fail(StubSource.CLOSED);
  await new Promise(setImmediate);
  assert.deepEqual(connections.map(({ state, reason }) => [state, reason]), [
    ['lost', 'The connection was lost.'], ['lost', 'It starts.'],
  ]);
  for (const delay of [1000, 2000, 4000, 8000, 10_000, 10_000]) {
    const opened = StubSource.opened.length;
    mock.timers.tick(delay - 1);
    assert.equal(StubSource.opened.length, opened, `${delay} ms`);
    mock.timers.tick(1);
    assert.equal(StubSource.opened.length, opened + 1, `${delay} ms`);
    latest().fail(StubSource.CLOSED);
  }
  assert.equal(asked, 1);

  // After a report it is another outage.
  mock.timers.tick(10_000);
  latest().tell({ time: 'a' });
  latest().fail(StubSource.CLOSED);
  assert.equal(asked, 2);
  const opened = StubSource.opened.length;
  mock.timers.tick(1000);
  assert.equal(StubSource.opened.length, opened + 1);
});

test('a service that does not answer is said to be so', async () => {
  answer = async () => {
    throw new TypeError('fetch failed');
  };
  latest().fail(StubSource.CLOSED);
  await new Promise(setImmediate);
  assert.equal(connections[connections.length - 1].reason, 'The service does not answer.');
});

test('an error of a connection that was given up is not one of its successor', () => {
  const first = latest();
  first.tell({ time: 'a' });
  mock.timers.tick(6000);
  latest().tell({ time: 'b' });
  first.fail(StubSource.CLOSED);
  assert.deepEqual(states(), ['live', 'lost', 'live']);
});

test('a connection that never says anything is opened again', () => {
  mock.timers.tick(21_000);
  assert.equal(StubSource.opened.length, 2);
});
