/**
 * Faces larger than any prior, which a look at full size finds in fragments: tall pictures are also seen in a small
 * copy, as Detector.detect does (detector.py). Each look keeps the sizes that it sees better, and each face that is
 * kept becomes the mean of the boxes that both looks have for it.
 */

import { area, iou, shared, suppress } from "./decode";
import { fitted, type Size } from "./pixels";
import type { Box, Face } from "./types";

const TALL = 800;
const OVERVIEW = 640;
const LARGEST_FACE = 640;
const LEAST_IN_OVERVIEW = 64;
const INSIDE = 0.7;
const LOUDER = 0.8;
const VOTE_IOU = 0.5;

/** The copy's size, when what the network sees is tall enough for such a face. */
export const overviewOf = (shown: Size): Size | undefined =>
  shown.height > TALL ? fitted(shown, OVERVIEW) : undefined;

/**
 * The faces of both looks, which are given unsuppressed and in the picture's pixels; `scale` and `small` are the looks'
 * sizes relative to it.
 */
export function joined(full: Face[], scale: number, overview: Face[], small: number): Face[] {
  const isLarge = (face: Face): boolean => height(face) * small >= LEAST_IN_OVERVIEW;
  const both = [...full.filter((face) => height(face) * scale <= LARGEST_FACE), ...overview.filter(isLarge)];
  both.sort((a, b) => b.score - a.score);
  const faces = suppress(both).map((face) => ({ ...face, box: voted(face.box, both) }));
  return faces.filter((part) => !faces.some((face) => isLarge(face) && isPartOf(part, face)));
}

/** Box voting (boxes.py): the mean of the boxes that overlap this one enough, each by its score. */
function voted(kept: Box, all: Face[]): Box {
  const heard = all.filter(({ box }) => iou(kept, box) >= VOTE_IOU);
  const total = heard.reduce((sum, { score }) => sum + score, 0);
  if (total === 0) return kept;
  return kept.map((_, k) => heard.reduce((sum, { box, score }) => sum + score * box[k], 0) / total) as Box;
}

/** Whether it is an eye or a cheek of a face of over twice its area, unless its score tells otherwise. */
const isPartOf = ({ box: part, score }: Face, { box: face, score: louder }: Face): boolean =>
  area(face) > 2 * area(part) && shared(part, face) >= INSIDE * area(part) && louder >= LOUDER * score;

const height = ({ box }: Face): number => box[3] - box[1];
