/** Pictures to the network's input: resized, padded right and below, RGB planes of 0 to 255. */

/** RGB that the network's normalisation turns into zero (PAD_COLOUR in images.py). */
const PAD = "rgb(123, 117, 104)";

export interface Size {
  width: number;
  height: number;
}

/** The picture's size at the network: its longer side at most `longSide` (0: as it is); never enlarged. */
export function fitted({ width, height }: Size, longSide: number): Size {
  const scale = longSide > 0 ? Math.min(1, longSide / Math.max(width, height)) : 1;
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** Both sides rounded up to the multiple. */
export function padded({ width, height }: Size, multiple: number): Size {
  const up = (value: number): number => Math.ceil(value / multiple) * multiple;
  return { width: up(width), height: up(height) };
}

/** RGBA bytes to three planes of floats, red first. */
export function toPlanes(rgba: Uint8ClampedArray, planes: Float32Array): Float32Array {
  const count = planes.length / 3;
  for (let i = 0, j = 0; i < count; i++, j += 4) {
    planes[i] = rgba[j];
    planes[i + count] = rgba[j + 1];
    planes[i + 2 * count] = rgba[j + 2];
  }
  return planes;
}

/** Draws pictures into inputs; keeps its canvas and its memory between pictures of one size. */
export class Preparer {
  private canvas = new OffscreenCanvas(1, 1);
  private context = open(this.canvas);
  private planes = new Float32Array(0);

  /** The input (3, H, W) of the picture at size `shown`, padded to `input`. Valid until the next call. */
  prepare(picture: ImageBitmap, shown: Size, input: Size): Float32Array {
    if (this.canvas.width !== input.width || this.canvas.height !== input.height) {
      this.canvas.width = input.width;
      this.canvas.height = input.height;
      this.planes = new Float32Array(3 * input.width * input.height);
      this.context.imageSmoothingQuality = "high";
    }
    this.context.fillStyle = PAD;
    this.context.fillRect(0, 0, input.width, input.height);
    this.context.drawImage(picture, 0, 0, shown.width, shown.height);
    return toPlanes(this.context.getImageData(0, 0, input.width, input.height).data, this.planes);
  }
}

function open(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  if (!context) throw new Error("this browser offers no canvas to a worker");
  return context;
}
