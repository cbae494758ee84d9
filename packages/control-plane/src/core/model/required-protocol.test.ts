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
])("%s requires an agent of the protocol that knows it", (_, container, version) => {
  expect(requiredProtocol(withContainer(container))).toBe(version);
});

test("an agent that reports no protocol speaks the first one", () => {
  expect(agentProtocol(undefined)).toBe(1);
  expect(agentProtocol(NodeDescription.fromPartial({}))).toBe(1);
  expect(agentProtocol(NodeDescription.fromPartial({ protocolVersion: 2 }))).toBe(2);
});
