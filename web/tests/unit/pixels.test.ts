import { expect, test } from "vitest";

import { grown, means } from "../../src/blur";
import { fitted, padded, toPlanes } from "../../src/pixels";
import { toJson } from "../../src/save";

test.each([
  { picture: [4000, 3000], longSide: 1280, expected: [1280, 960], why: "shrunk to the longer side" },
  { picture: [100, 50], longSide: 1280, expected: [100, 50], why: "never enlarged" },
  { picture: [4000, 3000], longSide: 0, expected: [4000, 3000], why: "as it is" },
  { picture: [10000, 2], longSide: 640, expected: [640, 1], why: "never without pixels" },
])("$picture at $longSide: $why", ({ picture: [width, height], longSide, expected }) => {
  const size = fitted({ width, height }, longSide);
  expect([size.width, size.height]).toEqual(expected);
});

test("both sides are padded to the multiple", () => {
  expect(padded({ width: 33, height: 64 }, 32)).toEqual({ width: 64, height: 64 });
});

test("RGBA becomes red, green and blue planes", () => {
  const rgba = Uint8ClampedArray.from([1, 2, 3, 255, 4, 5, 6, 255]);
  expect([...toPlanes(rgba, new Float32Array(6))]).toEqual([1, 4, 2, 5, 3, 6]);
});

test("a hidden region is 1.3 times the face, about its centre", () => {
  expect(grown([10, 10, 30, 50], 1.5)).toEqual([5, 0, 35, 60]);
});

test("means: every pixel counts once, in its own cell", () => {
  const data = new Uint8ClampedArray(4 * 4 * 2).fill(255);
  // 4 x 2 pixels, red 0 to 7 by row
  for (let i = 0; i < 8; i++) data[4 * i] = 10 * i;
  const cells = means({ data, width: 4, height: 2 }, 2, 1);
  expect([cells[0], cells[4], cells[3]]).toEqual([25, 45, 255]);
});

test("JSON as the command line writes it", () => {
  const found = { width: 10, height: 20, faces: [{ box: [1.234, 2, 3, 4.567] as [number, number, number, number], score: 0.123456, landmarks: [[1.005, 2]] as [number, number][] }] };
  const text = toJson([{ path: "a.jpg", found }, { path: "b.jpg", error: "broken" }]);
  expect(JSON.parse(text)).toEqual({
    images: [
      { path: "a.jpg", width: 10, height: 20, faces: [{ box: [1.23, 2, 3, 4.57], score: 0.12346, landmarks: [[1, 2]] }], error: null },
      { path: "b.jpg", width: null, height: null, faces: [], error: "broken" },
    ],
  });
});
