import { createHash } from "node:crypto";
import { BerthError, isBerthError, type ServiceSpec } from "@berth/proto";
import { packShipped, type ShippedSize } from "@berth/proto/archive";
import type { Shipment } from "../compose/keys/relative-binds.js";
import type { LoadedStack } from "../compose/load-stack.js";
import { Diagnostics } from "../compose/text/diagnostics.js";

/** A file or directory that the specs of a deployment mount, with the content that it had when it was read. */
export interface ShippedDirectory extends ShippedSize {
  /** The path as the Compose file has it. */
  readonly source: string;
  /** Absolute path. */
  readonly path: string;
  /** SHA-256 of its archive, "sha256:…". */
  readonly digest: string;
  /** Names of the services that mount it. */
  readonly services: readonly string[];
}

/** The specs of a stack with the digests of their shipped mounts. */
export interface ShippedStack {
  /** Valid only if no diagnostic is an error. */
  readonly specs: readonly ServiceSpec[];
  readonly directories: readonly ShippedDirectory[];
  readonly diagnostics: ReturnType<Diagnostics["sorted"]>;
}

/**
 * Reads the files and directories that a stack ships, each once. Problems have the places of the mounts in the Compose
 * file.
 */
export async function readShipments(
  { specs, shipments, placeOf }: Pick<LoadedStack, "specs" | "shipments" | "placeOf">,
  signal: AbortSignal,
): Promise<ShippedStack> {
  const diagnostics = new Diagnostics();
  const directories = new Map<string, ShippedDirectory>();
  const digests = new Map<string, string>();
  for (const shipment of shipments) {
    const { service, mountIndex, path } = shipment;
    const cached = directories.get(path);
    const place = placeOf(service, mountPath(mountIndex));
    try {
      const source = sourceOf(shipment, specs);
      const read = cached ?? { source, path, services: [], ...(await measure(path, signal)) };
      directories.set(path, { ...read, services: [...new Set([...read.services, service])] });
      digests.set(mountKey(service, mountIndex), read.digest);
    } catch (error) {
      signal.throwIfAborted();
      if (place !== undefined) diagnostics.error(place, reasonOf(error));
    }
  }
  const withDigests = specs.map((spec) => withShippedDigests(spec, digests));
  return { specs: withDigests, directories: [...directories.values()], diagnostics: diagnostics.sorted() };
}

/**
 * Yields the archive of a directory.
 *
 * @throws BerthError BERTH_CONFLICT if the directory has changed since it was read
 */
export async function* shippedArchive({
  path,
  source,
  digest,
}: ShippedDirectory): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  for await (const chunk of packShipped(path)) {
    hash.update(chunk);
    yield chunk;
  }
  if (`sha256:${hash.digest("hex")}` === digest) return;
  const message = `${source} was not sent: a file changed while it was read; deploy again`;
  throw new BerthError({ code: "BERTH_CONFLICT", message });
}

async function measure(
  path: string,
  signal: AbortSignal,
): Promise<ShippedSize & { readonly digest: string }> {
  const hash = createHash("sha256");
  let size: ShippedSize = { entries: 0, files: 0, bytes: 0 };
  const archive = packShipped(path, (at) => {
    size = at;
  });
  for await (const chunk of archive) {
    signal.throwIfAborted();
    hash.update(chunk);
  }
  return { ...size, digest: `sha256:${hash.digest("hex")}` };
}

function withShippedDigests(spec: ServiceSpec, digests: ReadonlyMap<string, string>): ServiceSpec {
  const { task } = spec;
  if (task?.container === undefined) return spec;
  const mounts = task.container.mounts.map((mount, index) => {
    const digest = digests.get(mountKey(spec.name, index));
    if (digest === undefined || mount.kind?.$case !== "shipped") return mount;
    return { ...mount, kind: { ...mount.kind, value: { ...mount.kind.value, digest } } };
  });
  return { ...spec, task: { ...task, container: { ...task.container, mounts } } };
}

function sourceOf({ service, mountIndex, path }: Shipment, specs: readonly ServiceSpec[]): string {
  const mount = specs.find(({ name }) => name === service)?.task?.container?.mounts[mountIndex];
  return mount?.kind?.$case === "shipped" ? mount.kind.value.source : path;
}

const mountPath = (index: number): string => `task.container.mounts[${index}]`;
const mountKey = (service: string, index: number): string => `${service} ${index}`;

function reasonOf(error: unknown): string {
  if (isBerthError(error)) return error.message;
  const { code, path = "", message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return `no such file or directory: ${path}`;
  if (code === "EACCES") return `permission denied: ${path}`;
  return message;
}
