/** ONNX Runtime Web: on the GPU where this browser can (WebGPU and JSPI), else on the CPU (WebAssembly, SIMD). */

import type * as Ort from "onnxruntime-web";
import gpuGlue from "onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url";
import gpuWasm from "onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url";
import cpuGlue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import cpuWasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

import type { Engine, Opened } from "./types";

/** Beyond this a network of half a million parameters gains nothing. */
const MOST_THREADS = 4;

export interface Runtime extends Opened {
  ort: typeof Ort;
  session: Ort.InferenceSession;
}

/** Opens a network file; `wanted` forces an engine, else the GPU is tried first. Throws when neither works. */
export async function openRuntime(model: Uint8Array, wanted?: Engine): Promise<Runtime> {
  if (wanted !== "wasm" && (await hasGpu(wanted === "webgpu"))) {
    try {
      return await openGpu(model);
    } catch (error) {
      if (wanted === "webgpu") throw error;
      console.warn("WebGPU failed; using the CPU instead.", error);
    }
  } else if (wanted === "webgpu") {
    throw new Error("this browser has no WebGPU (or no WebAssembly JSPI)");
  }
  return openCpu(model);
}

async function openCpu(model: Uint8Array): Promise<Runtime> {
  const ort = await import("onnxruntime-web/wasm");
  // Threads share memory, which browsers allow only to pages sent with COOP and COEP headers.
  const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = { mjs: absolute(cpuGlue), wasm: absolute(cpuWasm) };
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  return { ort, session, engine: "wasm", threads, keep: [] };
}

async function openGpu(model: Uint8Array): Promise<Runtime> {
  const ort = (await import("onnxruntime-web/jspi")) as typeof Ort;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: absolute(gpuGlue), wasm: absolute(gpuWasm) };
  const session = await ort.InferenceSession.create(model, { executionProviders: ["webgpu", "wasm"] });
  return { ort, session, engine: "webgpu", threads: 1, keep: [absolute(gpuWasm)] };
}

interface Adapter {
  info: { isFallbackAdapter?: boolean };
}

/** Whether WebGPU can be used; one that a CPU imitates counts only when it is asked for, as it is far slower. */
async function hasGpu(evenImitated: boolean): Promise<boolean> {
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<Adapter | null> } };
  if (gpu === undefined || !("Suspending" in WebAssembly)) return false;
  const adapter = await gpu.requestAdapter().catch(() => null);
  return adapter !== null && (evenImitated || !adapter.info.isFallbackAdapter);
}

const absolute = (url: string): string => new URL(url, self.location.href).href;
