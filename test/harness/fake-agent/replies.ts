import type { ListenerTraffic, RegistryCredentials, SessionRequest, SessionResponse } from "@berth/proto";

/** Options of the agent's replies to requests of the leader. */
export interface ReplyOptions {
  /** Listener counters that the agent reports when the leader requests them. */
  readonly listeners?: readonly ListenerTraffic[];
  /** Checks a registry login. Returns why the registry rejects it, or "" if it is valid. */
  readonly checkLogin?: (credentials: RegistryCredentials | undefined) => string;
  /** Digests of images in registries. All other images exist only on this host. */
  readonly digests?: ReadonlyMap<string, string>;
}

/** Returns the reply to a request of the leader, or undefined if the message needs none. */
export function replyTo(
  message: NonNullable<SessionResponse["message"]>,
  { listeners = [], checkLogin, digests }: ReplyOptions,
  tableVersion: number,
): SessionRequest["message"] {
  switch (message.$case) {
    case "trafficRequest": {
      const { requestId } = message.value;
      const value = {
        requestId,
        traffic: undefined,
        listeners: [...listeners],
        tableVersion,
        partial: false,
      };
      return { $case: "traffic", value };
    }
    case "checkRegistryLogin": {
      const { requestId, credentials } = message.value;
      const problem = checkLogin?.(credentials) ?? "";
      return { $case: "registryLoginChecked", value: { requestId, problem } };
    }
    case "imageDigestRequest": {
      const { requestId, image } = message.value;
      const digest = digests?.get(image) ?? "";
      return { $case: "imageDigest", value: { requestId, digest, isLocal: digest === "", error: "" } };
    }
    default:
      return undefined;
  }
}
