/** The page: photos in, faces on screen, files out. */

import { hideFrom } from "./blur";
import { Camera } from "./camera";
import { DetectorClient } from "./client";
import { fillShelf, fillTable, type Photo, thumbnail } from "./lists";
import { keepOffline } from "./offline";
import { blurred, both, download, isShrunk, scored, toHide, toJson } from "./save";
import type { Detections, Engine, Found, ModelEntry } from "./types";
import { counted, hintOf, View } from "./view";

const get = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const pick = get<HTMLButtonElement>("pick");
const cameraButton = get<HTMLButtonElement>("camera");
const files = get<HTMLInputElement>("files");
const threshold = get<HTMLInputElement>("threshold");
const size = get<HTMLSelectElement>("size");
const modelChoice = get<HTMLSelectElement>("model");
const blurButton = get<HTMLButtonElement>("blur");
const jsonButton = get<HTMLButtonElement>("json");
const blurHint = get("blur-hint");

const detector = new DetectorClient();
const view = new View(get("picture"), get("overlay"));
const camera = new Camera(get("video"));
const photos: Photo[] = [];
let selected: Photo | undefined;
/** The photo on the canvas, which comes a little after it was selected. */
let displayed: Photo | undefined;
let models: ModelEntry[] = [];
let ready: Promise<unknown> = Promise.resolve();
/** Grows when a setting makes the answers under way worthless. */
let round = 0;

function say(text: string, error = false): void {
  const status = get("status");
  status.textContent = text;
  status.classList.toggle("error", error);
}

const complain = (error: unknown): void => say(error instanceof Error ? error.message : String(error), true);

const leastShown = (): number => Number(threshold.value);

/** The faces that the slider lets through. */
const shown = (found: Detections): Detections => scored(found, leastShown());

async function openModel(): Promise<void> {
  const model = models.find(({ name }) => name === modelChoice.value)!;
  const engine = new URLSearchParams(location.search).get("engine") as Engine | null;
  const opened = await detector.open(model, engine ?? undefined);
  const cpu = `CPU, ${opened.threads} ${opened.threads === 1 ? "thread" : "threads"}`;
  get("engine").textContent = opened.engine === "webgpu" ? "GPU (WebGPU)" : cpu;
  await keepOffline(opened.keep);
}

async function addFiles(list: Iterable<File>): Promise<void> {
  const added = [...list].map((file): Photo => ({ name: file.name || "pasted.png", file }));
  if (added.length === 0) return;
  stopCamera();
  photos.push(...added);
  selected = added[0];
  render();
  await lookAtAll();
}

/** Looks at every photo that has no answer yet, the selected one first. */
async function lookAtAll(): Promise<void> {
  const mine = ++round;
  const order = selected ? [selected, ...photos.filter((photo) => photo !== selected)] : [...photos];
  for (const photo of order) {
    if (mine !== round) return;
    if (photo.found || photo.error) continue;
    if (photo === selected) say(`Looking at ${photo.name}…`);
    await lookAt(photo, mine);
    if (mine === round) render();
  }
}

const decoded = (photo: Photo): Promise<ImageBitmap> =>
  createImageBitmap(photo.file, { imageOrientation: "from-image" });

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
    await ready;
    if (mine !== round) return;
    const found = await detector.detect(picture, Number(size.value));
    if (mine === round) photo.found = found;
  } catch (error) {
    if (mine === round) photo.error = (error as Error).message;
  } finally {
    picture.close();
  }
}

/** Draws the photo if it is still the selected one and not drawn yet. */
function display(photo: Photo, picture: ImageBitmap): void {
  if (photo !== selected || photo === displayed || camera.running) return;
  displayed = photo;
  view.show(picture);
}

async function select(photo: Photo): Promise<void> {
  selected = photo;
  render();
  if (!photo.thumbnail || photo === displayed) return;
  const picture = await decoded(photo);
  display(photo, picture);
  picture.close();
  render();
}

