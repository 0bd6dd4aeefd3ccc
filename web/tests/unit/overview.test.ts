import { describe, expect, test } from "vitest";

import { decode, rescale } from "../../src/decode";
import { joined, overviewOf } from "../../src/overview";
import { fitted } from "../../src/pixels";
import type { Box, Face } from "../../src/types";
import { expectSame, read } from "./stored";

const face = (box: Box, score: number): Face => ({ box, score, landmarks: [] });
const WHOLE = face([100, 100, 900, 1000], 0.95);

describe("which pictures get an overview", () => {
  test.each([
    [1280, 720, undefined],
    [640, 800, undefined],
    [960, 1280, { width: 480, height: 640 }],
    [1920, 1080, { width: 640, height: 360 }],
  ])("%i x %i", (width, height, size) => expect(overviewOf({ width, height })).toEqual(size));
});

describe("the faces of both looks", () => {
  const scores = (full: Face[], overview: Face[]): number[] => joined(full, 1, overview, 0.5).map(({ score }) => score);

  test.each<[string, Face[], Face[], number[]]>([
    ["a face is counted once", [face([100, 100, 300, 300], 0.9)], [face([102, 101, 301, 299], 0.8)], [0.9]],
    ["fragments of a large face go", [face([300, 300, 450, 450], 0.97)], [WHOLE], [0.95]],
    ["unless they are much louder", [face([300, 300, 450, 450], 0.9)], [{ ...WHOLE, score: 0.3 }], [0.9, 0.3]],
    ["a neighbour stays", [face([850, 300, 1000, 450], 0.9)], [WHOLE], [0.95, 0.9]],
    ["too large for the first look", [face([100, 100, 700, 800], 0.99)], [WHOLE], [0.95]],
    ["too small for the second", [], [face([0, 0, 100, 100], 0.9)], []],
    ["nothing anywhere", [], [], []],
  ])("%s", (_, full, overview, expected) => expect(scores(full, overview)).toEqual(expected));
});

test("a face that is kept becomes the mean of both looks' boxes, each by its score", () => {
  const [kept] = joined([face([100, 100, 300, 300], 0.9)], 1, [face([109, 100, 300, 300], 0.3)], 0.5);
  expect(kept.score).toBe(0.9);
  expect(kept.box[0]).toBeCloseTo((0.9 * 100 + 0.3 * 109) / 1.2);
});

describe.each(["v2_tall", "nano_b_tall"])("both looks of %s as Python joins them", (name) => {
  const { looks, spec, width, height, expected } = read(name);
  const overview = overviewOf({ width, height })!;
  const sizes = [fitted({ width, height }, 0), overview];

  test.each(expected)("the same faces at $threshold", ({ faces }) => {
    const [full, small] = looks.map(({ outputs, input }, i) => {
      const { width: columns, height: rows } = sizes[i];
      return rescale(decode(outputs, spec, input, columns, rows), width / columns, height / rows);
    });
    const heights = faces.map(({ box: [, top, , bottom] }) => bottom - top);
    expect(Math.max(...heights), "one that the first look does not see whole").toBeGreaterThan(640);
    expectSame(joined(full, 1, small, overview.height / height), faces);
  });
});
