import { fileURLToPath } from "node:url";

import base from "../playwright.config.ts";

export default {
  ...base,
  testDir: ".",
  testMatch: "*.bench.ts",
  timeout: 600_000,
  outputDir: "../../.cache/playwright",
  // The server's command is relative to web/, where the tests of the page start it.
  webServer: { ...base.webServer, cwd: fileURLToPath(new URL("..", import.meta.url)) },
};
