import { type AssignedSpec, DesiredState, NetworkAttachment, NetworkMode, TaskState } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { reconcile } from "../tasks/reconcile.js";
import type { TaskView } from "../tasks/task-view.js";
import { containerWith, specWith, taskWith, viewWith } from "../tasks/testing.js";
import { dnsServers } from "./container-dns.js";
import type { NetworkState } from "./plan-network.js";
import { type NetworksView, networksView } from "./task-networks.js";
import { networkWith } from "./testing.js";

const NOW_MS = 100_000;
const READY: NetworkState = { kind: "ready" };

const FRONT = networkWith({ id: "front", spec: { name: "shop_front" } });
const BACK = networkWith({ id: "back", gateway: "10.65.1.1", spec: { name: "shop_back" } });

function networks(front: NetworkState = READY, back: NetworkState = READY): NetworksView {
  const states = new Map([
    ["front", front],
    ["back", back],
  ]);
  return networksView([FRONT, BACK], states);
}

function spec(parts: Parameters<typeof specWith>[0] = {}): AssignedSpec {
  const attachments = ["shop_front", "shop_back"].map((network) =>
    NetworkAttachment.fromPartial({ network }),
  );
  return specWith({ ...parts, task: { networks: attachments, ...parts.task } });
}

function viewOf(fields: Partial<TaskView> = {}, specOf = spec()): TaskView {
  const task = taskWith({ desiredState: DesiredState.RUNNING });
  const assignment = { task, spec: specOf, receivedAtMs: 1_000 };
  return viewWith({ assignment, networks: networks(), ...fields });
}

