/** The picture on the page and the faces drawn over it. */

import type { Detections, Face } from "./types";

const BOX = "#00c850";
const POINTS = ["#ff3c3c", "#3c78ff", "#ffc800", "#e650e6", "#00dcdc"];
/** More pixels than this are not seen on a page. */
const LONGEST = 2048;

export class View {
  private found: Detections | undefined;

  constructor(
    private picture: HTMLCanvasElement,
    private overlay: HTMLCanvasElement,
  ) {
    new ResizeObserver(() => this.draw()).observe(picture);
  }

  /** Shows a picture; the faces of the one before are gone. */
  show(source: ImageBitmap): void {
    const scale = Math.min(1, LONGEST / Math.max(source.width, source.height));
    const width = Math.max(1, Math.round(source.width * scale));
    const height = Math.max(1, Math.round(source.height * scale));
    // Setting a canvas's size clears it, which would flicker under the camera.
    if (this.picture.width !== width || this.picture.height !== height) {
      this.picture.width = width;
      this.picture.height = height;
    }
    this.picture.getContext("2d")!.drawImage(source, 0, 0, width, height);
    this.mark(undefined);
  }

  /** Marks these faces. */
  mark(found: Detections | undefined): void {
    this.found = found;
    this.draw();
    const count = found?.faces.length;
    this.picture.setAttribute("aria-label", count === undefined ? "The photo" : `The photo, with ${counted(count)}`);
  }

  private draw(): void {
    const { overlay, found } = this;
    const width = this.picture.clientWidth;
    const height = this.picture.clientHeight;
    overlay.width = Math.round(width * devicePixelRatio);
    overlay.height = Math.round(height * devicePixelRatio);
    if (!found || width === 0) return;
    const context = overlay.getContext("2d")!;
    context.scale(devicePixelRatio, devicePixelRatio);
    const scale = width / found.width;
    // The best last, on top of the others.
    for (const face of found.faces.toReversed()) drawFace(context, face, scale, width);
  }
}

/** "1 face", "2 faces". */
export const counted = (count: number): string => `${count.toLocaleString("en")} ${count === 1 ? "face" : "faces"}`;

/** What "Save with faces blurred" does to the faces that are hidden from this score on, once they are known. */
export const hintOf = (least: number, hidden?: Detections): string =>
  `Blurs ${hidden ? counted(hidden.faces.length) : "all faces"} with a score of ${least.toFixed(2)} or more, shown or not` +
  (hidden ? "." : ", after a look in full size.");

function drawFace(context: CanvasRenderingContext2D, face: Face, scale: number, pageWidth: number): void {
  const [x1, y1, x2, y2] = face.box.map((value) => value * scale);
  context.lineWidth = x2 - x1 < 40 ? 1.5 : 2.5;
  context.strokeStyle = BOX;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  const radius = Math.max(1, Math.min(4, (x2 - x1) / 30));
  face.landmarks.forEach(([x, y], i) => {
    context.beginPath();
    context.arc(x * scale, y * scale, radius, 0, 2 * Math.PI);
    context.fillStyle = POINTS[i];
    context.fill();
  });
  if (x2 - x1 < 24) return;
  const label = face.score.toFixed(2);
  context.font = "600 13px system-ui, sans-serif";
  const width = context.measureText(label).width + 8;
  const left = Math.max(0, Math.min(x1 - context.lineWidth / 2, pageWidth - width));
  const top = y1 >= 18 ? y1 - 18 : y1;
  context.fillStyle = BOX;
  context.fillRect(left, top, width, 18);
  context.fillStyle = "#08130d";
  context.fillText(label, left + 4, top + 13.5);
}
