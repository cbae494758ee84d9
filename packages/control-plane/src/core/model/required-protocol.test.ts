import { NodeDescription, ServiceSpec } from "@berth/proto";
import { expect, test } from "vitest";
import { agentProtocol, requiredProtocol } from "./required-protocol.js";

const withContainer = (container: object): ServiceSpec => ServiceSpec.fromPartial({ task: { container } });
const bind = (selinux: string) => ({ kind: { $case: "bind", value: { source: "/srv", selinux } } });

test.each([
  ["a plain container", {}, 1],
  ["a secret as a file", { files: [{ name: "key", target: "/run/secrets/key" }] }, 1],
  ["a secret as an environment variable", { files: [{ name: "key", env: "KEY" }] }, 2],
  ["a bind mount", { mounts: [bind("")] }, 1],
  ["a bind mount with an SELinux label", { mounts: [bind(""), bind("z")] }, 2],
  ["a tmpfs with a size", { mounts: [{ kind: { $case: "tmpfs", value: { sizeBytes: 1 } } }] }, 1],
  ["a tmpfs with options", { mounts: [{ kind: { $case: "tmpfs", value: { options: ["exec"] } } }] }, 2],
  ["an image as a mount", { mounts: [{ kind: { $case: "image", value: { image: "a" } } }] }, 2],
  ["a subpath", { mounts: [{ kind: { $case: "volume", value: { name: "a", subpath: "b" } } }] }, 2],
  ["a hook", { preStop: [{ command: ["a"] }] }, 2],
  ["a GPU", { deviceRequests: [{ count: -1, capabilities: ["gpu"] }] }, 2],
  ["a CPU quota", { cpuQuotaUs: 1 }, 2],
])("%s requires an agent of the protocol that knows it", (_, container, version) => {
  expect(requiredProtocol(withContainer(container))).toBe(version);
});

test("the interface of a container in a network requires an agent that knows its settings", () => {
  const withNetwork = (network: object): ServiceSpec =>
    ServiceSpec.fromPartial({ task: { networks: [network] } });
  expect(requiredProtocol(withNetwork({ network: "a", ipv4Address: "10.0.0.2" }))).toBe(1);
  expect(requiredProtocol(withNetwork({ network: "a", interfaceName: "eth7" }))).toBe(2);
});

test("an agent that reports no protocol speaks the first one", () => {
  expect(agentProtocol(undefined)).toBe(1);
  expect(agentProtocol(NodeDescription.fromPartial({}))).toBe(1);
  expect(agentProtocol(NodeDescription.fromPartial({ protocolVersion: 2 }))).toBe(2);
});
