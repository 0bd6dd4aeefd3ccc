import { describe, expect, test } from "vitest";

import { joined, overviewOf } from "../../src/overview";
import type { Box, Face } from "../../src/types";

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
