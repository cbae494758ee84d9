import { describe, expect, it } from "vitest";
import { toEngineError } from "./errors.js";

/** Returns an error as dockerode throws it. */
function dockerError(statusCode: number, words: string): Error {
  return Object.assign(new Error(`(HTTP code ${statusCode}) unexpected - ${words} `), { statusCode });
}
const kindOf = (statusCode: number, words: string) =>
  toEngineError(dockerError(statusCode, words), "/docker.sock").kind;

describe("kinds of Docker's errors", () => {
  it("classifies errors of a daemon that shuts down as unavailable", () => {
    const closing =
      "failed to update store for object type *libnetwork.endpoint: open : no such file or directory";
    expect(kindOf(500, closing)).toBe("unavailable");
    expect(kindOf(500, "open /srv/app.conf: no such file or directory")).toBe("invalid");
  });

  it.each([
    "failed to create task for container: context canceled: unknown",
    'connection error: desc = "transport: dial unix /run/containerd/containerd.sock: connect: connection refused"',
    "failed to start shim: ttrpc: closed: unknown",
    "OCI runtime create failed: transport is closing: unknown",
  ])("classifies an error of a daemon without containerd as unavailable: %s", (message) => {
    expect(kindOf(500, message)).toBe("unavailable");
  });

  const failed = "driver failed programming external connectivity on endpoint web (5b1c): ";
  it.each([
    " (iptables failed: iptables --wait -t nat -A DOCKER -p tcp: iptables: No chain/target/match by that name.\n (exit status 1))",
    "Unable to enable DNAT rule:  (iptables failed: iptables --wait -t nat -A DOCKER: iptables v1.8.9 (nf_tables): Chain 'DOCKER' does not exist\n)",
    "nft: /dev/stdin:1:1-2: Error: Could not process rule: No such file or directory",
  ])("classifies missing firewall rules of the host as a failure of its firewall: %s", (reason) => {
    expect(kindOf(500, failed + reason)).toBe("firewall");
  });

  it("classifies a port in use as taken although the driver failed as well", () => {
    expect(kindOf(500, `${failed}Bind for 0.0.0.0:80 failed: port is already allocated`)).toBe("port-taken");
    expect(kindOf(500, `${failed}proxy did not start`)).toBe("failed");
  });

  it("keeps Docker's message without dockerode's prefix", () => {
    expect(toEngineError(dockerError(404, "No such image: app:2"), "/docker.sock")).toMatchObject({
      kind: "no-such-image",
      message: "No such image: app:2",
    });
  });
});
