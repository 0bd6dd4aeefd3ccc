import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { decode, DEFAULTS, iou, type Outputs, priorBoxes, rescale, suppress } from "../../src/decode";
import type { Box, Face, ModelSpec } from "../../src/types";

interface Stored {
  spec: ModelSpec;
  input: { width: number; height: number };
  width: number;
  height: number;
  expected: { threshold: number; faces: Face[] }[];
}

/** Written by scripts/store_web_outputs.py from our own network and a photo in the public domain. */
const folder = new URL("stored/", import.meta.url);
const stored = JSON.parse(readFileSync(new URL("outputs.json", folder), "utf8")) as Stored;
const { spec, input, width, height } = stored;

function readOutputs(): Outputs {
  const file = readFileSync(new URL("outputs.bin", folder));
  const values = new Float32Array(new Uint8Array(file).buffer);
  const count = values.length / 15;
  return {
    scores: values.slice(0, count),
    boxDeltas: values.slice(count, 5 * count),
    landmarkDeltas: values.slice(5 * count),
  };
}

const face = (box: Box, score: number): Face => ({ box, score, landmarks: [] });
const run = (scoreThreshold: number): Face[] =>
  decode(readOutputs(), spec, input, width, height, { ...DEFAULTS, scoreThreshold });

describe("against Python's decoding of the same outputs", () => {
  test.each(stored.expected)("the same faces at $threshold", ({ threshold, faces }) => {
    const found = run(threshold);
    expect(faces.length).toBeGreaterThan(1);
    expect(found).toHaveLength(faces.length);
    found.forEach(({ box, score, landmarks }, i) => {
      expect(Math.abs(score - faces[i].score)).toBeLessThan(1e-4);
      box.forEach((value, k) => expect(Math.abs(value - faces[i].box[k])).toBeLessThan(0.5));
      landmarks.flat().forEach((value, k) => expect(Math.abs(value - faces[i].landmarks.flat()[k])).toBeLessThan(0.5));
    });
  });

  test.each([0.2, 0.5, 0.9])("filtering what was decoded low gives what decoding at %f gives", (threshold) => {
    expect(run(DEFAULTS.scoreThreshold).filter(({ score }) => score >= threshold)).toEqual(run(threshold));
  });
});

describe("outputs that do not fit", () => {
  test("another number of priors is refused", () => {
    expect(() => decode(readOutputs(), spec, { width: 64, height: 64 }, 64, 64)).toThrow(/scores for \d+ priors/);
  });

  test("values that are not finite are refused", () => {
    const outputs = readOutputs();
    outputs.scores[0] = 1;
    outputs.boxDeltas[2] = Number.NaN;
    expect(() => decode(outputs, spec, input, width, height)).toThrow("not finite");
  });
});

test("priors: by level, row, cell and size, with centres half a stride in", () => {
  const priors = priorBoxes(32, 64, { ...spec, strides: [16, 32], prior_sizes: [[8, 12], [40]] });
  expect(priors).toHaveLength(4 * (2 * 4 * 2 + 2));
  expect([...priors.slice(0, 8)]).toEqual([8, 8, 8, 8, 8, 8, 12, 12]);
  expect([...priors.slice(8, 12)]).toEqual([24, 8, 8, 8]);
  expect([...priors.slice(-4)]).toEqual([48, 16, 40, 40]);
});

test.each([
  { name: "the same", other: [0, 0, 10, 10] as Box, expected: 1 },
  { name: "half of it", other: [0, 0, 5, 10] as Box, expected: 0.5 },
  { name: "side by side", other: [10, 0, 20, 10] as Box, expected: 0 },
  { name: "empty", other: [4, 4, 4, 4] as Box, expected: 0 },
])("IoU of a box with $name is $expected", ({ other, expected }) => {
  expect(iou([0, 0, 10, 10], other)).toBe(expected);
  expect(iou(other, [0, 0, 10, 10])).toBe(expected);
});

test("suppression keeps the best, what it does not cover, and no more than asked", () => {
  const best = face([0, 0, 10, 10], 0.9);
  const covered = face([1, 0, 11, 10], 0.8);
  const beside = face([50, 0, 60, 10], 0.7);
  expect(suppress([best, covered, beside], 0.4, 10)).toEqual([best, beside]);
  expect(suppress([best, covered, beside], 0.4, 1)).toEqual([best]);
  expect(suppress([best, covered], 0.9, 10)).toEqual([best, covered]);
});

test("faces go back to the picture's own pixels", () => {
  const [{ box, landmarks }] = rescale([{ box: [1, 2, 3, 4], score: 1, landmarks: [[5, 6]] }], 2, 10);
  expect([box, landmarks]).toEqual([[2, 20, 6, 40], [[10, 60]]]);
});
