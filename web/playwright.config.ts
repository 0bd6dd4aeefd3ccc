import { defineConfig, devices } from "@playwright/test";

const PORT = 8766;

/** The built page as `featherface web` serves it, in the system's Chromium. */
export default defineConfig({
  testDir: "tests/e2e",
  outputDir: "../.cache/playwright",
  timeout: 90_000,
  expect: { timeout: 45_000 },
  workers: 1,
  reporter: "list",
  forbidOnly: Boolean(process.env.CI),
  use: {
    ...devices["Desktop Chrome"],
    baseURL: `http://127.0.0.1:${PORT}`,
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
      ],
    },
  },
  webServer: {
    command: `${process.env.FEATHERFACE ?? "../.venv/bin/featherface"} web --port ${PORT}`,
    url: `http://127.0.0.1:${PORT}/`,
    reuseExistingServer: false,
  },
});
