/** The page's end of the detector's worker. */

import type { Engine, Found, ModelEntry, Opened } from "./types";
import type { Reply, Request } from "./worker";

interface Waiting {
  resolve(value: never): void;
  reject(error: Error): void;
}

export class DetectorClient {
  private worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private waiting = new Map<number, Waiting>();
  private next = 0;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const waiting = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ("error" in data) waiting?.reject(new Error(data.error));
      else waiting?.resolve(data.value as never);
    };
    this.worker.onerror = (event) => {
      const error = new Error(event.message || "the detector's worker could not be started");
      for (const waiting of this.waiting.values()) waiting.reject(error);
      this.waiting.clear();
    };
  }

  /** Loads a model; later pictures are looked at with it. */
  open(model: ModelEntry, engine?: Engine): Promise<Opened> {
    const url = new URL(model.file, document.baseURI).href;
    return this.ask({ kind: "open", model, url, ...(engine && { engine }) });
  }

  /** The faces of a picture, which is used up; its longer side is shrunk to `longSide` (0: never). */
  detect(picture: ImageBitmap, longSide: number): Promise<Found> {
    return this.ask({ kind: "detect", picture, longSide }, [picture]);
  }

  private ask<T>(request: Request, transfer: Transferable[] = []): Promise<T> {
    const id = this.next++;
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...request }, transfer);
    });
  }
}
