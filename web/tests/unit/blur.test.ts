import { expect, test } from "vitest";

import { hideFrom } from "../../src/blur";
import { both, isShrunk, scored, toHide } from "../../src/save";
import type { Detections } from "../../src/types";
import { hintOf } from "../../src/view";

const FOUND: Detections = {
  width: 100,
  height: 100,
  faces: [0.9, 0.45, 0.2, 0.15, 0.1].map((score) => ({ box: [0, 0, 9, 9], score, landmarks: [] })),
};

test.each([
  { why: "the slider as it starts: doubtful faces are hidden, though not shown", slider: 0.5, from: 0.2, hidden: 3 },
  { why: "the slider at its highest", slider: 0.95, from: 0.2, hidden: 3 },
  { why: "the slider at the same score", slider: 0.2, from: 0.2, hidden: 3 },
  { why: "the slider lower: what is shown is hidden, too", slider: 0.1, from: 0.1, hidden: 5 },
])("$why", ({ slider, from, hidden }) => {
  expect(hideFrom(slider)).toBe(from);
  expect(toHide(FOUND, slider).faces.map(({ score }) => score)).toEqual([0.9, 0.45, 0.2, 0.15, 0.1].slice(0, hidden));
  expect(scored(FOUND, slider).faces.length).toBeLessThanOrEqual(hidden);
});

test.each([
  { why: "before a photo was looked at", least: 0.2, hidden: undefined, says: "all faces with a score of 0.20" },
  { why: "before a look in full size", least: 0.2, hidden: undefined, says: "shown or not, after a look in full size." },
  { why: "with more than is shown", least: 0.2, hidden: toHide(FOUND, 0.5), says: "Blurs 3 faces with a score of 0.20" },
  { why: "with one", least: 0.1, hidden: scored(FOUND, 0.9), says: "1 face with a score of 0.10 or more, shown or not" },
])("the page says what is blurred $why", ({ least, hidden, says }) => {
  expect(hintOf(least, hidden)).toContain(says);
});

test.each([
  { why: "larger than the network's picture", longSide: 99, shrunk: true },
  { why: "as large", longSide: 100, shrunk: false },
  { why: "at full size", longSide: 0, shrunk: false },
])("a photo $why was shrunk: $shrunk", ({ longSide, shrunk }) => expect(isShrunk(FOUND, longSide)).toBe(shrunk));

test("what two looks found is hidden once, and what only one found, too", () => {
  const found = (...faces: [left: number, score: number][]): Detections => ({
    ...FOUND,
    faces: faces.map(([left, score]) => ({ box: [left, 0, left + 9, 9], score, landmarks: [] })),
  });
  const { faces } = both(found([0, 0.9], [20, 0.3]), found([1, 0.8], [40, 0.4]));
  expect(faces.map(({ box: [left], score }) => [left, score])).toEqual([[0, 0.9], [40, 0.4], [20, 0.3]]);
});
