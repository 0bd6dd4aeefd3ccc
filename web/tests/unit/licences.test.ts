import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const web = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, web), "utf8");
const licences = read("public/licences.txt");

test("the page's licences hold the whole notice of what is bundled, and our own", () => {
  for (const said of ["Copyright (c) Microsoft Corporation", "Copyright (c) 2026 The FeatherFace authors"])
    expect(licences).toContain(said);
  expect(licences.match(/Permission is hereby granted, free of charge/g)).toHaveLength(2);
  expect(licences.match(/THE SOFTWARE IS PROVIDED "AS IS"/g)).toHaveLength(2);
  expect(read("index.html")).toContain('href="./licences.txt"');
});

test("every package that the page imports is named there", () => {
  const sources = readdirSync(new URL("src/", web)).filter((name) => name.endsWith(".ts"));
  const imported = sources.flatMap((name) =>
    [...read(`src/${name}`).matchAll(/(?:from |import\()"([^."][^"]*)"/g)].map(([, path]) => path.split("/")[0]),
  );
  expect(imported).toContain("onnxruntime-web");
  for (const name of imported) expect(licences).toContain(name);
});
