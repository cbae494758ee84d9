import { invalidOptionError } from "../../options/parse-options.js";

const MAX_PORT = 65_535;

/** A local port and the port in the container to which it is forwarded. */
export interface ForwardedPort {
  /** 0 for any free port. */
  readonly local: number;
  readonly remote: number;
}

/** Parses `[LOCAL:]REMOTE`. The local port defaults to the remote port; an empty one stands for any free port. */
export function parseForwardedPort(text: string): ForwardedPort {
  const [, local, remoteText = ""] = /^(?:(\d{0,5}):)?(\d{1,5})$/.exec(text) ?? [];
  const remote = Number(remoteText);
  const port = local === undefined ? remote : Number(local);
  const isValid = remoteText !== "" && remote >= 1 && remote <= MAX_PORT && port <= MAX_PORT;
  if (!isValid) {
    throw invalidOptionError(
      "port-forward",
      `${JSON.stringify(text)} is not [LOCAL:]REMOTE, such as 8080:80`,
    );
  }
  return { local: port, remote };
}
