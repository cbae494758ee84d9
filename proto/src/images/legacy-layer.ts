import { createHash } from "node:crypto";

/**
 * Returns the digest of a layer in an archive that Docker before 25.0 has written, where the directory of a layer has
 * another name than its digest: the hash of its description, of the name of the directory below it, and of the digests
 * of all layers up to it. Returns undefined if the name is not that of one of the layers.
 *
 * @param directory name of the directory
 * @param description the file `json` in the directory
 * @param layers digests of the layers of the image, in order
 */
export function legacyLayerDigest(
  directory: string,
  description: Buffer,
  layers: readonly string[],
): string | undefined {
  const { id: _, parent, os, ...fields } = parseObject(description);
  const below = typeof parent === "string" ? { parent: `sha256:${parent}` } : {};
  // Docker adds the operating system after it has computed the name, except for the last layer.
  const candidates = os === undefined ? [fields] : [fields, { ...fields, os }];
  const chainIds = chainIdsOf(layers);
  const index = chainIds.findIndex((chainId) =>
    candidates.some((candidate) => sortedHash({ ...candidate, layer_id: chainId, ...below }) === directory),
  );
  return layers[index];
}

/** Returns the IDs by which Docker knows each layer together with all layers below it. */
function chainIdsOf(layers: readonly string[]): readonly string[] {
  const ids: string[] = [];
  for (const layer of layers) {
    const below = ids.at(-1);
    ids.push(below === undefined ? layer : `sha256:${sha256(`${below} ${layer}`)}`);
  }
  return ids;
}

function sortedHash(fields: Readonly<Record<string, unknown>>): string {
  const sorted = Object.keys(fields)
    .sort()
    .map((key) => [key, fields[key]] as const);
  return sha256(JSON.stringify(Object.fromEntries(sorted)));
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function parseObject(json: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json.toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
