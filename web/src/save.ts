/** Files for the user: a picture with its faces blurred, and the JSON that `featherface detect --json` writes. */

import { hideFaces, hideFrom } from "./blur";
import { suppress } from "./decode";
import type { Detections } from "./types";

export interface Result {
  path: string;
  /** Only the faces to be written. */
  found?: Detections;
  error?: string;
}

/** The faces with at least this score. */
export const scored = (found: Detections, least: number): Detections => ({
  ...found,
  faces: found.faces.filter(({ score }) => score >= least),
});

/** The faces that are hidden when those from `shown` on are on the screen: these, and doubtful ones. */
export const toHide = (found: Detections, shown: number): Detections => scored(found, hideFrom(shown));

/** Whether the network saw less than the whole picture, whose longer side was to be `longSide` (0: as it is). */
export const isShrunk = ({ width, height }: Detections, longSide: number): boolean =>
  longSide > 0 && Math.max(width, height) > longSide;

/** The faces of two looks at one picture, the better box of each. */
export const both = (first: Detections, second: Detections): Detections => ({
  ...first,
  faces: suppress([...first.faces, ...second.faces].sort((a, b) => b.score - a.score)),
});

/** The JSON of the command line, rounded as it rounds. */
export function toJson(results: Result[]): string {
  const images = results.map(({ path, found, error }) => ({
    path,
    width: found?.width ?? null,
    height: found?.height ?? null,
    faces: (found?.faces ?? []).map(({ box, score, landmarks }) => ({
      box: box.map((value) => rounded(value, 2)),
      score: rounded(score, 5),
      landmarks: landmarks.map((point) => point.map((value) => rounded(value, 2))),
    })),
    error: error ?? null,
  }));
  return JSON.stringify({ images }, null, 1) + "\n";
}

/** The picture with these faces hidden. It is encoded anew, so no metadata of the file is left in it. */
export async function blurred(picture: ImageBitmap, found: Detections, name: string): Promise<[Blob, string]> {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(picture, 0, 0);
  hideFaces(context, found.faces);
  const jpeg = /\.jpe?g$/i.test(name);
  const blob = await canvas.convertToBlob(jpeg ? { type: "image/jpeg", quality: 0.92 } : { type: "image/png" });
  return [blob, `${name.replace(/\.\w+$/, "")}-blurred.${jpeg ? "jpg" : "png"}`];
}

/** Hands a file to the browser's downloads. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));
