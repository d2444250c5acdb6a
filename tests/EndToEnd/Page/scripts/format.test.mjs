import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  counterText, counted, decimalOf, distanceText, duration, fitted, longMoment, nearestBoundary, pagesText, parseBoundary, powerOfTen,
  sentenceOf, si, span,
} from '../../../../src/SoakHost/Page/wwwroot/format.js';

const boundaries = ['2^31', '2^32', '2^63', '2^64'].map(parseBoundary);

test('figures have three digits and a prefix, and no fourth one by rounding', () => {
  assert.deepEqual([0, 7, 999, 999.4, 999.5, 1000, 81_234_567, -1500, 999_499, 999_500].map(si), [
    '0', '7', '999', '999', '1.00 k', '1.00 k', '81.2 M', '-1.50 k', '999 k', '1.00 M',
  ]);
  assert.deepEqual([0, 4, 5, 6, 20, 21].map(powerOfTen), ['1', '10 k', '100 k', '1 M', '100 E', '10^21']);
  assert.deepEqual([999_999_999, 1e9].map(fitted), ['999,999,999', '1.00 G']);
  assert.deepEqual([0, 1, 1000].map(count => counted(count, 'vCPU')), ['0 vCPUs', '1 vCPU', '1,000 vCPUs']);
});

test('64 bits keep every digit in decimal', () => {
  assert.deepEqual(['0x1', '0x20000000000001', '0xffffffffffffffff'].map(decimalOf), ['1', '9007199254740993', '18446744073709551615']);
});

test('a sentence has a capital and one full stop', () => {
  assert.deepEqual(['2 hung', 'no crossing yet', 'Done.', 'why?'].map(sentenceOf), ['2 hung.', 'No crossing yet.', 'Done.', 'Why?']);
});

test('a duration has its two largest units', () => {
  assert.deepEqual([-1, 0, 59.9, 60, 3599, 3600, 86_399, 86_400, 90_061].map(duration), [
    '0 s', '0 s', '59 s', '1 min 0 s', '59 min 59 s', '1 h 0 min', '23 h 59 min', '1 d 0 h', '1 d 1 h',
  ]);
});

test('a boundary is a power of two or a plain number', () => {
  assert.deepEqual(parseBoundary('2^64'), { name: '2^64', value: 1n << 64n });
  assert.deepEqual(parseBoundary('2_500_000'), { name: '2_500_000', value: 2_500_000n });
  assert.deepEqual(parseBoundary('0xff'), { name: '0xff', value: 255n });
  assert.deepEqual(['2^', '', 'x', '2^100'].map(parseBoundary), [null, null, null, null]);
});

test('a counter is told from the nearest boundary', () => {
  assert.equal(counterText('0x800003f3'), '0x800003f3, 1,011 past 2^31');
  assert.equal(counterText('0x80000000'), '0x80000000, at 2^31');
  assert.equal(counterText('0xffffff00'), '0xffffff00, 256 before 2^32');
  assert.equal(counterText('0xffffffffffffffff'), '0xffffffffffffffff, 1 before 2^64');
  assert.equal(counterText('unknown'), 'unknown');
  assert.equal(nearestBoundary((3n << 30n) - 1n, boundaries).name, '2^31');
  assert.equal(nearestBoundary((3n << 30n) + 1n, boundaries).name, '2^32');
});

test('a counter that came round to 0 is past 2^64, and one of which that is not known is not', () => {
  const last = boundaries[3];
  assert.equal(distanceText(3n, last), '3 past 2^64');
  assert.equal(distanceText(0n, last), 'at 2^64');
  assert.equal(distanceText((1n << 63n) - 1n, last), '9,223,372,036,854,775,807 past 2^64');
  assert.equal(distanceText(1n << 63n, last), '9,223,372,036,854,775,808 before 2^64');
  assert.equal(counterText('0x3'), '0x3, 32,765 before 2^15');
});

test('pages are told as ranges', () => {
  assert.deepEqual(['0x0', '0x1', '0x8f', '0x8000000000000000', '0xffffffffffffffff'].map(pagesText), [
    'none', '0', '0-3, 7', '63', '0-63',
  ]);
});

test('a span has its date once, both dates where they differ, and the year where it is not this one', () => {
  const at = (day, second, year = new Date().getFullYear()) => new Date(year, 10, day, 18, 53, second);
  assert.equal(longMoment(at(6, 3)), '6 Nov 18:53:03');
  assert.equal(span(at(6, 3), at(6, 18)), '6 Nov, 18:53:03 to 18:53:18');
  assert.equal(span(at(6, 3), at(6, 3)), '6 Nov 18:53:03');
  assert.equal(span(at(6, 3), at(7, 1)), '6 Nov 18:53:03 to 7 Nov 18:53:01');
  assert.equal(longMoment(at(6, 3, 2001)), '6 Nov 2001 18:53:03');
});
