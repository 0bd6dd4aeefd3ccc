/** The camera: each frame is looked at as soon as the one before is done. */

export class Camera {
  private stream: MediaStream | undefined;

  constructor(private video: HTMLVideoElement) {}

  get running(): boolean {
    return this.stream !== undefined;
  }

  /** Asks for the camera and hands its frames to `look` until `stop`. Throws a sentence for people when it cannot. */
  async start(look: (frame: ImageBitmap) => Promise<void>, ended: (reason: string) => void): Promise<void> {
    if (!navigator.mediaDevices) throw new Error("This browser gives no camera to this page.");
    const stream = await navigator.mediaDevices
      .getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } }, audio: false })
      .catch((error: DOMException) => {
        throw new Error(REASONS[error.name] ?? `The camera cannot be used (${error.message}).`);
      });
    this.stream = stream;
    stream.getVideoTracks()[0].onended = () => {
      this.stop();
      ended("The camera went away.");
    };
    this.video.srcObject = stream;
    await this.video.play();
    void this.loop(look).catch((error: Error) => {
      this.stop();
      ended(error.message);
    });
  }

  stop(): void {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = undefined;
    this.video.srcObject = null;
  }

  private async loop(look: (frame: ImageBitmap) => Promise<void>): Promise<void> {
    const { stream } = this;
    while (this.stream === stream && stream) {
      await new Promise((next) => requestAnimationFrame(next));
      if (this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) await look(await createImageBitmap(this.video));
    }
  }
}

const REASONS: Record<string, string> = {
  NotAllowedError: "The camera was not allowed. You can allow it in the browser's site settings.",
  NotFoundError: "There is no camera.",
  NotReadableError: "The camera is in use by another program.",
};
