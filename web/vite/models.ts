/** The models of the Python package, copied beside the page with a list of them. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { ModelEntry, ModelSpec } from "../src/types";

const METADATA_PROPS = 14;
const VARINT = 0;
const EIGHT_BYTES = 1;
const LENGTH_DELIMITED = 2;
const FOUR_BYTES = 5;

/** Every shipped network that has a card, once (int8 files are for where kilobytes count), V2 first, with its file. */
export function readModels(weights: string): { entry: ModelEntry; content: Buffer }[] {
  const names = readdirSync(weights)
    .filter((file) => file.endsWith(".json") && !file.endsWith("_int8.json"))
    .filter((file) => existsSync(join(weights, file.replace(/json$/, "onnx"))))
    .map((file) => file.slice(0, -".json".length));
  if (names.length === 0) throw new Error(`${weights}: holds no model`);
  names.sort((a, b) => Number(b === "v2") - Number(a === "v2") || a.localeCompare(b));
  return names.map((name) => {
    const content = readFileSync(join(weights, `${name}.onnx`));
    const card = JSON.parse(readFileSync(join(weights, `${name}.json`), "utf8")) as { title: string };
    const spec = readSpec(content, name);
    return { entry: { name, title: card.title, file: `models/${name}.onnx`, spec }, content };
  });
}

/** The layout in an ONNX file's metadata, which onnxruntime-web does not show; see "The contract" in CONTRIBUTING.md. */
export function readSpec(onnx: Uint8Array, name: string): ModelSpec {
  for (const [field, value] of fields(onnx)) {
    if (field !== METADATA_PROPS) continue;
    const [key, text] = [...fields(value)].map(([, bytes]) => new TextDecoder().decode(bytes));
    if (key !== "featherface") continue;
    const about = JSON.parse(text) as ModelSpec & { format: number };
    if (about.format !== 1) throw new Error(`${name}: format ${about.format}; this page reads format 1`);
    const { strides, prior_sizes, variances, pad_multiple } = about;
    return { name: about.name, strides, prior_sizes, variances, pad_multiple };
  }
  throw new Error(`${name}: not a featherface model`);
}

/** The length-delimited fields of a protobuf message. */
function* fields(bytes: Uint8Array): Generator<[field: number, value: Uint8Array]> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag % 8;
    if (wire === VARINT) varint();
    else if (wire === EIGHT_BYTES) at += 8;
    else if (wire === FOUR_BYTES) at += 4;
    else if (wire === LENGTH_DELIMITED) {
      const length = varint();
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    } else throw new Error(`not a protobuf file (wire type ${wire})`);
  }
}
