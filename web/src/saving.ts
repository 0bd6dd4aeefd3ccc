/** The two buttons that save: the selected photo with its faces blurred, and what was found as JSON. */

import { decoded, type Photo } from "./lists";
import { render, say, shown } from "./results";
import { blurred, both, download, isShrunk, toHide, toJson } from "./save";
import { detector, leastShown, longSide, state } from "./state";
import type { Detections } from "./types";

/** For these the button does nothing for now. It is not disabled, which would take the focus from it. */
const saving = new Set<Photo>();

export async function saveBlurred(): Promise<void> {
  const photo = state.selected;
  if (!photo?.found || saving.has(photo)) return;
  saving.add(photo);
  try {
    await saveBlurredPhoto(photo, photo.found);
  } finally {
    saving.delete(photo);
  }
}

async function saveBlurredPhoto(photo: Photo, found: Detections): Promise<void> {
  const side = longSide();
  let [all, failed]: [Detections, string] = [found, ""];
  try {
    if (isShrunk(found, side)) all = both(found, await lookAtWhole(photo));
  } catch (error) {
    failed = (error as Error).message;
  }
  try {
    const picture = await decoded(photo);
    const file = blurred(picture, toHide(all, leastShown()), photo.name);
    download(...(await file.finally(() => picture.close())));
  } finally {
    render();
  }
  if (failed) say(`Blurred are only the faces found at ${side} px, since full size failed: ${failed}`, true);
}

/** A photo that was shrunk is looked at as it is before it is saved: a missed face costs more than some seconds. */
async function lookAtWhole(photo: Photo): Promise<Detections> {
  if (photo.whole) return photo.whole;
  say(`Looking at ${photo.name} in full size…`);
  const mine = state.round;
  const whole = await detector.detect(await decoded(photo), 0);
  if (mine === state.round) photo.whole = whole;
  return whole;
}

export function saveJson(): void {
  const results = state.photos
    .filter(({ found, error }) => found ?? error)
    .map(({ name, found, error }) => ({ path: name, ...(found && { found: shown(found) }), ...(error && { error }) }));
  download(new Blob([toJson(results)], { type: "application/json" }), "faces.json");
}
