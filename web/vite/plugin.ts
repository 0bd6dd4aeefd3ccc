/** What the page needs beyond its own source: models, a sample photo, a strict CSP, the service worker. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

import { readModels } from "./models.ts";

/** The browser itself refuses to send anything elsewhere; `featherface web` sends the same as a header. */
export const readPolicy = (repository: string): string =>
  readFileSync(join(repository, "src/featherface/web/policy.txt"), "utf8").trim().split("\n").join("; ");

export function featherface(repository: string): Plugin {
  return {
    name: "featherface",
    apply: "build",
    transformIndexHtml: () => [
      {
        tag: "meta",
        attrs: { "http-equiv": "Content-Security-Policy", content: readPolicy(repository) },
        injectTo: "head-prepend",
      },
    ],
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const kept: Record<string, string | Uint8Array> = {};
        const emit = (fileName: string, source: string | Uint8Array): void => {
          this.emitFile({ type: "asset", fileName, source });
          kept[fileName] = source;
        };
        const models = readModels(join(repository, "src/featherface/weights"));
        for (const { entry, content } of models) emit(entry.file, content);
        emit("models.json", JSON.stringify(models.map(({ entry }) => entry), null, 1));
        emit("sample.jpg", readFileSync(join(repository, "examples/eileen_collins.jpg")));
        for (const file of readdirSync(join(repository, "web/public")))
          kept[file] = readFileSync(join(repository, "web/public", file));
        for (const [name, part] of Object.entries(bundle)) kept[name] = part.type === "chunk" ? part.code : part.source;
        emit("sw.js", serviceWorker(join(repository, "web/src/sw.js"), kept));
      },
    },
  };
}

/** The service worker with the list of files to keep and a version that changes with any of them. */
function serviceWorker(template: string, contents: Record<string, string | Uint8Array>): string {
  const hash = createHash("sha256").update(readFileSync(template));
  const names = Object.keys(contents).sort();
  for (const name of names) hash.update(name).update(contents[name]);
  // The GPU's runtime is large and kept only by browsers that use it.
  const files = names.filter((name) => !/\.jspi-.*\.wasm$|\.map$/.test(name));
  return readFileSync(template, "utf8")
    .replace("__VERSION__", hash.digest("hex").slice(0, 12))
    .replace('"__FILES__"', JSON.stringify(files));
}
