/** ONNX Runtime Web: a network on the GPU (WebGPU and JSPI) or on the CPU (WebAssembly, SIMD). */

import type * as Ort from "onnxruntime-web";
import gpuGlue from "onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url";
import gpuWasm from "onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url";
import cpuGlue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import cpuWasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

import type { Outputs } from "./decode";
import type { Size } from "./pixels";
import type { Opened } from "./types";

/** Beyond this a network of half a million parameters gains nothing. */
const MOST_THREADS = 4;

export interface Runtime {
  opened: Opened;
  /** Runs the network over an input (3, H, W). */
  run(planes: Float32Array, size: Size): Promise<Outputs>;
  release(): Promise<void>;
}

export async function openCpu(model: Uint8Array): Promise<Runtime> {
  const ort = await import("onnxruntime-web/wasm");
  // Threads share memory, which browsers allow only to pages sent with COOP and COEP headers.
  const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = { mjs: absolute(cpuGlue), wasm: absolute(cpuWasm) };
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  return {
    opened: { engine: "wasm", threads, keep: [] },
    run: (planes, size) => run(ort, session, planes, size),
    release: () => session.release(),
  };
}

/** Throws, too, when the network opens but does not run: some drivers refuse its shaders only then. */
export async function openGpu(model: Uint8Array, multiple: number): Promise<Runtime> {
  const ort = (await import("onnxruntime-web/jspi")) as typeof Ort;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: absolute(gpuGlue), wasm: absolute(gpuWasm) };
  // With "wasm" beside it a GPU that cannot be had would be no error, but a slow CPU under the GPU's name. What the GPU
  // has no kernel for runs on the CPU all the same.
  const session = await ort.InferenceSession.create(model, { executionProviders: ["webgpu"] });
  const guard = guarding((await ort.env.webgpu.device) as Device | undefined);
  const runtime: Runtime = {
    opened: { engine: "webgpu", threads: 1, keep: [absolute(gpuWasm)] },
    run: async (planes, size) => plausible(await guard(() => run(ort, session, planes, size))),
    release: () => session.release(),
  };
  const side = 2 * multiple;
  try {
    await runtime.run(new Float32Array(3 * side * side), { width: side, height: side });
  } catch (error) {
    void session.release().catch(() => undefined);
    throw error;
  }
  return runtime;
}

async function run(
  ort: Pick<typeof Ort, "Tensor">,
  session: Ort.InferenceSession,
  planes: Float32Array,
  { width, height }: Size,
): Promise<Outputs> {
  const results = await session.run({ images: new ort.Tensor("float32", planes, [1, 3, height, width]) });
  const values = (name: string): Float32Array => results[name].data as Float32Array;
  return { scores: values("scores"), boxDeltas: values("box_deltas"), landmarkDeltas: values("landmark_deltas") };
}

interface Device {
  lost?: Promise<{ message: string }>;
}

/** Runs one thing after the other until the device is lost; what runs then fails, though it may never end by itself. */
function guarding(device: Device | undefined): <T>(work: () => Promise<T>) => Promise<T> {
  let loss: Error | undefined;
  let fail: (error: Error) => void = () => undefined;
  void device?.lost?.then(({ message }) => fail((loss = new Error(`the GPU was lost (${message})`))));
  return (work) =>
    new Promise((resolve, reject) => {
      if (loss) throw loss;
      fail = reject;
      work().then(resolve, reject);
    });
}

/** WebGPU reports some failures, as of a buffer that is too large, to nobody: what was to be computed stays zero. */
function plausible(outputs: Outputs): Outputs {
  const { scores } = outputs;
  if (!scores.every(Number.isFinite) || !scores.some((score) => score > 0))
    throw new Error("the GPU's answer holds no scores");
  return outputs;
}

interface Adapter {
  info: { isFallbackAdapter?: boolean };
}

/** Whether WebGPU can be used; one that a CPU imitates counts only when it is asked for, as it is far slower. */
export async function hasGpu(evenImitated: boolean): Promise<boolean> {
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<Adapter | null> } };
  if (gpu === undefined || !("Suspending" in WebAssembly)) return false;
  const adapter = await gpu.requestAdapter().catch(() => null);
  return adapter !== null && (evenImitated || !adapter.info.isFallbackAdapter);
}

const absolute = (url: string): string => new URL(url, self.location.href).href;
