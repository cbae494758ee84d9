import { posix } from "node:path";
import { FileKind } from "@berth/proto";

/** Directory of secrets with a relative target, as in Docker. */
const SECRETS_DIRECTORY = "/run/secrets";

/** Returns the absolute path of a secret or config in a container. Relative configs are below the root directory. */
export function resolveFileTarget(kind: FileKind, target: string): string {
  return posix.resolve(kind === FileKind.SECRET ? SECRETS_DIRECTORY : "/", target);
}
