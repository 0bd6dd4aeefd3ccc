/** What the page shows, and the parts of it that several modules work on. */

import { Camera } from "./camera";
import { DetectorClient } from "./client";
import type { Photo } from "./lists";
import { View } from "./view";

export const get = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
export const cameraButton = get<HTMLButtonElement>("camera");
export const blurButton = get<HTMLButtonElement>("blur");
export const jsonButton = get<HTMLButtonElement>("json");

export const detector = new DetectorClient();
export const view = new View(get("picture"), get("overlay"));
export const camera = new Camera(get("video"));

interface State {
  photos: Photo[];
  selected: Photo | undefined;
  /** The photo on the canvas, which comes a little after it was selected. */
  displayed: Photo | undefined;
  /** The model that is being opened, or is open. */
  ready: Promise<unknown>;
  /** Grows when a setting makes the answers under way worthless. */
  round: number;
}

export const state: State = {
  photos: [],
  selected: undefined,
  displayed: undefined,
  ready: Promise.resolve(),
  round: 0,
};

const threshold = get<HTMLInputElement>("threshold");
const size = get<HTMLSelectElement>("size");

/** The score from which faces are shown. */
export const leastShown = (): number => Number(threshold.value);

/** The longer side that photos are shrunk to; 0: never. */
export const longSide = (): number => Number(size.value);
