/** Faces made unrecognisable as `featherface anonymise` does: a few mean values across each, in an ellipse. */

import type { Box, Face } from "./types";

/** Hidden from this score on, whatever is shown: a face hidden for nothing costs less than one that is not. */
export const HIDE_FROM = 0.2;
const GROW = 1.3;
const CELLS = 4;
const LEAST_CELL = 5;

/** The score from which faces are hidden when those from `shown` on are on the screen. */
export const hideFrom = (shown: number): number => Math.min(shown, HIDE_FROM);

interface Pixels {
  width: number;
  height: number;
  data: Uint8ClampedArray<ArrayBuffer>;
}

/** Hides the faces in the canvas, small ones first, so that no large one is built from one that it overlaps. */
export function hideFaces(context: OffscreenCanvasRenderingContext2D, faces: Face[]): void {
  const boxes = faces.map(({ box }) => grown(box, GROW));
  boxes.sort((a, b) => (a[2] - a[0]) * (a[3] - a[1]) - (b[2] - b[0]) * (b[3] - b[1]));
  for (const box of boxes) hideOne(context, box);
}

/** A box with both sides multiplied, about its centre. */
export function grown([x1, y1, x2, y2]: Box, factor: number): Box {
  const x = (x1 + x2) / 2;
  const y = (y1 + y2) / 2;
  const halfWidth = ((x2 - x1) / 2) * factor;
  const halfHeight = ((y2 - y1) / 2) * factor;
  return [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight];
}

/** The mean colour of each of `columns` x `rows` cells: unlike a convolution, nothing of the detail is left. */
export function means({ data, width, height }: Pixels, columns: number, rows: number): Uint8ClampedArray<ArrayBuffer> {
  const result = new Uint8ClampedArray(columns * rows * 4);
  for (let row = 0; row < rows; row++) {
    const [top, bottom] = [Math.floor((row * height) / rows), Math.floor(((row + 1) * height) / rows)];
    for (let column = 0; column < columns; column++) {
      const [left, right] = [Math.floor((column * width) / columns), Math.floor(((column + 1) * width) / columns)];
      const sums = [0, 0, 0, 0];
      for (let y = top; y < bottom; y++)
        for (let at = 4 * (y * width + left); at < 4 * (y * width + right); at++) sums[at % 4] += data[at];
      const count = (bottom - top) * (right - left);
      sums.forEach((sum, channel) => (result[4 * (row * columns + column) + channel] = sum / count));
    }
  }
  return result;
}

function hideOne(context: OffscreenCanvasRenderingContext2D, box: Box): void {
  const { width: wide, height: high } = context.canvas;
  const left = Math.max(0, Math.floor(box[0]));
  const top = Math.max(0, Math.floor(box[1]));
  const width = Math.min(wide, Math.ceil(box[2])) - left;
  const height = Math.min(high, Math.ceil(box[3])) - top;
  if (width <= 0 || height <= 0) return;
  const cell = Math.max(Math.max(box[2] - box[0], box[3] - box[1]) / CELLS, LEAST_CELL);
  const columns = Math.max(1, Math.round(width / cell));
  const rows = Math.max(1, Math.round(height / cell));
  const colours = means(context.getImageData(left, top, width, height), columns, rows);
  const small = new OffscreenCanvas(columns, rows);
  small.getContext("2d")!.putImageData(new ImageData(colours, columns, rows), 0, 0);

  context.save();
  context.beginPath();
  const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  context.ellipse(x, y, (box[2] - box[0]) / 2, (box[3] - box[1]) / 2, 0, 0, 2 * Math.PI);
  context.clip();
  context.imageSmoothingEnabled = true;
  context.drawImage(small, left, top, width, height);
  context.restore();
}
