import { beforeEach, expect, test, vi } from "vitest";

import { Camera } from "../../src/camera";

/** A camera's stream, whose light is on until its track is stopped. */
class FakeStream {
  track = { on: true, onended: () => undefined as void, stop: () => void (this.track.on = false) };
  getTracks = () => [this.track];
  getVideoTracks = () => [this.track];
}

let stream: FakeStream;
let video: { play(): Promise<void>; readyState: number; srcObject: unknown };
let camera: Camera;
let reasons: string[];

const look = vi.fn<() => Promise<void>>();
const start = (): Promise<void> => camera.start(look, (reason) => void reasons.push(reason));

/** What waits for the next frame. */
let waiting: () => void;

/** The browser's next frame, and all that follows from it. */
async function frame(): Promise<void> {
  waiting();
  await new Promise((done) => setTimeout(done));
}

beforeEach(() => {
  stream = new FakeStream();
  video = { play: async () => undefined, readyState: 2, srcObject: null };
  camera = new Camera(video as unknown as HTMLVideoElement);
  reasons = [];
  look.mockReset().mockResolvedValue();
  waiting = () => undefined;
  vi.stubGlobal("navigator", { mediaDevices: { getUserMedia: async () => stream } });
  vi.stubGlobal("HTMLMediaElement", { HAVE_CURRENT_DATA: 2 });
  vi.stubGlobal("requestAnimationFrame", (next: () => void) => void (waiting = next));
  vi.stubGlobal("createImageBitmap", async () => ({}));
});

test("frames are looked at until it is stopped", async () => {
  await start();
  await frame();
  await frame();
  expect(look).toHaveBeenCalledTimes(2);
  camera.stop();
  expect([camera.running, stream.track.on, video.srcObject]).toEqual([false, false, null]);
  await frame();
  expect(look).toHaveBeenCalledTimes(2);
});

test("a picture that the browser does not play: one sentence, and the light goes off", async () => {
  video.play = () => Promise.reject(new Error("not allowed"));
  await expect(start()).rejects.toThrow("The camera's picture cannot be played (not allowed).");
  expect([camera.running, stream.track.on, look.mock.calls.length]).toEqual([false, false, 0]);
});

test("a camera that goes away before its first picture is said once", async () => {
  video.play = async () => {
    stream.track.onended();
    throw new Error("interrupted");
  };
  await start();
  expect([camera.running, reasons]).toEqual([false, ["The camera went away."]]);
});

test("stopped while the browser still asks for leave, it does not come on", async () => {
  const started = start();
  camera.stop();
  await started;
  expect([camera.running, stream.track.on]).toEqual([false, false]);
});

test("a frame that fails after the stop is nobody's, not even that of the camera that runs by then", async () => {
  let fail: (error: Error) => void = () => undefined;
  look.mockImplementationOnce(() => new Promise((_, reject) => (fail = reject)));
  await start();
  await frame();
  expect(look).toHaveBeenCalledTimes(1);
  camera.stop();
  stream = new FakeStream();
  await start();
  fail(new Error("too late"));
  await frame();
  expect([camera.running, stream.track.on, reasons]).toEqual([true, true, []]);
});

test("a frame that fails while it runs ends it with the reason", async () => {
  look.mockRejectedValueOnce(new Error("out of memory"));
  await start();
  await frame();
  expect([camera.running, stream.track.on, reasons]).toEqual([false, false, ["out of memory"]]);
});
