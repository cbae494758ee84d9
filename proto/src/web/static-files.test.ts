import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { StaticFiles, type StaticResponse } from "./static-files.js";

let directory: string;
let files: StaticFiles;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-page-"));
  await mkdir(join(directory, "assets"));
  await writeFile(join(directory, "index.html"), "<html>");
  await writeFile(join(directory, "assets/app-1a2b.js"), "code");
  await writeFile(join(directory, "assets/app-1a2b.js.br"), "brotli");
  await writeFile(join(directory, "assets/app-1a2b.js.gz"), "gzip");
  files = await StaticFiles.read(directory);
});

afterAll(() => rm(directory, { recursive: true }));

function get(path: string, acceptEncoding = "", ifNoneMatch = ""): StaticResponse {
  return files.respond({ path, acceptEncoding, ifNoneMatch });
}

test("files with a hash in their names are cached for a year, and others are checked each time", () => {
  const script = get("/assets/app-1a2b.js");
  expect(script.headers).toMatchObject({
    "cache-control": "public, max-age=31536000, immutable",
    "content-type": "text/javascript; charset=utf-8",
  });
  expect(get("/").headers).toMatchObject({
    "cache-control": "no-cache",
    "content-type": "text/html; charset=utf-8",
  });
  const { etag = "" } = get("/").headers;
  expect(get("/", "", `"other", ${etag}`)).toMatchObject({ status: 304, body: Buffer.alloc(0) });
  expect(get("/", "", '"other"').status).toBe(200);
});

test.each([
  ["gzip, deflate, br", "br", "brotli"],
  ["gzip", "gzip", "gzip"],
  ["br;q=0, gzip;q=0.5", "gzip", "gzip"],
  ["", undefined, "code"],
])("with Accept-Encoding %j, a file has the encoding %s", (accept, encoding, body) => {
  const response = get("/assets/app-1a2b.js", accept);
  expect(response.headers["content-encoding"]).toBe(encoding);
  expect(response.body.toString()).toBe(body);
});

test("places in the web UI return index.html, and unknown files do not exist", () => {
  expect(get("/nodes/n1").body.toString()).toBe("<html>");
  for (const path of ["/assets/gone.js", "/../secret.txt", "/assets/../../etc/passwd.txt"]) {
    expect(get(path)).toMatchObject({ status: 404, headers: { "cache-control": "no-store" } });
  }
});

test("a build without the page responds with where the API is", async () => {
  const none = await StaticFiles.read(join(directory, "gone"));
  const { status, body } = none.respond({ path: "/", acceptEncoding: "", ifNoneMatch: "" });
  expect(status).toBe(404);
  expect(body.toString()).toContain("/api/openapi.json");
});
