import base from "../playwright.config.ts";

export default { ...base, testDir: ".", testMatch: "*.bench.ts", timeout: 600_000, outputDir: "../../.cache/playwright" };
