/**
 * How a cell looks. States differ in shape and size as well as in colour: a running vCPU is a dot, a starved one a triangle, a hung one a
 * square with a cross, or a hatched one where the hang is expected. In a cell of several vCPUs the hung and the starved ones fill their share from the bottom.
 */

/** @typedef {{ running: string, starved: string, hung: string, expected: string, cut: string }} Palette */

const CROSS_FROM = 7;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {import('./heatmap-grid.js').Grid} grid
 * @param {{ x: number, y: number }} corner
 * @param {number} hung share of the cell's vCPUs, 0 to 1
 * @param {number} starved likewise
 * @param {boolean} isExpected whether the hung ones are meant to hang
 * @param {Palette} palette
 */
export function paintCell(context, { pitch }, { x, y }, hung, starved, isExpected, palette) {
  context.clearRect(x, y, pitch, pitch);
  const size = pitch - Math.max(1, Math.round(pitch * 0.14));
  if (hung < 1 && starved < 1) {
    const dot = Math.max(2, Math.round(size * 0.45));
    const inset = Math.floor((size - dot) / 2);
    context.fillStyle = palette.running;
    context.fillRect(x + inset, y + inset, dot, dot);
  }
  const hungHeight = heightOf(hung, size);
  if (starved === 1) paintTriangle(context, x, y, size, palette.starved);
  else if (starved > 0)
    paintBar(context, x, y + size - hungHeight, size, Math.min(heightOf(starved, size), size - hungHeight), palette.starved);
  if (hung > 0) paintBar(context, x, y + size, size, hungHeight, isExpected ? palette.expected : palette.hung);
  if (hung > 0 && isExpected) paintHatch(context, x, y + size - hungHeight, size, hungHeight, palette.cut);
  else if (hung === 1 && size >= CROSS_FROM) paintCross(context, x, y, size, palette.cut);
}

/** A cell must show even a single hung vCPU. */
const heightOf = (/** @type {number} */ share, /** @type {number} */ size) =>
  share === 0 ? 0 : share === 1 ? size : Math.min(size - 1, Math.max(Math.ceil(size / 3), Math.round(share * size)));

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} bottom
 * @param {number} size
 * @param {number} height
 * @param {string} color
 */
function paintBar(context, x, bottom, size, height, color) {
  context.fillStyle = color;
  context.fillRect(x, bottom - height, size, height);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} size
 * @param {string} color
 */
function paintTriangle(context, x, y, size, color) {
  context.fillStyle = color;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x, y + size);
  context.lineTo(x + size, y + size);
  context.fill();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} size
 * @param {string} color
 */
function paintCross(context, x, y, size, color) {
  const inset = size * 0.26;
  context.strokeStyle = color;
  context.lineWidth = Math.max(1, size * 0.13);
  context.beginPath();
  context.moveTo(x + inset, y + inset);
  context.lineTo(x + size - inset, y + size - inset);
  context.moveTo(x + size - inset, y + inset);
  context.lineTo(x + inset, y + size - inset);
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} height
 * @param {string} color
 */
function paintHatch(context, x, y, width, height, color) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = color;
  context.lineWidth = Math.max(1, width * 0.14);
  context.beginPath();
  for (const offset of [0, 0.7, 1.4]) {
    context.moveTo(x + offset * width, y - 1);
    context.lineTo(x + offset * width - height - 2, y + height + 1);
  }
  context.stroke();
  context.restore();
}
