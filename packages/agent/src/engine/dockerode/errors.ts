import { readField, readNumber } from "../../core/docker/json.js";
import { EngineError, type EngineErrorKind } from "../engine-error.js";

/** Kinds by message: status codes differ between versions of Docker. */
const KINDS_BY_MESSAGE: readonly (readonly [RegExp, EngineErrorKind])[] = [
  // A daemon that is shutting down closes its store: "… open : no such file or directory".
  [/failed to update store for object|database not open/i, "unavailable"],
  // Such a daemon also cancels its work and stops its containerd. Calls that the agent cancels do not get here.
  [/context canceled|client connection is closing|transport is closing|ttrpc: closed/i, "unavailable"],
  [/containerd\.sock: connect: /i, "unavailable"],
  [/port is already allocated|address already in use|ports are not available/i, "port-taken"],
  // After `nft flush ruleset`. Listed before "no such file or directory", which nft also reports for a missing chain.
  [
    /ip6?tables failed:[\s\S]*(no chain\/target\/match|does not exist|no such file or directory)/i,
    "firewall",
  ],
  [/programming external connectivity[\s\S]*(no chain\/target\/match|could not process rule)/i, "firewall"],
  [/no such image/i, "no-such-image"],
  [/^network \S+ not found/i, "no-such-network"],
  [/container name .* is already in use/i, "name-taken"],
  [/network with name .* already exists/i, "name-taken"],
  [/has active endpoints/i, "conflict"],
  [/OCI runtime create failed|executable file not found|bind source path does not exist/i, "invalid"],
  [/no such file or directory|cannot assign requested address|invalid mount|unknown runtime/i, "invalid"],
  [/requested IP address|error while mounting volume|failed to mount local volume/i, "invalid"],
];

const KINDS_BY_STATUS: Readonly<Record<number, EngineErrorKind>> = {
  400: "invalid",
  403: "invalid",
  404: "not-found",
  409: "conflict",
  503: "unavailable",
};

/** Converts an error from dockerode. `socketPath` appears in the message when nothing responds there. */
export function toEngineError(error: unknown, socketPath: string): EngineError {
  if (error instanceof EngineError) return error;
  const status = readNumber(readField(error, "statusCode"));
  if (status === 0) return connectionError(error, socketPath);
  const message = dockerMessage(error);
  return new EngineError(kindOf(status, message), message, error);
}

function kindOf(status: number, message: string): EngineErrorKind {
  const byMessage = KINDS_BY_MESSAGE.find(([pattern]) => pattern.test(message));
  return byMessage?.[1] ?? KINDS_BY_STATUS[status] ?? "failed";
}

/** Returns Docker's message without dockerode's prefix "(HTTP code 500) unexpected - ". */
function dockerMessage(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/^\(HTTP code \d+\) [^-]*- /, "").trim();
}

function connectionError(error: unknown, socketPath: string): EngineError {
  const text = error instanceof Error ? error.message : String(error);
  return new EngineError("unavailable", `Docker does not respond at ${socketPath}: ${text}`, error);
}
