import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import * as zlib from "node:zlib";
import { pack } from "tar-stream";
import { describe, expect, test } from "vitest";
import { writeBytes, writeImageArchive } from "./image-archive.js";
import { parseImageConfig, sha256Digest } from "./image-config.js";
import { readSavedImage } from "./saved-image.js";

type Files = Readonly<Record<string, string | Buffer>>;

async function tarOf(files: Files): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of Object.entries(files)) archive.entry({ name }, Buffer.from(content));
  archive.finalize();
  return buffer(archive);
}

const hexOf = (bytes: Buffer): string => sha256Digest(bytes).slice("sha256:".length);

/** An image with two layers in the format of each release of Docker. */
async function createImage() {
  const layers = [await tarOf({ a: "1" }), await tarOf({ b: "x".repeat(3_000) })];
  const config = Buffer.from(
    JSON.stringify({
      os: "linux",
      architecture: "arm",
      variant: "v7",
      rootfs: { type: "layers", diff_ids: layers.map(sha256Digest) },
    }),
  );
  const name = `${hexOf(config)}.json`;
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = layers;
  const legacy: Files = {
    [name]: config,
    "0a/VERSION": "1.0",
    "0a/json": "{}",
    "0a/layer.tar": first,
    "0b/json": "{}",
    "0b/layer.tar": second,
    "manifest.json": JSON.stringify([{ Config: name, Layers: ["0a/layer.tar", "0b/layer.tar"] }]),
  };
  const blob = (bytes: Buffer): string => `blobs/sha256/${hexOf(bytes)}`;
  const layout = (stored: readonly Buffer[]): Files => ({
    [blob(config)]: config,
    ...Object.fromEntries(stored.map((bytes) => [blob(bytes), bytes])),
    "index.json": "{}",
    "manifest.json": JSON.stringify([{ Config: blob(config), Layers: stored.map(blob) }]),
    "oci-layout": "{}",
  });
  return { layers, config, legacy, layout };
}

async function readAll(archive: Readable) {
  const layers: Buffer[] = [];
  const digests: (string | undefined)[] = [];
  const config = await readSavedImage(archive, [], async (content, digest) => {
    layers.push(await buffer(content));
    digests.push(digest);
  });
  return { config, layers, digests };
}

describe("readSavedImage", () => {
  test("reads the layers and the configuration of each format of docker save", async () => {
    const { layers, config, legacy, layout } = await createImage();
    expect(await readAll(Readable.from(await tarOf(legacy)))).toEqual({
      layers,
      config,
      digests: [undefined, undefined],
    });
    expect(await readAll(Readable.from(await tarOf(layout(layers))))).toEqual({
      layers,
      config,
      digests: layers.map(sha256Digest),
    });
  });

  test("unpacks compressed layers, which are named after their own digests", async () => {
    const { layers, config, layout } = await createImage();
    const compressed = layers.map((layer) => zlib.gzipSync(layer));
    expect(await readAll(Readable.from(await tarOf(layout(compressed))))).toEqual({
      layers,
      config,
      digests: [undefined, undefined],
    });
  });

  test("unpacks layers compressed with zstd, or says which Node.js can", async () => {
    const { layers, config, layout } = await createImage();
    const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer };
    if (zstdCompressSync === undefined) {
      const zstd = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), Buffer.alloc(20)]);
      await expect(readAll(Readable.from(await tarOf(layout([zstd]))))).rejects.toMatchObject({
        code: "BERTH_UNSUPPORTED",
        message: expect.stringContaining("use Node.js 22.15 or later"),
      });
      return;
    }
    const compressed = layers.map((layer) => zstdCompressSync(layer));
    expect(await readAll(Readable.from(await tarOf(layout(compressed))))).toEqual({
      layers,
      config,
      digests: [undefined, undefined],
    });
  });

  test("rejects a manifest that is not JSON", async () => {
    const archive = Readable.from(await tarOf({ "manifest.json": "[{" }));
    await expect(readAll(archive)).rejects.toMatchObject({ code: "BERTH_IMAGE_INVALID" });
  });

  test("skips layers that are not read", async () => {
    const { config, legacy } = await createImage();
    expect(await readSavedImage(Readable.from(await tarOf(legacy)), [], async () => {})).toEqual(config);
  });

  test("fails for a truncated archive, for one without a manifest, and with the error of the reader", async () => {
    const { legacy } = await createImage();
    const { "manifest.json": _, ...others } = legacy;
    await expect(readAll(Readable.from(await tarOf(others)))).rejects.toMatchObject({
      code: "BERTH_IMAGE_INVALID",
    });
    const archive = await tarOf(legacy);
    await expect(readAll(Readable.from(archive.subarray(0, 2_000)))).rejects.toThrow();
    const failing = readSavedImage(Readable.from(archive), [], async () => {
      throw new Error("the disk is full");
    });
    await expect(failing).rejects.toThrow("the disk is full");
  });
});

test("writeImageArchive writes an archive that readSavedImage reads, without the layers that Docker has", async () => {
  const { layers, config } = await createImage();
  const [, second = Buffer.alloc(0)] = layers;
  const archive = new PassThrough();
  const written = writeImageArchive(archive, {
    config,
    imageId: sha256Digest(config),
    name: "berth.internal/web:1",
    layerDigests: layers.map(sha256Digest),
    includedLayers: [
      {
        digest: sha256Digest(second),
        sizeBytes: second.length,
        writeTo: (output) => writeBytes(output, second),
      },
    ],
  }).then(() => archive.end());
  expect(await readAll(archive)).toEqual({ config, layers: [second], digests: [undefined] });
  await written;
});

test("parseImageConfig returns the layers and the platform, and rejects what is no configuration", async () => {
  const { layers, config } = await createImage();
  expect(parseImageConfig(config)).toEqual({ layers: layers.map(sha256Digest), platform: "linux/arm/v7" });
  for (const text of ["", "{}", '{"rootfs":{"diff_ids":["sha256:../x"]}}', "[1]"]) {
    expect(() => parseImageConfig(Buffer.from(text))).toThrow(/invalid image/);
  }
});
