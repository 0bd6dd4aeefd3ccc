/** Outputs of our own networks for photos in the public domain, written by scripts/store_web_outputs.py. */

import { readFileSync } from "node:fs";
import { expect } from "vitest";

import type { Outputs } from "../../src/decode";
import type { Face, ModelSpec } from "../../src/types";

interface Look {
  width: number;
  height: number;
  priors: number;
  likely: number;
}

interface About {
  spec: ModelSpec;
  looks: Look[];
  width: number;
  height: number;
  expected: { threshold: number; faces: Face[] }[];
}

/** One look at the picture, or two: at its own size, and at a small copy. */
export interface Stored extends Omit<About, "looks"> {
  looks: { input: { width: number; height: number }; outputs: Outputs }[];
}

/** Number, score, four box deltas, ten landmark deltas. */
const COLUMNS = 16;

export function read(name: string): Stored {
  const folder = new URL("stored/", import.meta.url);
  const about = JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8")) as About;
  const values = new Float32Array(new Uint8Array(readFileSync(new URL(`${name}.bin`, folder))).buffer);
  let at = 0;
  const looks = about.looks.map(({ width, height, priors, likely }) => {
    const rows = values.subarray(at, (at += COLUMNS * likely));
    return { input: { width, height }, outputs: filled(rows, priors) };
  });
  return { ...about, looks };
}

/** Only likely priors are stored; the others get a score of zero. */
function filled(rows: Float32Array, priors: number): Outputs {
  const scores = new Float32Array(priors);
  const boxDeltas = new Float32Array(4 * priors);
  const landmarkDeltas = new Float32Array(10 * priors);
  for (let at = 0; at < rows.length; at += COLUMNS) {
    const prior = rows[at];
    scores[prior] = rows[at + 1];
    boxDeltas.set(rows.subarray(at + 2, at + 6), 4 * prior);
    landmarkDeltas.set(rows.subarray(at + 6, at + COLUMNS), 10 * prior);
  }
  return { scores, boxDeltas, landmarkDeltas };
}

/** The same faces in the same order: boxes and landmarks within half a pixel. */
export function expectSame(found: Face[], faces: Face[]): void {
  expect(found).toHaveLength(faces.length);
  found.forEach(({ box, score, landmarks }, i) => {
    expect(Math.abs(score - faces[i].score)).toBeLessThan(1e-4);
    const values = [...box, ...landmarks.flat()];
    const expected = [...faces[i].box, ...faces[i].landmarks.flat()];
    expect(Math.max(...values.map((value, k) => Math.abs(value - expected[k])))).toBeLessThan(0.5);
  });
}
