/** The page's end of the detector's worker. */

import type { Engine, Found, ModelEntry, Opened } from "./types";
import type { Reply, Request } from "./worker";

interface Waiting {
  resolve(value: never): void;
  reject(error: Error): void;
}

export class DetectorClient {
  private worker: Worker | undefined;
  private waiting = new Map<number, Waiting>();
  private next = 0;
  private opening: Request | undefined;

  constructor() {
    this.worker = this.start(); // loads while the page does
  }

  /** Loads a model; later pictures are looked at with it. */
  open(model: ModelEntry, engine?: Engine): Promise<Opened> {
    const url = new URL(model.file, document.baseURI).href;
    this.opening = { kind: "open", model, url, ...(engine && { engine }) };
    return this.ask(this.opening);
  }

  /** The faces of a picture, which is used up; its longer side is shrunk to `longSide` (0: never). */
  detect(picture: ImageBitmap, longSide: number): Promise<Found> {
    // A new worker has no model yet. When it cannot be opened, the picture's own answer says so.
    if (!this.worker && this.opening) this.ask(this.opening).catch(() => undefined);
    return this.ask({ kind: "detect", picture, longSide }, [picture]);
  }

  private ask<T>(request: Request, transfer: Transferable[] = []): Promise<T> {
    const id = this.next++;
    return new Promise<T>((resolve, reject) => {
      this.worker ??= this.start();
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...request }, transfer);
    });
  }

  private start(): Worker {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const waiting = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ("error" in data) waiting?.reject(new Error(data.error));
      else waiting?.resolve(data.value as never);
    };
    worker.onerror = ({ message }) => this.end(worker, message || "the detector's worker could not be started");
    worker.onmessageerror = () => this.end(worker, "the detector's worker sent what cannot be read");
    return worker;
  }

  /** After a crash nothing is answered any more: whoever waits is told, and the next request starts a new worker. */
  private end(worker: Worker, message: string): void {
    if (worker !== this.worker) return;
    worker.terminate();
    this.worker = undefined;
    for (const waiting of this.waiting.values()) waiting.reject(new Error(message));
    this.waiting.clear();
  }
}
