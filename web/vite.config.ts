import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

import { featherface, readPolicy } from "./vite/plugin.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));
const headers = {
  "Content-Security-Policy": readPolicy(repository),
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  base: "./",
  // ONNX Runtime's WebAssembly stays in files of its own, which its threads load by name.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "production"] },
  worker: { format: "es" },
  plugins: [featherface(repository)],
  build: {
    target: "es2022",
    outDir: "../src/featherface/web/dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  preview: { headers },
});
