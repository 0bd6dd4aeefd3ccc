import { beforeEach, expect, test, vi } from "vitest";

import { DetectorClient } from "../../src/client";
import type { ModelEntry } from "../../src/types";

const MODEL = { name: "v2", file: "models/v2.onnx" } as ModelEntry;
const PICTURE = {} as ImageBitmap;

/** A worker that keeps what it is told and answers when the test says so. */
class FakeWorker {
  static all: FakeWorker[] = [];
  told: { id: number; kind: string }[] = [];
  terminated = false;
  onmessage?: (event: object) => void;
  onerror?: (event: object) => void;
  onmessageerror?: () => void;
  constructor() {
    FakeWorker.all.push(this);
  }
  postMessage(message: { id: number; kind: string }): void {
    this.told.push(message);
  }
  answer(index: number, value: unknown): void {
    this.onmessage!({ data: { id: this.told[index].id, value } });
  }
  terminate(): void {
    this.terminated = true;
  }
}

beforeEach(() => {
  FakeWorker.all = [];
  vi.stubGlobal("Worker", FakeWorker);
  vi.stubGlobal("document", { baseURI: "http://here/" });
});

const CRASHES = [
  { name: "an error", crash: (worker: FakeWorker) => worker.onerror!({ message: "boom" }), says: "boom" },
  { name: "no script", crash: (worker: FakeWorker) => worker.onerror!({}), says: "could not be started" },
  { name: "a broken message", crash: (worker: FakeWorker) => worker.onmessageerror!(), says: "cannot be read" },
];

test.each(CRASHES)("after $name whoever waits is told, and the next picture has a new worker", async ({ crash, says }) => {
  const client = new DetectorClient();
  const opened = client.open(MODEL);
  FakeWorker.all[0].answer(0, "opened");
  await opened;
  const waiting = [client.detect(PICTURE, 0), client.detect(PICTURE, 0)];
  crash(FakeWorker.all[0]);
  for (const found of waiting) await expect(found).rejects.toThrow(says);
  expect(FakeWorker.all[0].terminated).toBe(true);

  const later = client.detect(PICTURE, 0);
  expect(FakeWorker.all[1].told.map(({ kind }) => kind)).toEqual(["open", "detect"]);
  FakeWorker.all[1].answer(1, "found");
  await expect(later).resolves.toBe("found");
});

test("a worker that crashes every time fails every request, and none hangs", async () => {
  const client = new DetectorClient();
  for (let i = 0; i < 3; i++) {
    const opened = client.open(MODEL);
    FakeWorker.all.at(-1)!.onerror!({});
    await expect(opened).rejects.toThrow("could not be started");
  }
});

test("what a worker says that was given up is not heard", async () => {
  const client = new DetectorClient();
  const [first] = FakeWorker.all;
  first.onerror!({ message: "boom" });
  const opened = client.open(MODEL);
  first.onerror!({ message: "boom again" });
  FakeWorker.all[1].answer(0, "opened");
  await expect(opened).resolves.toBe("opened");
});
