import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import { assertNever } from "../assert-never.js";
import { BerthError } from "../errors.js";
import {
  formatProtocolRange,
  negotiateVersion,
  ownPeer,
  parseProtocolRange,
  parseRelease,
} from "../protocol.js";
import { BERTH_VERSION, PROTOCOL_VERSIONS } from "../version.js";
import { type Caller, LOCAL_USER } from "./caller.js";
import { toStatus } from "./status.js";

/** Metadata keys of each call: the release of the calling program, and the protocol versions that it speaks. */
const RELEASE_KEY = "berth-release";
const PROTOCOL_KEY = "berth-protocol";

/** Adds the release and the protocol versions of this program to a call. */
export function addCallVersion(metadata: Metadata): void {
  metadata.set(RELEASE_KEY, BERTH_VERSION);
  metadata.set(PROTOCOL_KEY, formatProtocolRange(PROTOCOL_VERSIONS));
}

/**
 * Checks that a server and the program that calls it speak a common version of the protocol.
 *
 * @throws BerthError BERTH_VERSION_UNSUPPORTED, or BERTH_PROTOCOL when the call has a malformed version
 */
export function requireCallVersion(metadata: Metadata, peer: Caller): void {
  const program = programOf(peer);
  const versions = parseProtocolRange(textOf(metadata, PROTOCOL_KEY));
  if (versions === undefined) {
    throw new BerthError({
      code: "BERTH_PROTOCOL",
      message: `the ${program} sent a malformed protocol version; check that it is a berth program`,
    });
  }
  negotiateVersion(ownPeer("server"), {
    program,
    release: parseRelease(textOf(metadata, RELEASE_KEY)),
    versions,
  });
}

/** Checks the version of each call on a Unix socket, before its request is decoded. */
export const localVersionInterceptor: ServerInterceptor = (_, call) =>
  new ServerInterceptingCall(call, {
    start: (next) =>
      next({
        onReceiveMetadata: (metadata, pass) => {
          try {
            requireCallVersion(metadata, LOCAL_USER);
          } catch (error) {
            call.sendStatus(toStatus(error));
            return;
          }
          pass(metadata);
        },
      }),
  });

function textOf(metadata: Metadata, key: string): string | undefined {
  const [value] = metadata.get(key);
  return value === undefined ? undefined : String(value);
}

/** Returns the name of the calling program for messages. */
function programOf(peer: Caller): string {
  switch (peer.kind) {
    case "node":
      return "agent";
    case "server":
      return "calling server";
    case "user":
      return "command line";
    case "anonymous":
      return "joining program";
    default:
      return assertNever(peer);
  }
}
