/** A network that is open: on the GPU while that works, else on the CPU. */

import type { Outputs } from "./decode";
import type { Size } from "./pixels";
import { hasGpu, openCpu, openGpu, type Runtime } from "./runtime";
import type { Engine, Opened } from "./types";

/** Whether the GPU has failed here once. A lost device seldom comes back, and no later model is tried on it. */
let gpuFailed = false;

export class Network {
  private constructor(
    private runtime: Runtime,
    /** The network's file, while the GPU may yet have to be left for the CPU. */
    private spare?: Uint8Array,
  ) {}

  /**
   * Opens a network file whose inputs' sides are multiples of `multiple`. `wanted` forces an engine, else the GPU is
   * tried first. Throws when neither works.
   */
  static async open(model: Uint8Array, multiple: number, wanted?: Engine): Promise<Network> {
    if (wanted === "webgpu") {
      if (!(await hasGpu(true))) throw new Error("this browser has no WebGPU (or no WebAssembly JSPI)");
      return new Network(await openGpu(model, multiple));
    }
    if (wanted !== "wasm" && !gpuFailed && (await hasGpu(false))) {
      try {
        return new Network(await openGpu(model, multiple), model);
      } catch (error) {
        giveUpGpu(error);
      }
    }
    return new Network(await openCpu(model));
  }

  get opened(): Opened {
    return this.runtime.opened;
  }

  /** Runs the network over an input (3, H, W); once more on the CPU when the GPU fails, and there from then on. */
  async run(planes: Float32Array, size: Size): Promise<Outputs> {
    try {
      return await this.runtime.run(planes, size);
    } catch (error) {
      if (!this.spare) throw error;
      giveUpGpu(error);
    }
    const failed = this.runtime;
    this.runtime = await openCpu(this.spare);
    delete this.spare;
    void failed.release().catch(() => undefined);
    return this.runtime.run(planes, size);
  }

  release(): Promise<void> {
    return this.runtime.release();
  }
}

function giveUpGpu(error: unknown): void {
  gpuFailed = true;
  console.warn("WebGPU failed; using the CPU instead.", error);
}
