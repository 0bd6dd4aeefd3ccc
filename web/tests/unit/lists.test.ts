import { describe, expect, it } from "vitest";
import { tableRows } from "../../src/lists";
import type { Face } from "../../src/types";

const faces = (count: number): Face[] =>
  Array.from({ length: count }, (_, i) => ({
    box: [i, 2.4, i + 10.2, 22.4],
    score: 1 - i / 1000,
    landmarks: [],
  }));

describe("the table of faces", () => {
  it("has a row for each: number, score, corner, width and height", () => {
    expect(tableRows(faces(2))).toEqual([
      ["1", "1.000", "0", "2", "10", "20"],
      ["2", "0.999", "1", "2", "10", "20"],
    ]);
  });

  it.each([
    [0, 0, undefined],
    [200, 200, undefined],
    [201, 201, "and 1 more with lower scores"],
    [750, 201, "and 550 more with lower scores"],
  ])("of %i faces has %i rows, and says how many it leaves out", (count, rows, last) => {
    const said = tableRows(faces(count));
    expect(said).toHaveLength(rows);
    const alone = said.filter((cells) => cells.length === 1);
    expect(alone).toEqual(last ? [[last]] : []);
  });
});