/** Brings the page in line with the selected photo and the slider. */
function render(): void {
  get("threshold-value").textContent = leastShown().toFixed(2);
  blurHint.textContent = hintOf(hideFrom(leastShown()), selected && known(selected));
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

function present(found: Found, name: string): void {
  const faces = shown(found);
  view.mark(camera.running || displayed === selected ? faces : undefined);
  fillTable(get("rows"), faces.faces);
  get("faces").hidden = faces.faces.length === 0;
  get("timing").hidden = false;
  get("time-total").textContent = `${found.timing.total.toFixed(0)} ms`;
  get("time-network").textContent = `${found.timing.network.toFixed(0)} ms`;
  if (!camera.running) say(`${counted(faces.faces.length)} in ${name}`);
}

async function toggleCamera(): Promise<void> {
  if (camera.running) return stopCamera();
  cameraButton.disabled = true;
  try {
    await ready;
    await camera.start(lookAtFrame, (reason) => {
      stopCamera();
      say(reason, true);
    });
    cameraButton.setAttribute("aria-pressed", "true");
    say("The camera is on. Its pictures stay in this browser.");
    render();
  } catch (error) {
    complain(error);
  }
  cameraButton.disabled = false;
}

async function lookAtFrame(frame: ImageBitmap): Promise<void> {
  const copy = await createImageBitmap(frame);
  const found = await detector.detect(copy, Number(size.value) || Math.max(frame.width, frame.height));
  if (camera.running) {
    displayed = undefined;
    view.show(frame);
    present(found, "the camera");
  }
  frame.close();
}

function stopCamera(): void {
  camera.stop();
  cameraButton.setAttribute("aria-pressed", "false");
  say("");
  if (selected) void select(selected).catch(complain);
  else render();
}

/** The faces that would be hidden in the photo; nothing while it was not looked at, or not at its full size. */
function known({ found, whole }: Photo): Detections | undefined {
  if (!found) return undefined;
  const all = isShrunk(found, Number(size.value)) ? whole && both(found, whole) : found;
  return all && toHide(all, leastShown());
}

async function saveBlurred(): Promise<void> {
  if (!selected?.found) return;
  const [photo, found, longSide] = [selected, selected.found, Number(size.value)];
  let [all, failed]: [Detections, string] = [found, ""];
  try {
    if (isShrunk(found, longSide)) all = both(found, await lookAtWhole(photo));
  } catch (error) {
    failed = (error as Error).message;
  }
  try {
    const picture = await decoded(photo);
    download(...(await blurred(picture, toHide(all, leastShown()), photo.name)));
    picture.close();
  } finally {
    render();
  }
  if (failed) say(`Blurred are only the faces found at ${longSide} px, since full size failed: ${failed}`, true);
}

/** A photo that was shrunk is looked at as it is before it is saved: a missed face costs more than some seconds. */
async function lookAtWhole(photo: Photo): Promise<Detections> {
  if (photo.whole) return photo.whole;
  say(`Looking at ${photo.name} in full size…`);
  blurButton.disabled = true;
  const mine = round;
  const whole = await detector.detect(await decoded(photo), 0);
  if (mine === round) photo.whole = whole;
  return whole;
}

function saveJson(): void {
  const results = photos
    .filter(({ found, error }) => found ?? error)
    .map(({ name, found, error }) => ({ path: name, ...(found && { found: shown(found) }), ...(error && { error }) }));
  download(new Blob([toJson(results)], { type: "application/json" }), "faces.json");
}

function again(): void {
  for (const photo of photos) if (photo.thumbnail) delete photo.found, delete photo.whole, delete photo.error;
  void lookAtAll();
}

function listen(): void {
  pick.onclick = () => files.click();
  files.onchange = () => {
    void addFiles(files.files ?? []);
    files.value = "";
  };
  cameraButton.onclick = () => void toggleCamera();
  get("sample").onclick = () =>
    void fetch("./sample.jpg")
      .then((response) => response.blob())
      .then((blob) => addFiles([new File([blob], "eileen_collins.jpg", { type: "image/jpeg" })]))
      .catch(complain);
  threshold.oninput = render;
  size.onchange = again;
  modelChoice.onchange = () => {
    ready = openModel();
    ready.catch(complain);
    again();
  };
  blurButton.onclick = () => void saveBlurred().catch(complain);
  jsonButton.onclick = saveJson;
  document.onpaste = (event) => void addFiles(event.clipboardData?.files ?? []);
  listenForDrops(get("drop"));
}

function listenForDrops(curtain: HTMLElement): void {
  document.ondragover = (event) => {
    event.preventDefault();
    curtain.hidden = false;
  };
  document.ondragleave = (event) => {
    curtain.hidden = event.relatedTarget === null;
  };
  document.ondrop = (event) => {
    event.preventDefault();
    curtain.hidden = true;
    void addFiles(event.dataTransfer?.files ?? []);
  };
}

async function start(): Promise<void> {
  models = (await (await fetch("./models.json")).json()) as ModelEntry[];
  modelChoice.replaceChildren(...models.map(({ name, title }) => new Option(title.split(":")[0], name)));
  await openModel();
}

listen();
render();
ready = start();
ready.then(() => photos.length === 0 && say("Ready.")).catch(complain);
