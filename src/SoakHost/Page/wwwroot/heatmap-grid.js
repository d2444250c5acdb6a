/**
 * The geometry of a heat map. A VM is a column of its vCPUs, and columns wrap into bands. A cell of several VMs is a column by itself, and
 * then bands touch. Lengths are whole device pixels, so every cell is equally sharp.
 */

/**
 * @typedef {object} Grid
 * @property {number} count cells
 * @property {number} rows cells in a column
 * @property {number} columns columns in a band
 * @property {number} pitch from one cell to the next
 * @property {number} bandPitch from one band to the next
 * @property {number} width
 * @property {number} height
 */

const PITCHES = [16, 14, 12, 11, 10, 9, 8, 7, 6];

/**
 * @param {number} count at least 1
 * @param {number} rows
 * @param {number} width available
 * @param {number} pitch
 * @returns {Grid}
 */
export function gridOf(count, rows, width, pitch) {
  const columns = Math.max(1, Math.min(Math.floor(width / pitch), Math.ceil(count / rows)));
  const bands = Math.ceil(count / rows / columns);
  const bandPitch = rows === 1 ? pitch : rows * pitch + Math.ceil(pitch / 2);
  return { count, rows, columns, pitch, bandPitch, width: columns * pitch, height: (bands - 1) * bandPitch + rows * pitch };
}

/**
 * The largest pitch at which the maps, one below the other, are not too high.
 * @param {readonly { count: number, rows: number }[]} maps
 * @param {number} width available, CSS pixels
 * @param {number} heightMax of all together, CSS pixels
 * @returns {number} CSS pixels
 */
export function pitchFor(maps, width, heightMax) {
  return (
    PITCHES.find(
      pitch => maps.reduce((sum, { count, rows }) => sum + gridOf(count, rows, width, pitch).height, 0) <= heightMax,
    ) ?? PITCHES[PITCHES.length - 1]
  );
}

/**
 * @param {Grid} grid
 * @param {number} index of a cell
 * @returns {{ x: number, y: number }} its upper left corner
 */
export function cornerOf(grid, index) {
  const column = Math.floor(index / grid.rows);
  return {
    x: (column % grid.columns) * grid.pitch,
    y: Math.floor(column / grid.columns) * grid.bandPitch + (index % grid.rows) * grid.pitch,
  };
}

/**
 * @param {Grid} grid
 * @param {number} x
 * @param {number} y
 * @returns {number} the cell there, or -1
 */
export function cellAt(grid, x, y) {
  const column = Math.floor(x / grid.pitch);
  const band = Math.floor(y / grid.bandPitch);
  const row = Math.floor((y - band * grid.bandPitch) / grid.pitch);
  if (x < 0 || y < 0 || column >= grid.columns || row >= grid.rows) return -1;
  const index = (band * grid.columns + column) * grid.rows + row;
  return index < grid.count ? index : -1;
}

/**
 * @param {Grid} grid
 * @param {number} index of the present cell
 * @param {string} key as KeyboardEvent.key
 * @returns {number | null} the cell that the key moves to, the same cell at an edge; null for any other key
 */
export function moved(grid, index, key) {
  const { count, rows, columns } = grid;
  const row = index % rows;
  const band = rows * columns;
  const target = {
    ArrowRight: index + rows,
    ArrowLeft: index - rows,
    ArrowDown: row < rows - 1 ? index + 1 : index - row + band,
    ArrowUp: row > 0 ? index - 1 : index - band + rows - 1,
    PageDown: index + band,
    PageUp: index - band,
    Home: 0,
    End: count - 1,
  }[key];
  return target === undefined ? null : target >= 0 && target < count ? target : index;
}