describe("a task in overlay networks", () => {
  it("creates the container in its first network, with this host's DNS server", () => {
    const { step } = reconcile(viewOf(), NOW_MS);
    expect(step).toMatchObject({
      kind: "create",
      config: {
        body: {
          HostConfig: { NetworkMode: "shop_front", Dns: ["10.64.1.1"] },
          NetworkingConfig: { EndpointsConfig: { shop_front: {} } },
        },
      },
    });
  });

  it("queries this host's DNS server directly in internal networks and with ndots above 0", () => {
    const inBack = (parts: Parameters<typeof specWith>[0] = {}, internal = true) => {
      const back = NetworkAttachment.fromPartial({ network: "shop_back" });
      const states = new Map([["back", READY]]);
      const assigned = networkWith({ ...BACK, spec: { name: "shop_back", internal } });
      const specOf = spec({ ...parts, task: { networks: [back] } });
      const { step } = reconcile(viewOf({ networks: networksView([assigned], states) }, specOf), NOW_MS);
      return step?.kind === "create" ? step.config.resolvConf : undefined;
    };
    expect(inBack()).toBe("nameserver 10.65.1.1\noptions ndots:0\n");
    const container = { dnsSearch: ["a.example", "b.example"], dnsOptions: ["timeout:1", "rotate"] };
    expect(inBack({ container })).toBe(
      "nameserver 10.65.1.1\nsearch a.example b.example\noptions timeout:1 rotate\n",
    );
    expect(inBack({}, false)).toBeUndefined();
    expect(inBack({ container: { dnsOptions: ["ndots:0", "timeout:1"] } }, false)).toBeUndefined();
    // With ndots above 0, Docker's resolver does not forward names without a dot.
    expect(inBack({ container: { dnsSearch: ["a.example"], dnsOptions: ["ndots:2"] } }, false)).toBe(
      "nameserver 10.65.1.1\nsearch a.example\noptions ndots:2\n",
    );
    expect(
      inBack({ container: { mounts: [{ target: "/etc/resolv.conf", readOnly: true }] } }),
    ).toBeUndefined();
  });

  it("joins its other networks before it starts", () => {
    const created = (names: readonly string[]): TaskView => {
      const joined = names.map((name) => ({ name, address: "", subnet: "", gateway: "" }));
      return viewOf({ containers: [containerWith({ state: "created", networks: joined })] });
    };
    expect(reconcile(created(["shop_front"]), NOW_MS).step).toEqual({
      kind: "connect",
      containerId: "c1",
      network: "shop_back",
      endpoint: {},
    });
    expect(reconcile(created(["shop_front", "shop_back"]), NOW_MS).step).toMatchObject({ kind: "start" });
  });

  it("waits for its networks, and reports which one and why", () => {
    const waiting = { kind: "waiting", reason: "creating the network" } as const;
    for (const containers of [[], [containerWith({ state: "created" })]]) {
      const { step, status } = reconcile(viewOf({ containers, networks: networks(READY, waiting) }), NOW_MS);
      expect(step).toBeUndefined();
      expect(status).toMatchObject({
        state: TaskState.PREPARING,
        message: "waiting for network shop_back: creating the network",
      });
    }
    const unassigned = { byName: new Map() };
    expect(reconcile(viewOf({ networks: unassigned }), NOW_MS).status?.message).toContain("shop_front");
  });

  it("rejects a task when this host refuses one of its networks, so that another node is tried", () => {
    const refused = { kind: "refused", reason: "no encryption" } as const;
    const { step, status } = reconcile(viewOf({ networks: networks(READY, refused) }), NOW_MS);
    expect(step).toBeUndefined();
    expect(status).toMatchObject({
      state: TaskState.REJECTED,
      message: "network shop_back: no encryption",
    });
  });

  it("reports its addresses, and keeps them while the leader has not assigned its networks", () => {
    const joined = [
      { name: "shop_back", address: "10.65.1.2", mac: "02:42:0a:41:01:02", subnet: "", gateway: "" },
      { name: "shop_front", address: "10.64.1.2", subnet: "", gateway: "" },
      { name: "foreign", address: "172.17.0.2", subnet: "", gateway: "" },
    ];
    const running = viewOf({ containers: [containerWith({ networks: joined })] });
    const { status } = reconcile(running, NOW_MS);
    const addresses = [
      { networkId: "back", address: "10.65.1.2", macAddress: "02:42:0a:41:01:02" },
      { networkId: "front", address: "10.64.1.2", macAddress: "" },
    ];
    expect(status?.addresses).toEqual(addresses);
    const unassigned = { ...running, status, networks: { byName: new Map() } };
    expect(reconcile(unassigned, NOW_MS).status?.addresses).toEqual(addresses);
  });

  it("gets the fixed address of its service, and the default route of its first network", () => {
    const fixed = NetworkAttachment.fromPartial({ network: "shop_front", ipv4Address: "10.64.0.9" });
    const other = NetworkAttachment.fromPartial({ network: "shop_back" });
    const view = viewOf({}, spec({ task: { networks: [fixed, other] } }));
    const modern = { ...view, node: { ...view.node, engineApiVersion: "1.48" } };
    expect(reconcile(modern, NOW_MS).step).toMatchObject({
      config: {
        body: {
          NetworkingConfig: {
            EndpointsConfig: { shop_front: { IPAMConfig: { IPv4Address: "10.64.0.9" }, GwPriority: 2 } },
          },
        },
      },
    });
  });

  it("skips an optional network that is not assigned to its host", () => {
    const optional = NetworkAttachment.fromPartial({ network: "shop_default", optional: true });
    const view = viewOf({}, spec({ task: { networks: [optional] } }));
    const { step } = reconcile(view, NOW_MS);
    expect(step).toMatchObject({ kind: "create" });
    expect(step).not.toHaveProperty("config.body.NetworkingConfig");
    expect(step).not.toHaveProperty("config.body.HostConfig.Dns");
    const front = NetworkAttachment.fromPartial({ network: "shop_front", optional: true });
    const { step: joining } = reconcile(viewOf({}, spec({ task: { networks: [front] } })), NOW_MS);
    expect(joining).toMatchObject({ config: { body: { HostConfig: { NetworkMode: "shop_front" } } } });
  });

  it("joins no overlay network in host network mode", () => {
    const hostMode = spec({ container: { networkMode: NetworkMode.HOST } });
    const { step } = reconcile(
      viewOf({ networks: networks({ kind: "waiting", reason: "" }) }, hostMode),
      NOW_MS,
    );
    expect(step).toMatchObject({ kind: "create", config: { body: { HostConfig: { NetworkMode: "host" } } } });
    expect(step).not.toHaveProperty("config.body.NetworkingConfig");
  });
});

describe("dnsServers", () => {
  it("returns only this host's DNS server, and the servers of the service without overlay networks", () => {
    const own = ["198.51.100.1"];
    expect(dnsServers(spec(), own, networks())).toEqual(["10.64.1.1"]);
    expect(dnsServers(specWith(), own, networks())).toEqual(own);
    expect(dnsServers(specWith(), [], networks())).toEqual([]);
  });
});
