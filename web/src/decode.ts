/** The network's outputs to faces: the same arithmetic as boxes.py, priors.py and Detector._look. */

import type { Box, Face, ModelSpec, Point } from "./types";

export interface Outputs {
  /** (P), after softmax. */
  scores: Float32Array;
  /** (P, 4) */
  boxDeltas: Float32Array;
  /** (P, 10) */
  landmarkDeltas: Float32Array;
}

export interface DecodeOptions {
  scoreThreshold: number;
  iouThreshold: number;
  maxDetections: number;
}

/**
 * The slider's lowest value. Greedy suppression lets only better boxes drop worse ones, so the faces above
 * any higher threshold are the same as if it had been decoded with that one: the slider only filters.
 */
export const DEFAULTS: DecodeOptions = { scoreThreshold: 0.1, iouThreshold: 0.4, maxDetections: 750 };
const MAX_CANDIDATES = 5000;
const LEAST_SIDE = 1e-3;

/** Of the last two sizes: a picture and its overview. */
const cached: { key: string; priors: Float32Array }[] = [];

/** Priors (P, 4) as centre and size, by level, row-major by cell, then by size. */
export function priorBoxes(height: number, width: number, spec: ModelSpec): Float32Array {
  const key = JSON.stringify([height, width, spec.strides, spec.prior_sizes]);
  const known = cached.find((entry) => entry.key === key);
  if (known) return known.priors;
  const values: number[] = [];
  spec.strides.forEach((stride, level) => {
    const rows = Math.ceil(height / stride);
    const columns = Math.ceil(width / stride);
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        for (const size of spec.prior_sizes[level])
          values.push((column + 0.5) * stride, (row + 0.5) * stride, size, size);
  });
  const priors = Float32Array.from(values);
  cached.splice(0, 0, { key, priors });
  cached.length = Math.min(cached.length, 2);
  return priors;
}

/**
 * The faces of a picture of `width` x `height` that lies at the top left of a padded input of `inputSize`, best first.
 * They are not suppressed yet: all of them vote on boxes when there are several looks.
 */
export function decode(
  outputs: Outputs,
  spec: ModelSpec,
  inputSize: { width: number; height: number },
  width: number,
  height: number,
  options: DecodeOptions = DEFAULTS,
): Face[] {
  const priors = priorBoxes(inputSize.height, inputSize.width, spec);
  if (outputs.scores.length * 4 !== priors.length)
    throw new Error(`model ${spec.name}: ${outputs.scores.length} scores for ${priors.length / 4} priors`);
  return candidates(outputs.scores, options.scoreThreshold)
    .map((index) => decodeOne(outputs, priors, index, spec.variances, width, height))
    .filter(({ box: [x1, y1, x2, y2] }) => Math.min(x2 - x1, y2 - y1) >= LEAST_SIDE);
}

/** Greedy non-maximum suppression of faces that are sorted best first. */
export function suppress(faces: Face[], { iouThreshold, maxDetections }: DecodeOptions = DEFAULTS): Face[] {
  const kept: Face[] = [];
  for (const face of faces) {
    if (kept.length >= maxDetections) break;
    if (!kept.some((better) => iou(better.box, face.box) > iouThreshold)) kept.push(face);
  }
  return kept;
}

/** Intersection over union; 0 when either is empty. */
export function iou(a: Box, b: Box): number {
  const overlap = shared(a, b);
  const union = area(a) + area(b) - overlap;
  return union > 0 ? overlap / union : 0;
}

/** The same faces in the pixels of the picture that was resized for the network. */
export function rescale(faces: Face[], x: number, y: number): Face[] {
  return faces.map(({ box, score, landmarks }) => ({
    box: [box[0] * x, box[1] * y, box[2] * x, box[3] * y],
    score,
    landmarks: landmarks.map(([px, py]) => [px * x, py * y]),
  }));
}

/** Indices of the likely priors, best first; equal scores in their order, as NumPy's stable sort leaves them. */
function candidates(scores: Float32Array, threshold: number): number[] {
  const likely: number[] = [];
  for (let i = 0; i < scores.length; i++) if (scores[i] >= threshold) likely.push(i);
  return likely.sort((a, b) => scores[b] - scores[a]).slice(0, MAX_CANDIDATES);
}

function decodeOne(
  { scores, boxDeltas, landmarkDeltas }: Outputs,
  priors: Float32Array,
  index: number,
  [centreVariance, sizeVariance]: [number, number],
  width: number,
  height: number,
): Face {
  const at = 4 * index;
  const [px, py, pw, ph] = priors.subarray(at, at + 4);
  const x = px + boxDeltas[at] * centreVariance * pw;
  const y = py + boxDeltas[at + 1] * centreVariance * ph;
  const halfWidth = (pw * Math.exp(boxDeltas[at + 2] * sizeVariance)) / 2;
  const halfHeight = (ph * Math.exp(boxDeltas[at + 3] * sizeVariance)) / 2;
  const box: Box = [
    clamp(x - halfWidth, width),
    clamp(y - halfHeight, height),
    clamp(x + halfWidth, width),
    clamp(y + halfHeight, height),
  ];
  const landmarks: Point[] = [0, 2, 4, 6, 8].map((k) => [
    px + landmarkDeltas[10 * index + k] * centreVariance * pw,
    py + landmarkDeltas[10 * index + k + 1] * centreVariance * ph,
  ]);
  if (![...box, ...landmarks.flat()].every(Number.isFinite))
    throw new Error("the network's output holds values that are not finite");
  return { box, score: scores[index], landmarks };
}

const clamp = (value: number, high: number): number => Math.min(Math.max(value, 0), high);
const side = (low: number, high: number): number => Math.max(0, high - low);

/** The area that two boxes have in common. */
export const shared = (a: Box, b: Box): number =>
  side(Math.max(a[0], b[0]), Math.min(a[2], b[2])) * side(Math.max(a[1], b[1]), Math.min(a[3], b[3]));

export const area = ([x1, y1, x2, y2]: Box): number => side(x1, x2) * side(y1, y2);
