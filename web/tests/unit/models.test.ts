import { expect, test } from "vitest";

import { readModels, readSpec } from "../../vite/models";

const weights = new URL("../../../src/featherface/weights", import.meta.url).pathname;

test("every shipped model is listed with its layout, V2 first", () => {
  const models = readModels(weights);
  expect(models[0].entry.name).toBe("v2");
  for (const { entry, content } of models) {
    expect(entry.file).toBe(`models/${entry.name}.onnx`);
    expect(content.length).toBeGreaterThan(10_000);
    expect(entry.spec.strides).toHaveLength(entry.spec.prior_sizes.length);
    expect(entry.spec.pad_multiple).toBeGreaterThan(0);
    expect(entry.spec.variances).toHaveLength(2);
  }
});

test.each([
  { name: "nothing", bytes: [] },
  { name: "a model of others (one field, no metadata)", bytes: [0x08, 0x07] },
])("not ours: $name", ({ bytes }) => {
  expect(() => readSpec(Uint8Array.from(bytes), "x")).toThrow("x: not a featherface model");
});
