import { expect, test } from "@playwright/test";

/** SwiftShader, Chromium's own software GPU, where there is no other: slow, but the same code runs. */
test.use({
  launchOptions: {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
  },
});

test("WebGPU finds the face that the CPU finds", async ({ page }) => {
  await page.goto("/");
  test.skip(!process.env.FEATHERFACE_GPU, "set FEATHERFACE_GPU; a software GPU takes up to a minute");
  test.setTimeout(260_000);
  const adapter = await page.evaluate(async () => {
    const gpu = (navigator as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu;
    return "Suspending" in WebAssembly && Boolean(await gpu?.requestAdapter());
  });
  test.skip(!adapter, "this Chromium has no WebGPU adapter, not even SwiftShader");
  const boxes: number[][] = [];
  for (const [engine, label] of [["wasm", /^CPU/], ["webgpu", "GPU (WebGPU)"]] as const) {
    await page.goto(`/?engine=${engine}`);
    await expect(page.locator("#status")).toHaveText("Ready.");
    await expect(page.locator("#engine")).toHaveText(label);
    await page.getByRole("button", { name: "Sample photo" }).click();
    await expect(page.locator("#status")).toHaveText("1 face in eileen_collins.jpg", { timeout: 200_000 });
    console.log(engine, await page.locator("#time-network").textContent());
    boxes.push((await page.locator("#rows td").allTextContents()).slice(2).map(Number));
  }
  boxes[1].forEach((value, i) => expect(Math.abs(value - boxes[0][i])).toBeLessThanOrEqual(1));
});
