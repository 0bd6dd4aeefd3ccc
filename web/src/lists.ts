/** The row of photos and the table of faces. */

import type { Face, Found } from "./types";

export interface Photo {
  name: string;
  file: File;
  /** Once it has been decoded. The picture itself is not kept: 12 megapixels take 48 MB. */
  thumbnail?: HTMLCanvasElement;
  found?: Found;
  /** At full size, once it was looked at so. */
  whole?: Found;
  error?: string;
}

/** The photo's pixels, the right way up. Whoever asked closes it. */
export const decoded = (photo: Photo): Promise<ImageBitmap> =>
  createImageBitmap(photo.file, { imageOrientation: "from-image" });

const UNREADABLE = "not readable";
const THUMBNAIL = 64;
const TABLE_FACES = 200;
const buttons = new WeakMap<Photo, HTMLLIElement>();

/** One button a photo; pressing it selects the photo. Buttons are kept, so that the focus stays where it is. */
export function fillShelf(
  list: HTMLElement,
  photos: Photo[],
  selected: Photo | undefined,
  select: (photo: Photo) => void,
): void {
  const items = photos.map((photo) => {
    const item = buttons.get(photo) ?? newItem(photo, select);
    buttons.set(photo, item);
    const button = item.firstElementChild as HTMLButtonElement;
    button.setAttribute("aria-pressed", String(photo === selected));
    button.title = photo.name;
    button.setAttribute("aria-label", labelOf(photo));
    if (photo.error && !photo.thumbnail) button.textContent = UNREADABLE;
    else if (photo.thumbnail && !button.firstElementChild) button.append(photo.thumbnail);
    return item;
  });
  if (items.length !== list.children.length || items.some((item, i) => item !== list.children[i]))
    list.replaceChildren(...items);
}

/** What is written on a button is in its name, too, for those who say it to press it. */
function labelOf({ name, error, thumbnail }: Photo): string {
  if (!error) return name;
  return thumbnail ? `${name}, ${error}` : `${name}, ${UNREADABLE}: ${error}`;
}

/** What a table of faces says, best first, a row each; where there are too many, a last row of one cell counts them. */
export function tableRows(faces: Face[]): string[][] {
  const rows = faces
    .slice(0, TABLE_FACES)
    .map(({ box: [x1, y1, x2, y2], score }, i) => [
      String(i + 1),
      score.toFixed(3),
      ...[x1, y1, x2 - x1, y2 - y1].map((value) => value.toFixed(0)),
    ]);
  const more = faces.length - rows.length;
  return more > 0 ? [...rows, [`and ${more} more with lower scores`]] : rows;
}

export function fillTable(body: HTMLElement, faces: Face[]): void {
  const rows = tableRows(faces).map((values, _, all) => {
    const row = document.createElement("tr");
    for (const value of values) row.insertCell().textContent = value;
    if (values.length === 1) row.cells[0]!.colSpan = all[0]!.length;
    return row;
  });
  body.replaceChildren(...rows);
}

function newItem(photo: Photo, select: (photo: Photo) => void): HTMLLIElement {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.onclick = () => select(photo);
  item.append(button);
  return item;
}

/** A small copy for the row of photos. */
export function thumbnail(picture: ImageBitmap): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, (2 * THUMBNAIL) / picture.height);
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const context = canvas.getContext("2d")!;
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas;
}
