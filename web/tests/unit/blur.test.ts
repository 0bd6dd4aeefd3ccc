import { expect, test } from "vitest";

import { hideFrom } from "../../src/blur";
import { scored, toHide } from "../../src/save";
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
  { why: "with more than is shown", least: 0.2, hidden: toHide(FOUND, 0.5), says: "Blurs 3 faces with a score of 0.20" },
  { why: "with one", least: 0.1, hidden: scored(FOUND, 0.9), says: "1 face with a score of 0.10 or more, shown or not" },
])("the page says what is blurred $why", ({ least, hidden, says }) => {
  expect(hintOf(least, hidden)).toContain(says);
});
