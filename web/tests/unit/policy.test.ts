import { expect, test } from "vitest";

import { readPolicy } from "../../vite/plugin";

const policy = readPolicy(new URL("../../..", import.meta.url).pathname);

test.each([
  { what: "requests", directive: "connect-src 'self'" },
  { what: "workers", directive: "worker-src 'self'" },
  { what: "forms", directive: "form-action 'none'" },
  { what: "the rest", directive: "default-src 'self'" },
])("$what stay with the page's own address", ({ directive }) => {
  expect(policy.split("; ")).toContain(directive);
});

test("nothing is allowed to go elsewhere", () => {
  expect(policy).not.toMatch(/\*|https?:|\n|'unsafe-(inline|eval)/);
});
