/** The camera: each frame is looked at as soon as the one before is done. */

export class Camera {
  private stream: MediaStream | undefined;
  /** Grows with every start and stop: what an older one still waits for is over. */
  private turn = 0;

  constructor(private video: HTMLVideoElement) {}

  get running(): boolean {
    return this.stream !== undefined;
  }

  /**
   * Asks for the camera and hands its frames to `look` until `stop`; when that comes while it is asked for, it does not
   * come on. Throws a sentence for people when it cannot.
   */
  async start(look: (frame: ImageBitmap) => Promise<void>, ended: (reason: string) => void): Promise<void> {
    if (!navigator.mediaDevices) throw new Error("This browser gives no camera to this page.");
    const turn = ++this.turn;
    const stream = await navigator.mediaDevices
      .getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } }, audio: false })
      .catch((error: DOMException) => {
        throw new Error(REASONS[error.name] ?? `The camera cannot be used (${error.message}).`);
      });
    if (turn !== this.turn) return switchOff(stream);
    this.stream = stream;
    const end = (reason: string): void => {
      if (turn !== this.turn) return;
      this.stop();
      ended(reason);
    };
    stream.getVideoTracks()[0].onended = () => end("The camera went away.");
    await this.play(stream, turn);
    void this.loop(turn, look).catch((error: Error) => end(error.message));
  }

  stop(): void {
    this.turn++;
    if (this.stream) switchOff(this.stream);
    this.stream = undefined;
    this.video.srcObject = null;
  }

  private async play(stream: MediaStream, turn: number): Promise<void> {
    this.video.srcObject = stream;
    try {
      await this.video.play();
    } catch (error) {
      // A stop interrupts it, which is no error.
      if (turn !== this.turn) return;
      this.stop();
      throw new Error(`The camera's picture cannot be played (${(error as Error).message}).`);
    }
  }

  private async loop(turn: number, look: (frame: ImageBitmap) => Promise<void>): Promise<void> {
    while (turn === this.turn) {
      await new Promise((next) => requestAnimationFrame(next));
      if (turn === this.turn && this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA)
        await look(await createImageBitmap(this.video));
    }
  }
}

const switchOff = (stream: MediaStream): void => stream.getTracks().forEach((track) => track.stop());

const REASONS: Record<string, string> = {
  NotAllowedError: "The camera was not allowed. You can allow it in the browser's site settings.",
  NotFoundError: "There is no camera.",
  NotReadableError: "The camera is in use by another program.",
};
