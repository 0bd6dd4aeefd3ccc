import { beforeEach, describe, expect, test, vi } from "vitest";

import type { Network } from "../../src/network";
import type { Engine } from "../../src/types";

const MODEL = new Uint8Array(1);
const SIZE = { width: 32, height: 32 };
const PLANES = new Float32Array(3 * SIZE.width * SIZE.height);

/** What a session answers: scores, or an error, or nothing ever. */
type Answer = number[] | Error | "nothing";

/** ONNX Runtime with one engine, whose sessions answer in turn. */
class FakeOrt {
  env = { wasm: {}, webgpu: {} as { device?: unknown } };
  opened = 0;
  released = 0;
  runs = 0;
  answers: Answer[] = [];
  Tensor = class {};
  providers: string[] = [];
  InferenceSession = {
    create: (_: Uint8Array, options: { executionProviders: string[] }) => this.create(options.executionProviders),
  };

  private async create(providers: string[]): Promise<object> {
    this.opened++;
    this.providers = providers;
    return { run: () => this.run(), release: async () => void this.released++ };
  }

  private async run(): Promise<object> {
    const answer = this.answers[this.runs++] ?? [0.5];
    if (answer instanceof Error) throw answer;
    if (answer === "nothing") return new Promise(() => undefined);
    const tensor = { data: Float32Array.from(answer) };
    return { scores: tensor, box_deltas: tensor, landmark_deltas: tensor };
  }
}

let gpu: FakeOrt;
let cpu: FakeOrt;

// Each test loads the modules anew, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

/** As a worker that has just started. */
async function open(wanted?: Engine): Promise<Network> {
  const { Network } = await import("../../src/network");
  return Network.open(MODEL, 32, wanted);
}

const scores = async (network: Network): Promise<number[]> => [...(await network.run(PLANES, SIZE)).scores];

beforeEach(() => {
  vi.resetModules();
  [gpu, cpu] = [new FakeOrt(), new FakeOrt()];
  cpu.answers = [[0.25], [0.75]];
  vi.doMock("onnxruntime-web/jspi", () => gpu);
  vi.doMock("onnxruntime-web/wasm", () => cpu);
  vi.stubGlobal("self", { location: { href: "http://here/" }, crossOriginIsolated: false });
  vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => ({ info: {} }) } });
  vi.stubGlobal("WebAssembly", { Suspending: class {} });
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});

test("a GPU that works is used, after a run to try it", async () => {
  const network = await open();
  expect(gpu.runs).toBe(1);
  expect(await scores(network)).toEqual([0.5]);
  expect([network.opened.engine, cpu.opened]).toEqual(["webgpu", 0]);
});

test("ONNX Runtime is given no CPU to take in place of the GPU, which it would not say", async () => {
  await open();
  expect(gpu.providers).toEqual(["webgpu"]);
});

const FAILURES: [name: string, answer: Answer][] = [
  ["throws", new Error("no such shader")],
  ["answers zeros", [0, 0]],
  ["answers what is no number", [0.5, NaN]],
];

describe.each(FAILURES)("a GPU that %s", (_, failure) => {
  test("at the first run is left before any picture", async () => {
    gpu.answers = [failure];
    const network = await open();
    expect([network.opened.engine, gpu.released]).toEqual(["wasm", 1]);
    expect(await scores(network)).toEqual([0.25]);
  });

  test("later is left, and the picture is looked at on the CPU", async () => {
    gpu.answers = [[0.5], [0.5], failure];
    const network = await open();
    expect(await scores(network)).toEqual([0.5]);
    expect(await scores(network)).toEqual([0.25]);
    expect(network.opened.engine).toBe("wasm");
    expect(await scores(network)).toEqual([0.75]);
    expect([gpu.runs, gpu.released, cpu.opened]).toEqual([3, 1, 1]);
  });

  test("is not tried again with another model", async () => {
    gpu.answers = [[0.5], failure];
    await scores(await open());
    expect((await open()).opened.engine).toBe("wasm");
    expect(gpu.opened).toBe(1);
  });

  test("is told when it was asked for by name", async () => {
    gpu.answers = [[0.5], failure];
    const network = await open("webgpu");
    await expect(network.run(PLANES, SIZE)).rejects.toThrow();
    expect([network.opened.engine, cpu.opened]).toEqual(["webgpu", 0]);
  });
});

test.each(["before a run", "during it"])("a device that is lost %s, which may never end", async (when) => {
  let lose: (info: { message: string }) => void = () => undefined;
  gpu.env.webgpu.device = { lost: new Promise((resolve) => (lose = resolve)) };
  gpu.answers = [[0.5], "nothing"];
  const network = await open();
  if (when === "before a run") lose({ message: "gone" });
  const found = scores(network);
  if (when === "during it") lose({ message: "gone" });
  expect(await found).toEqual([0.25]);
});

test("an error on the CPU is the picture's, and the next picture is tried again", async () => {
  cpu.answers = [new Error("out of memory"), [0.75]];
  const network = await open("wasm");
  await expect(network.run(PLANES, SIZE)).rejects.toThrow("out of memory");
  expect(await scores(network)).toEqual([0.75]);
});
