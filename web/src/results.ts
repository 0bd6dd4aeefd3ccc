/** What was found, on the page: the picture with its faces, the table, the times, the status line. */

import { hideFrom } from "./blur";
import { decoded, fillShelf, fillTable, type Photo } from "./lists";
import { both, isShrunk, scored, toHide } from "./save";
import { blurButton, camera, get, jsonButton, leastShown, longSide, state, view } from "./state";
import type { Detections, Found, Place } from "./types";
import { counted, hintOf } from "./view";

export function say(text: string, error = false): void {
  const status = get("status");
  // Written anew it would be read out again, after every further photo.
  if (status.textContent !== text) status.textContent = text;
  status.classList.toggle("error", error);
}

export const complain = (error: unknown): void => say(error instanceof Error ? error.message : String(error), true);

/** The faces that the slider lets through. */
export const shown = (found: Detections): Detections => scored(found, leastShown());

/** The faces that would be hidden in the photo; nothing while it was not looked at, or not at its full size. */
function known({ found, whole }: Photo): Detections | undefined {
  if (!found) return undefined;
  const all = isShrunk(found, longSide()) ? whole && both(found, whole) : found;
  return all && toHide(all, leastShown());
}

/** Brings the page in line with the selected photo and the slider. */
export function render(): void {
  const { photos, selected } = state;
  get("threshold-value").textContent = leastShown().toFixed(2);
  get("blur-hint").textContent = hintOf(hideFrom(leastShown()), selected && known(selected));
  get("stage").hidden = !camera.running && !selected?.thumbnail;
  fillShelf(get("photos"), camera.running ? [] : photos, selected, (photo) => void select(photo).catch(complain));
  get("shelf").hidden = camera.running || photos.length < 2;
  jsonButton.disabled = camera.running || !photos.some(({ found, error }) => found ?? error);
  blurButton.disabled = camera.running || !selected?.found;
  if (camera.running) return;
  if (selected?.error) say(`${selected.name}: ${selected.error}`, true);
  if (selected?.found) present(selected.found, selected.name);
  else get("faces").hidden = get("timing").hidden = true;
}

/** Shows the faces of the selected photo, or of the camera's picture. */
export function present(found: Found, name: string): void {
  const faces = shown(found);
  view.mark(camera.running || state.displayed === state.selected ? faces : undefined);
  fillTable(get("rows"), faces.faces);
  get("faces").hidden = faces.faces.length === 0;
  get("timing").hidden = false;
  get("time-total").textContent = `${found.timing.total.toFixed(0)} ms`;
  get("time-network").textContent = `${found.timing.network.toFixed(0)} ms`;
  showPlace(found.place);
  if (!camera.running) say(`${counted(faces.faces.length)} in ${name}`);
}

/** Says what the network runs on. */
export function showPlace({ engine, threads }: Place): void {
  const cpu = `CPU, ${threads} ${threads === 1 ? "thread" : "threads"}`;
  get("engine").textContent = engine === "webgpu" ? "GPU (WebGPU)" : cpu;
}

export async function select(photo: Photo): Promise<void> {
  state.selected = photo;
  render();
  if (!photo.thumbnail || photo === state.displayed) return;
  const picture = await decoded(photo);
  display(photo, picture);
  picture.close();
  render();
}

/** Draws the photo if it is still the selected one and not drawn yet. */
export function display(photo: Photo, picture: ImageBitmap): void {
  if (photo !== state.selected || photo === state.displayed || camera.running) return;
  state.displayed = photo;
  view.show(picture);
}
