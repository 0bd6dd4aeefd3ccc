/** The page starts here: it opens a model, and hands on what the user does. */

import { addFiles, again, toggleCamera } from "./looking";
import { keepOffline } from "./offline";
import { complain, render, say, showPlace } from "./results";
import { saveBlurred, saveJson } from "./saving";
import { blurButton, cameraButton, detector, get, jsonButton, state } from "./state";
import type { Engine, ModelEntry } from "./types";

const files = get<HTMLInputElement>("files");
const modelChoice = get<HTMLSelectElement>("model");
let models: ModelEntry[] = [];

/** A file of the page's own. */
async function load(name: string): Promise<Response> {
  const response = await fetch(`./${name}`);
  if (!response.ok) throw new Error(`${name}: the server answers ${response.status}`);
  return response;
}

async function start(): Promise<void> {
  models = (await (await load("models.json")).json()) as ModelEntry[];
  modelChoice.replaceChildren(...models.map(({ name, title }) => new Option(title.split(":")[0], name)));
  await openModel();
}

async function openModel(): Promise<void> {
  const model = models.find(({ name }) => name === modelChoice.value)!;
  const engine = new URLSearchParams(location.search).get("engine") as Engine | null;
  const opened = await detector.open(model, engine ?? undefined);
  showPlace(opened);
  await keepOffline(opened.keep);
}

function listen(): void {
  get("pick").onclick = () => files.click();
  files.onchange = () => {
    void addFiles(files.files ?? []);
    files.value = "";
  };
  cameraButton.onclick = () => void toggleCamera();
  get("sample").onclick = () =>
    void load("sample.jpg")
      .then((response) => response.blob())
      .then((blob) => addFiles([new File([blob], "eileen_collins.jpg", { type: "image/jpeg" })]))
      .catch(complain);
  get("threshold").oninput = render;
  get("size").onchange = again;
  modelChoice.onchange = () => {
    state.ready = openModel();
    state.ready.catch(complain);
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

listen();
render();
state.ready = start();
state.ready.then(() => state.photos.length === 0 && say("Ready.")).catch(complain);
