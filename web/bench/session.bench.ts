/**
 * The page's detector beside a bare onnxruntime-web session, in turns in one Chromium, V2 at 640x640:
 * `npm run bench`. The page's time goes from handing a picture to the worker until its faces are back; the bare
 * session gets a tensor that is ready, on as many threads, and its outputs are not decoded. ROUNDS sets the rounds.
 * Then the time from a warm load to the first face. FEATHERFACE_WEB_JSON names a file for the figures.
 */

import { expect, test } from "@playwright/test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

const ROUNDS = Number(process.env.ROUNDS ?? 30);
const ORT = new URL("../node_modules/onnxruntime-web/dist/", import.meta.url);
const ASSETS = new URL("../../src/featherface/web/dist/assets/", import.meta.url);
const PHOTO = new URL("../../examples/contact_sheet.jpg", import.meta.url);

const WARM_LOADS = 5;

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** Adds figures to the JSON file, if one is named. */
function record(figures: Record<string, number | string>): void {
  const path = process.env.FEATHERFACE_WEB_JSON;
  if (!path) return;
  const before = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as object) : {};
  writeFileSync(path, `${JSON.stringify({ ...before, ...figures }, null, 1)}\n`);
}

const digits = (value: number): number => Number(value.toPrecision(4));

test("the page beside the bare session", async ({ browser, baseURL }) => {
  const context = await browser.newContext({ baseURL: baseURL!, serviceWorkers: "block" });
  const page = await context.newPage();
  await context.route("**/bare/*", (route) => {
    const name = route.request().url().split("/").at(-1)!.split("?")[0];
    const headers = {
      "Content-Type": name.endsWith(".wasm") ? "application/wasm" : "text/javascript",
      "Cross-Origin-Embedder-Policy": "require-corp",
    };
    return route.fulfill({ body: readFileSync(new URL(name, ORT)), headers });
  });
  await page.goto("/");
  await expect(page.locator("#status")).toHaveText("Ready.");
  const worker = `/assets/${readdirSync(ASSETS).find((name) => /^worker-.*\.js$/.test(name))}`;
  const photo = readFileSync(PHOTO).toString("base64");

  const times = await page.evaluate(measure, { worker, photo, rounds: ROUNDS });
  await context.close();
  const [bare, whole] = [median(times.bare), median(times.whole)];
  console.log(
    `V2 at 640x640, ${times.threads} threads, ${ROUNDS} rounds, medians: bare session ${bare.toFixed(1)} ms, ` +
      `page ${whole.toFixed(1)} ms, ratio ${(whole / bare).toFixed(2)} (${times.faces} faces)`,
  );
  record({
    browser: `Chromium ${browser.version()}`,
    threads: times.threads,
    rounds: ROUNDS,
    whole_ms: digits(whole),
    session_ms: digits(bare),
    ratio: digits(whole / bare),
  });
});

test("from a warm load to the first face", async ({ page }) => {
  const seconds: number[] = [];
  for (let round = -1; round < WARM_LOADS; round++) {
    const start = Date.now();
    await page.goto("/");
    await expect(page.locator("#status")).toHaveText("Ready.");
    await page.locator("#sample").click();
    await expect(page.locator("#status")).toHaveText(/1 face/);
    // The first load fills the browser's caches.
    if (round >= 0) seconds.push((Date.now() - start) / 1000);
  }
  console.log(`first face ${median(seconds).toFixed(2)} s after a warm load, median of ${WARM_LOADS}`);
  record({ first_detection_s: digits(median(seconds)) });
});

/** Runs inside the page. */
async function measure({ worker: url, photo, rounds }: { worker: string; photo: string; rounds: number }) {
  const side = 640;
  const bytes = Uint8Array.from(atob(photo), (c) => c.charCodeAt(0));
  const options = { resizeWidth: side, resizeHeight: side };
  const picture = await createImageBitmap(new Blob([bytes]), options);
  const [model] = await (await fetch("/models.json")).json();

  const worker = new Worker(url, { type: "module" });
  const ask = (message: object, transfer: Transferable[] = []): Promise<any> =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data.value));
      worker.postMessage({ id: 0, ...message }, transfer);
    });
  const { threads } = await ask({ kind: "open", model, url: new URL(model.file, location.href).href, engine: "wasm" });

  const bareUrl = "/bare/ort.wasm.min.mjs";
  const ort = await import(bareUrl);
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = `${location.origin}/bare/`;
  const session = await ort.InferenceSession.create(new Uint8Array(await (await fetch(model.file)).arrayBuffer()));
  const values = Float32Array.from({ length: 3 * side * side }, (_, i) => i % 256);
  const images = new ort.Tensor("float32", values, [1, 3, side, side]);

  const bare: number[] = [];
  const whole: number[] = [];
  let faces = 0;
  for (let round = -3; round < rounds; round++) {
    const start = performance.now();
    await session.run({ images });
    const middle = performance.now();
    const copy = await createImageBitmap(picture);
    const handed = performance.now();
    const found = await ask({ kind: "detect", picture: copy, longSide: 0 }, [copy]);
    const end = performance.now();
    faces = found.faces.length;
    if (round < 0) continue;
    bare.push(middle - start);
    whole.push(end - handed);
  }
  return { threads, bare, whole, faces };
}
