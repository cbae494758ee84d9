import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError, ImageLocation_Kind, PullPolicy, ServiceSpec } from "@berth/proto";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ControlClient } from "../client/client.js";
import { fakeCli } from "../testing/fake-cli.js";
import { pushMissingImages } from "./push-missing-images.js";

const idOf = (digit: string): string => `sha256:${digit.repeat(64)}`;
/** What the local Docker has, by name: its ID and the digests under which registries have it. */
const LOCAL: Readonly<Record<string, { readonly id: string; readonly digests?: readonly string[] }>> = {
  "web:1": { id: idOf("a") },
  pulled: { id: idOf("b"), digests: [`pulled@${idOf("c")}`] },
  // With containerd's image store, the digest of an image is its ID.
  stored: { id: idOf("d"), digests: [`stored@${idOf("d")}`] },
  known: { id: idOf("e") },
  [idOf("f")]: { id: idOf("f"), digests: [`pulled@${idOf("c")}`] },
};

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-images-"));
  const cases = Object.entries(LOCAL).map(([name, { id, digests = [] }]) => {
    const image = {
      Id: id,
      Os: "linux",
      Architecture: "amd64",
      RootFS: { Layers: [] },
      RepoDigests: digests,
    };
    return `${name}) echo '${JSON.stringify([image])}';;`;
  });
  const script = `#!/bin/sh\ncase "$3" in\n${cases.join("\n")}\n*) echo "Error: No such image: $3" >&2; exit 1;;\nesac\n`;
  await writeFile(join(directory, "docker"), script);
  await chmod(join(directory, "docker"), 0o755);
});
afterEach(() => rm(directory, { recursive: true }));

const specOf = (image: string, pullPolicy: PullPolicy = PullPolicy.MISSING): ServiceSpec =>
  ServiceSpec.fromPartial({ name: "shop_web", stack: "shop", task: { container: { image, pullPolicy } } });

interface Options {
  readonly built?: ReadonlyMap<string, string>;
  readonly onlyBuiltImages?: boolean;
  readonly isDryRun?: boolean;
}

/** Decides about images with a server that says that a registry has only the image `known`. */
async function decide(specs: readonly ServiceSpec[], options: Options = {}) {
  const asked: string[] = [];
  const client = {
    locateImages: async ({ images }: { images: readonly string[] }) => {
      asked.push(...images);
      const kindOf = (image: string) =>
        image === "known" ? ImageLocation_Kind.REGISTRY : ImageLocation_Kind.CLUSTER;
      return { locations: images.map((image) => ({ image, kind: kindOf(image) })) };
    },
  } as unknown as ControlClient;
  const cli = fakeCli({ env: { PATH: directory } });
  const request = { stack: "shop", specs, credentials: [], isDryRun: true, terminal: undefined, ...options };
  const pushed = await pushMissingImages(cli, client, request);
  return { asked, pushed };
}

test("selects the local images that no registry has, and asks only about those that Docker has not pulled", async () => {
  const specs = ["web:1", "pulled", "stored", "known", "absent", `web@${idOf("a")}`].map((image) =>
    specOf(image),
  );
  expect(await decide(specs)).toEqual({
    asked: ["web:1", "stored", "known"],
    pushed: [
      { image: "web:1", imageId: idOf("a") },
      { image: "stored", imageId: idOf("d") },
    ],
  });
});

test("leaves images that nodes always or never pull", async () => {
  const specs = [specOf("web:1", PullPolicy.ALWAYS), specOf("web:1", PullPolicy.NEVER)];
  expect(await decide(specs)).toEqual({ asked: [], pushed: [] });
});

test("selects a built image by its ID without asking a registry, even if one has its name", async () => {
  const built = new Map([["pulled", idOf("f")]]);
  const specs = [specOf("pulled"), specOf("web:1")];
  expect(await decide(specs, { built, onlyBuiltImages: true })).toEqual({
    asked: [],
    pushed: [{ image: "pulled", imageId: idOf("f") }],
  });
});

test("fails when an image that was built is not there, except in a dry run", async () => {
  const built = new Map([["gone", "gone"]]);
  expect(await decide([specOf("gone")], { built })).toEqual({ asked: [], pushed: [] });
  const deployed = decide([specOf("gone")], { built, isDryRun: false });
  await expect(deployed).rejects.toThrow(BerthError);
});
