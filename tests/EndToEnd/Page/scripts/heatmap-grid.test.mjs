import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cellAt, cornerOf, gridOf, moved, pitchFor } from '../../../../src/SoakHost/Page/wwwroot/heatmap-grid.js';

// 10 VMs of 4 vCPUs, 6 columns in a band: a band of 6 VMs and one of 4.
const grid = gridOf(40, 4, 65, 10);

test('columns wrap into bands that do not touch, and those of single cells do', () => {
  assert.deepEqual(grid, { count: 40, rows: 4, columns: 6, pitch: 10, bandPitch: 45, width: 60, height: 85 });
  assert.deepEqual(gridOf(7, 1, 30, 10), { count: 7, rows: 1, columns: 3, pitch: 10, bandPitch: 10, width: 30, height: 30 });
  assert.equal(gridOf(3, 1, 5, 10).columns, 1);
});

test('every cell is found where it is painted, and nothing between and behind them', () => {
  for (const each of [grid, gridOf(7, 1, 30, 10), gridOf(5, 2, 24, 8)]) {
    for (let index = 0; index < each.count; index++) {
      const { x, y } = cornerOf(each, index);
      assert.equal(cellAt(each, x, y), index);
      assert.equal(cellAt(each, x + each.pitch - 1, y + each.pitch - 1), index);
    }
  }
  for (const [x, y] of [[-1, 0], [0, -1], [60, 0], [0, 41], [0, 90], [41, 50]]) assert.equal(cellAt(grid, x, y), -1, `${x}, ${y}`);
});

test('keys move by a vCPU, by a VM, by a band and to either end, and stop at edges', () => {
  const keys = {
    ArrowRight: [[0, 4], [36, 36]],
    ArrowLeft: [[4, 0], [3, 3]],
    ArrowDown: [[0, 1], [3, 24], [27, 27]],
    ArrowUp: [[1, 0], [24, 3], [0, 0]],
    PageDown: [[0, 24], [24, 24], [20, 20]],
    PageUp: [[24, 0], [23, 23]],
    Home: [[39, 0]],
    End: [[0, 39]],
  };
  for (const [key, moves] of Object.entries(keys)) {
    for (const [from, to] of moves) assert.equal(moved(grid, from, key), to, `${key} from ${from}`);
  }
  assert.equal(moved(grid, 0, 'x'), null);
});

test('the pitch is the largest at which all maps together fit, and the smallest where none does', () => {
  assert.equal(pitchFor([{ count: 40, rows: 4 }], 1000, 500), 16);
  const maps = [{ count: 4096, rows: 4 }, { count: 4096, rows: 1 }];
  const pitch = pitchFor(maps, 1000, 600);
  const height = each => maps.reduce((sum, { count, rows }) => sum + gridOf(count, rows, 1000, each).height, 0);
  assert.ok(height(pitch) <= 600 && height(pitch + 1) > 600, `${pitch}: ${height(pitch)}, ${height(pitch + 1)}`);
  assert.equal(pitchFor([{ count: 1e6, rows: 1 }], 100, 100), 6);
});
