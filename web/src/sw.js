// Keeps the whole page, so that it opens without a network. The build fills in the version and the files.
const CACHE = "featherface-__VERSION__";
const FILES = ["./", ..."__FILES__"];

self.addEventListener("install", (event) => {
  const store = async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })));
    await self.skipWaiting();
  };
  event.waitUntil(store());
});

self.addEventListener("activate", (event) => {
  const tidy = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith("featherface-") && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(tidy());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || new URL(event.request.url).origin !== self.location.origin) return;
  const answer = async () =>
    (await caches.match(event.request, { ignoreSearch: event.request.mode === "navigate", ignoreVary: true })) ??
    fetch(event.request);
  event.respondWith(answer());
});

// Files that only some browsers need: { keep: [url, ...] }
self.addEventListener("message", (event) => {
  const keep = async () => {
    const cache = await caches.open(CACHE);
    for (const url of event.data.keep) if (!(await cache.match(url))) await cache.add(url);
  };
  event.waitUntil(keep());
});
