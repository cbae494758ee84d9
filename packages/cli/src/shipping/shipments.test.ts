import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PushImageRequest, PushImageResponse } from "@berth/proto";
import { sha256Digest } from "@berth/proto/images";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ControlClient } from "../client/client.js";
import { loadStack } from "../compose/load-stack.js";
import { formatDiagnostic } from "../compose/text/format-diagnostics.js";
import { fakeCli } from "../testing/fake-cli.js";
import { pushShipments, shipmentDryRunText } from "./push-shipments.js";
import { readShipments, type ShippedStack } from "./read-shipments.js";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-ship-"));
  await mkdir(join(directory, "conf"));
  await writeFile(join(directory, "conf", "app.conf"), "a".repeat(600_000));
  await writeFile(join(directory, "web.conf"), "port 80");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const { signal } = new AbortController();

/** Reads the shipments of a Compose file with these services. */
function read(services: string): Promise<ShippedStack> {
  const bytes = Buffer.from(`services:\n${services}`);
  const loaded = loadStack({
    stack: "shop",
    files: [{ name: "c.yaml", path: join(directory, "c.yaml"), bytes }],
    envFiles: [],
    environment: {},
    homeDirectory: directory,
    readFile: () => undefined,
  });
  return readShipments(loaded, signal);
}

const service = (name: string, ...volumes: readonly string[]): string =>
  `  ${name}: { image: nginx, volumes: [${volumes.join(", ")}], x-berth: { ship: true } }\n`;

/** A server that needs an archive from an offset. Without an offset, nodes have it. */
function serverThat(needsFrom: number | undefined) {
  const received: PushImageRequest[] = [];
  const pushImage = async function* (
    requests: AsyncIterable<PushImageRequest>,
  ): AsyncGenerator<PushImageResponse> {
    const messages = requests[Symbol.asyncIterator]();
    const next = async () => {
      const { value } = await messages.next();
      received.push(value);
      return (value as PushImageRequest).upload?.message;
    };
    const start = await next();
    if (start?.$case === "start" && needsFrom !== undefined) {
      const layers = [{ digest: start.value.imageId, offset: needsFrom }];
      yield { message: { $case: "needed", value: { layers } } };
      for (let message = await next(); message?.$case !== "config"; ) message = await next();
    }
    yield { message: { $case: "stored", value: { nodeHostname: "h1" } } };
    yield { message: { $case: "stored", value: { nodeHostname: "h2" } } };
  };
  const bytes = (): Buffer =>
    Buffer.concat(
      received.flatMap(({ upload }) => (upload?.message?.$case === "data" ? [upload.message.value] : [])),
    );
  return { client: { pushImage } as unknown as ControlClient, received, bytes };
}

test("a directory that two services mount is read once, and their specs name its digest", async () => {
  const { specs, directories, diagnostics } = await read(
    service("web", "./conf:/etc/app", "./web.conf:/etc/web.conf") + service("api", "conf/:/etc/app"),
  );
  expect(diagnostics).toEqual([]);
  const digests = specs.map(({ task }) =>
    task?.container?.mounts.map(({ kind }) => (kind?.$case === "shipped" ? kind.value.digest : "")),
  );
  expect(directories).toMatchObject([
    { source: "./conf", entries: 2, files: 1, bytes: 600_000, digest: digests[0]?.[0] },
    { source: "./web.conf", files: 1, bytes: 7, digest: digests[0]?.[1] },
  ]);
  expect(digests[0]?.[0]).toMatch(/^sha256:[a-f0-9]{64}$/);
  expect(shipmentDryRunText(directories)).toBe(
    "Would ship ./conf (1 file, 585.9KiB)\nWould ship ./web.conf (1 file, 7B)\n",
  );
});

test("reports what cannot be shipped at its place in the Compose file", async () => {
  await symlink("/dev/null", join(directory, "null"));
  const { diagnostics } = await read(service("web", "./missing:/a", "./web.conf:/b", "./null:/c"));
  const messages = diagnostics.map((entry) => formatDiagnostic(entry).replaceAll(directory, "DIRECTORY"));
  expect(messages).toMatchInlineSnapshot(`
    [
      "c.yaml:2:34: services.web.volumes[0]: no such file or directory: DIRECTORY/missing",
      "c.yaml:2:63: services.web.volumes[2]: cannot copy DIRECTORY/null: it is a device, a pipe or a socket",
    ]
  `);
});

test("an archive is sent from where an interrupted push has stopped, and has the digest of the specs", async () => {
  const { directories } = await read(service("web", "./conf:/etc/app"));
  const whole = serverThat(0);
  const cli = fakeCli({});
  await pushShipments(cli, whole.client, { directories, terminal: cli.stdout });
  expect(sha256Digest(whole.bytes())).toBe(directories[0]?.digest);
  expect(whole.received.at(-1)?.upload?.message?.$case).toBe("config");
  const rest = serverThat(100_000);
  await pushShipments(cli, rest.client, { directories, terminal: undefined });
  expect(rest.bytes()).toEqual(whole.bytes().subarray(100_000));
});

test("nothing is sent when nodes have the archive", async () => {
  const { directories } = await read(service("web", "./conf:/etc/app"));
  const { client, received } = serverThat(undefined);
  await pushShipments(fakeCli({}), client, { directories, terminal: undefined });
  expect(received).toMatchObject([{ upload: { message: { value: { image: "./conf", isShipped: true } } } }]);
});

test("a file that changes after it was read ends the deployment", async () => {
  const { directories } = await read(service("web", "./web.conf:/etc/web.conf"));
  await writeFile(join(directory, "web.conf"), "port 81");
  const { client } = serverThat(0);
  await expect(
    pushShipments(fakeCli({}), client, { directories, terminal: undefined }),
  ).rejects.toMatchObject({
    code: "BERTH_CONFLICT",
    message: "./web.conf was not sent: a file changed while it was read; deploy again",
  });
});
