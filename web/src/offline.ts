/** The service worker, which keeps the page for when there is no network. */

/** Registers it in a built page, and has it keep these large files, too. */
export async function keepOffline(urls: string[]): Promise<void> {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("./sw.js");
    if (urls.length > 0)
      void navigator.serviceWorker.ready.then(({ active }) => active?.postMessage({ keep: urls }));
  } catch (error) {
    console.warn("The page cannot be kept for use without a network.", error);
  }
}
