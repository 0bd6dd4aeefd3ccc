/** Photos and the camera's frames on their way through the detector. */

import { decoded, type Photo, thumbnail } from "./lists";
import { complain, display, present, render, say, select } from "./results";
import { camera, cameraButton, detector, longSide, state, view } from "./state";

export async function addFiles(list: Iterable<File>): Promise<void> {
  const added = [...list].map((file): Photo => ({ name: file.name || "pasted.png", file }));
  if (added.length === 0) return;
  void stopCamera();
  state.photos.push(...added);
  state.selected = added[0];
  render();
  await lookAtAll();
}

/** Looks at every photo that has no answer yet, the selected one first. */
async function lookAtAll(): Promise<void> {
  const mine = ++state.round;
  const { photos, selected } = state;
  const order = selected ? [selected, ...photos.filter((photo) => photo !== selected)] : [...photos];
  for (const photo of order) {
    if (mine !== state.round) return;
    if (photo.found || photo.error) continue;
    if (photo === state.selected && !camera.running) say(`Looking at ${photo.name}…`);
    await lookAt(photo, mine);
    if (mine === state.round) render();
  }
}

/** Looks at one photo; when a newer round has begun, its answer and its error are dropped. */
async function lookAt(photo: Photo, mine: number): Promise<void> {
  let picture: ImageBitmap;
  try {
    picture = await decoded(photo);
  } catch {
    photo.error = "not a picture that this browser can decode";
    return;
  }
  try {
    photo.thumbnail ??= thumbnail(picture);
    display(photo, picture);
    render();
    await state.ready;
    if (mine !== state.round) return;
    const found = await detector.detect(picture, longSide());
    if (mine === state.round) photo.found = found;
  } catch (error) {
    if (mine === state.round) photo.error = (error as Error).message;
  } finally {
    picture.close();
  }
}

/** Forgets what was found with other settings, and looks anew. */
export function again(): void {
  for (const photo of state.photos) if (photo.thumbnail) delete photo.found, delete photo.whole, delete photo.error;
  void lookAtAll();
}

/** While it is, the button does nothing. It is not disabled, which would take the focus from it. */
let starting = false;

export async function toggleCamera(): Promise<void> {
  if (camera.running) return stopCamera();
  if (starting) return;
  starting = true;
  try {
    await state.ready;
    await camera.start(lookAtFrame, (reason) => void stopCamera().then(() => say(reason, true)));
    if (camera.running) showCamera();
  } catch (error) {
    complain(error);
  }
  starting = false;
}

function showCamera(): void {
  cameraButton.setAttribute("aria-pressed", "true");
  say("The camera is on. Its pictures stay in this browser.");
  render();
}

async function lookAtFrame(frame: ImageBitmap): Promise<void> {
  try {
    const copy = await createImageBitmap(frame);
    const found = await detector.detect(copy, longSide() || Math.max(frame.width, frame.height));
    if (!camera.running) return;
    state.displayed = undefined;
    view.show(frame);
    present(found, "the camera");
  } finally {
    frame.close();
  }
}

/** Ends when the selected photo is on the page again. */
async function stopCamera(): Promise<void> {
  camera.stop();
  cameraButton.setAttribute("aria-pressed", "false");
  say("");
  if (state.selected) await select(state.selected).catch(complain);
  else render();
}
