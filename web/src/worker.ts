/** The detector's own thread: opens networks and finds faces, one request after the other. */

import { decode, rescale, suppress } from "./decode";
import { Network } from "./network";
import { joined, overviewOf } from "./overview";
import { fitted, padded, Preparer, type Size } from "./pixels";
import type { Engine, Found, ModelEntry, ModelSpec, Opened, Timing } from "./types";

export type Request =
  | { kind: "open"; model: ModelEntry; url: string; engine?: Engine }
  | { kind: "detect"; picture: ImageBitmap; longSide: number };
export type Reply = { id: number } & ({ value: Opened | Found } | { error: string });

let current: { network: Network; spec: ModelSpec } | undefined;
const preparer = new Preparer();
let last: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<{ id: number } & Request>) => {
  last = last.then(async () => {
    try {
      post({ id: data.id, value: data.kind === "open" ? await open(data) : await detect(data.picture, data.longSide) });
    } catch (error) {
      post({ id: data.id, error: error instanceof Error ? error.message : String(error) });
    }
  });
};

const post = (reply: Reply): void => self.postMessage(reply);

async function open({ model, url, engine }: Extract<Request, { kind: "open" }>): Promise<Opened> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${model.file}: the server answers ${response.status}`);
  const network = await Network.open(new Uint8Array(await response.arrayBuffer()), model.spec.pad_multiple, engine);
  const before = current?.network;
  current = { network, spec: model.spec };
  // The new network is open, whatever becomes of the old one.
  await before?.release().catch((error: unknown) => console.warn("The network before was not released.", error));
  return network.opened;
}

async function detect(picture: ImageBitmap, longSide: number): Promise<Found> {
  const shown = fitted(picture, longSide);
  const overview = overviewOf(shown);
  try {
    const full = await look(picture, shown);
    if (!overview) return { ...full, faces: suppress(full.faces) };
    const small = await look(picture, overview);
    const [scale, smaller] = [shown.height / picture.height, overview.height / picture.height];
    const faces = joined(full.faces, scale, small.faces, smaller);
    return { ...full, faces, timing: sum(full, small), place: small.place };
  } finally {
    picture.close();
  }
}

function sum({ timing: a }: Found, { timing: b }: Found): Timing {
  const { prepare, network, decode, total } = b;
  return {
    prepare: a.prepare + prepare,
    network: a.network + network,
    decode: a.decode + decode,
    total: a.total + total,
  };
}

/** One run of the network over the whole picture, at the size `shown`; its faces are not suppressed yet. */
async function look(picture: ImageBitmap, shown: Size): Promise<Found> {
  if (!current) throw new Error("no model is open");
  const { network, spec } = current;
  const start = performance.now();
  const input = padded(shown, spec.pad_multiple);
  const { width, height } = picture;
  const planes = preparer.prepare(picture, shown, input);
  const prepared = performance.now();
  const outputs = await network.run(planes, input);
  const ran = performance.now();
  const faces = decode(outputs, spec, input, shown.width, shown.height);
  const end = performance.now();
  return {
    width,
    height,
    faces: rescale(faces, width / shown.width, height / shown.height),
    timing: { prepare: prepared - start, network: ran - prepared, decode: end - ran, total: end - start },
    place: network.opened,
  };
}
