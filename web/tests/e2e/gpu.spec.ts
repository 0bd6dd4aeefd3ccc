import { expect, type Page, test } from "@playwright/test";

/** SwiftShader, Chromium's own software GPU, where there is no other: slow, but the same code runs. */
test.use({
  launchOptions: {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
  },
});

/** Skips a test where there is no GPU, or nobody asked for one. */
async function needGpu(page: Page): Promise<void> {
  test.skip(!process.env.FEATHERFACE_GPU, "set FEATHERFACE_GPU; a software GPU takes up to a minute");
  test.setTimeout(260_000);
  await page.goto("/licences.txt");
  const adapter = await page.evaluate(async () => {
    const gpu = (navigator as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu;
    return "Suspending" in WebAssembly && Boolean(await gpu?.requestAdapter());
  });
  test.skip(!adapter, "this Chromium has no WebGPU adapter, not even SwiftShader");
}

/** Runs this script in the worker before the worker's own. */
const inWorker = (page: Page, script: string): Promise<unknown> =>
  page.route("**/assets/worker-*.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${script};${await response.text()}` });
  });

/** Shows the page its sample photo. */
async function lookAtSample(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Sample photo" }).click();
  await expect(page.locator("#status")).toHaveText("1 face in eileen_collins.jpg", { timeout: 200_000 });
}

test("WebGPU finds the face that the CPU finds", async ({ page }) => {
  await needGpu(page);
  const boxes: number[][] = [];
  for (const [engine, label] of [["wasm", /^CPU/], ["webgpu", "GPU (WebGPU)"]] as const) {
    await page.goto(`/?engine=${engine}`);
    await expect(page.locator("#status")).toHaveText("Ready.", { timeout: 200_000 });
    await expect(page.locator("#engine")).toHaveText(label);
    await lookAtSample(page);
    console.log(engine, await page.locator("#time-network").textContent());
    boxes.push((await page.locator("#rows td").allTextContents()).slice(2).map(Number));
  }
  boxes[1].forEach((value, i) => expect(Math.abs(value - boxes[0][i])).toBeLessThanOrEqual(1));
});

test("a GPU that is lost between two photos is left for the CPU", async ({ page }) => {
  await needGpu(page);
  // As it is not asked for by name, the GPU must not say that it is a CPU's imitation.
  await inWorker(
    page,
    `Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { value: false });
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...args) {
      return (self.device = await requestDevice.apply(this, args));
    }`,
  );
  await page.goto("/");
  await expect(page.locator("#engine")).toHaveText("GPU (WebGPU)", { timeout: 200_000 });
  await lookAtSample(page);
  await expect(page.locator("#engine")).toHaveText("GPU (WebGPU)");
  await page.workers()[0].evaluate(() => (self as unknown as { device: { destroy(): void } }).device.destroy());
  await page.getByLabel("Look at").selectOption("640");
  await expect(page.locator("#engine")).toHaveText(/^CPU, \d+ threads?$/);
  await expect(page.locator("#status")).toHaveText("1 face in eileen_collins.jpg");
});
