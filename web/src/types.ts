/** What the page, its worker and the build share. */

export type Point = [x: number, y: number];
/** Corners x1, y1, x2, y2 in the picture's pixels. */
export type Box = [number, number, number, number];

export interface Face {
  box: Box;
  score: number;
  /** Left eye, right eye, nose, left and right mouth corner, as seen in the picture. */
  landmarks: Point[];
}

export interface Detections {
  width: number;
  height: number;
  /** Best score first. */
  faces: Face[];
}

/** What a network file says of itself: all that decoding needs (see ModelSpec in runtime.py). */
export interface ModelSpec {
  name: string;
  strides: number[];
  prior_sizes: number[][];
  variances: [number, number];
  pad_multiple: number;
}

/** A line of models.json, which the build writes from the package's weights. */
export interface ModelEntry {
  name: string;
  title: string;
  /** Relative to the page. */
  file: string;
  spec: ModelSpec;
}

export type Engine = "wasm" | "webgpu";

/** What a network runs on. */
export interface Place {
  engine: Engine;
  threads: number;
}

export interface Opened extends Place {
  /** Large files that the service worker keeps only when this browser uses them. */
  keep: string[];
}

/** Milliseconds of one detection. */
export interface Timing {
  prepare: number;
  network: number;
  decode: number;
  total: number;
}

export interface Found extends Detections {
  timing: Timing;
  /** Not always where the network was opened: a GPU that fails is left for the CPU. */
  place: Place;
}
