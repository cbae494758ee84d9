import { describe, expect, test } from "vitest";
import { type NetworkAttachment, NetworkMode, NetworkSpec, ServiceSpec } from "../../gen/berth/v1/spec.js";
import { applySpecDefaults } from "./apply-spec-defaults.js";
import { validateNetworkSpec } from "./validate-networks.js";
import { validateServiceSpec } from "./validate-service-spec.js";

const network = (parts: Partial<NetworkSpec>): readonly string[] =>
  validateNetworkSpec(NetworkSpec.fromPartial({ name: "shop_back", stack: "shop", ...parts })).map(
    ({ path, message }) => `${path}: ${message}`,
  );

function service(parts: Parameters<typeof ServiceSpec.fromPartial>[0]): readonly string[] {
  const good = { name: "web", task: { container: { image: "web:1" } } };
  const spec = applySpecDefaults(ServiceSpec.fromPartial({ ...good, ...parts }));
  return validateServiceSpec(spec).map(({ path, message }) => `${path}: ${message}`);
}

const joining = (...networks: Partial<NetworkAttachment>[]): readonly string[] =>
  service({ task: { container: { image: "web:1" }, networks } });

describe("validateNetworkSpec", () => {
  test("takes networks with and without a subnet", () => {
    expect(network({})).toEqual([]);
    expect(network({ subnet: "172.20.0.0/24", mtu: 1_400, internal: true })).toEqual([]);
  });

  test("says everything that is wrong", () => {
    expect(network({ name: "-x", stack: "Shop", subnet: "10.0.0.1/8", mtu: 12 })).toMatchInlineSnapshot(`
      [
        "name: invalid network name "-x"; use ASCII letters, digits, -, _ and ., starting with a letter or digit",
        "stack: invalid stack name "Shop"; use lower-case letters, digits, - and _, starting with a letter or digit",
        "subnet: "10.0.0.1/8" is not an IPv4 subnet, such as 10.20.0.0/16",
        "mtu: 12 bytes is out of range (68 to 65535)",
      ]
    `);
    expect(network({ subnet: "10.0.0.0/28" })).toEqual([
      "subnet: the prefix length /28 is out of range (/8 to /26), since each host gets a range of the subnet",
    ]);
  });
});

describe("networks of a service", () => {
  test("a service may have several networks, with aliases and an address", () => {
    expect(
      joining({ network: "front" }, { network: "back", aliases: ["db", "db.example.com", "_x"] }),
    ).toEqual([]);
    expect(joining({ network: "front", ipv4Address: "10.0.0.5" })).toEqual([]);
  });

  test("each network of a service has a valid name and is named once", () => {
    expect(
      joining({ network: "a b" }, { network: "x" }, { network: "x", aliases: ["-"] }),
    ).toMatchInlineSnapshot(`
      [
        "task.networks[0].network: invalid network name "a b"; use ASCII letters, digits, -, _ and ., starting with a letter or digit",
        "task.networks[2]: x is named twice",
        "task.networks[2].aliases: "-" is not a valid hostname",
      ]
    `);
  });

  test("a network of a service has one address for one task", () => {
    const networks = [{ network: "x", ipv4Address: "10.0.0.5" }];
    const task = { container: { image: "web:1" }, networks };
    expect(service({ task, mode: { $case: "replicated", value: { replicas: 2 } } })).toHaveLength(1);
    expect(service({ task, mode: { $case: "global", value: {} } })).toHaveLength(1);
    const autoscale = { min: 1, max: 3, targetCpuPercent: 50 };
    expect(service({ task, autoscale })).toContain(
      "task.networks[0].ipv4_address: only a service with one replica can have a static address",
    );
    expect(joining({ network: "x", ipv4Address: "10.0.0" })).toHaveLength(1);
  });

  test("containers in the host's network join no other networks", () => {
    const container = { image: "web:1", networkMode: NetworkMode.HOST };
    expect(service({ task: { container, networks: [{ network: "x" }] } })).toHaveLength(1);
  });
});
