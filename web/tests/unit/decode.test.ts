import { describe, expect, test } from "vitest";

import { decode, DEFAULTS, iou, priorBoxes, rescale, suppress } from "../../src/decode";
import type { Box, Face } from "../../src/types";
import { expectSame, read, type Stored } from "./stored";

const face = (box: Box, score: number): Face => ({ box, score, landmarks: [] });
const run = ({ looks: [{ outputs, input }], spec, width, height }: Stored, scoreThreshold: number): Face[] =>
  suppress(decode(outputs, spec, input, width, height, { ...DEFAULTS, scoreThreshold }));

describe.each(["v2", "nano_b"])("against Python's decoding of the same outputs of %s", (name) => {
  const stored = read(name);

  test.each(stored.expected)("the same faces at $threshold", ({ threshold, faces }) => {
    expect(faces.length).toBeGreaterThan(1);
    expectSame(run(stored, threshold), faces);
  });

  test.each([0.2, 0.5, 0.9])("filtering what was decoded low gives what decoding at %f gives", (threshold) => {
    expect(run(stored, DEFAULTS.scoreThreshold).filter(({ score }) => score >= threshold)).toEqual(run(stored, threshold));
  });
});

describe("outputs that do not fit", () => {
  test("another number of priors is refused", () => {
    const { looks: [{ outputs }], spec } = read("v2");
    expect(() => decode(outputs, spec, { width: 64, height: 64 }, 64, 64)).toThrow(/scores for \d+ priors/);
  });

  test("values that are not finite are refused", () => {
    const { looks: [{ outputs, input }], spec, width, height } = read("v2");
    outputs.scores[0] = 1;
    outputs.boxDeltas[2] = Number.NaN;
    expect(() => decode(outputs, spec, input, width, height)).toThrow("not finite");
  });
});

test("priors: by level, row, cell and size, with centres half a stride in", () => {
  const priors = priorBoxes(32, 64, { ...read("v2").spec, strides: [16, 32], prior_sizes: [[8, 12], [40]] });
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
  const kept = (faces: Face[], iouThreshold: number, maxDetections: number): Face[] =>
    suppress(faces, { ...DEFAULTS, iouThreshold, maxDetections });
  expect(kept([best, covered, beside], 0.4, 10)).toEqual([best, beside]);
  expect(kept([best, covered, beside], 0.4, 1)).toEqual([best]);
  expect(kept([best, covered], 0.9, 10)).toEqual([best, covered]);
});

test("faces go back to the picture's own pixels", () => {
  const [{ box, landmarks }] = rescale([{ box: [1, 2, 3, 4], score: 1, landmarks: [[5, 6]] }], 2, 10);
  expect([box, landmarks]).toEqual([[2, 20, 6, 40], [[10, 60]]]);
});
