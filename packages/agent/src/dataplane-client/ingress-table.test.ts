import { type ContainerAddress, IngressEntry, PortSpec_Protocol } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { parseListener } from "../dataplane/messages/listener-messages.js";
import { containerAddress, ListenerBuilder } from "./ingress-table.js";

const TCP = PortSpec_Protocol.TCP;
const on = (nodeId: string) => ({ taskId: `t-${nodeId}`, nodeId, address: `10.0.0.${nodeId}`, port: 80 });
const entry = IngressEntry.fromPartial({
  key: "tcp//80",
  published: 80,
  endpoints: [on("1"), on("2"), on("3")],
});

describe("ListenerBuilder", () => {
  test("omits an endpoint whose task has ended, unless all have ended", () => {
    const single = { ...entry, endpoints: [on("1")] };
    const ended = new Set<string>();
    const builder = new ListenerBuilder({
      nodeId: "1",
      address: "10.0.0.1",
      addressOf: () => undefined,
      hasEnded: ({ taskId }) => ended.has(taskId),
    });
    const taskIds = (of: IngressEntry): unknown =>
      builder.buildAll([of])[0]?.entry?.endpoints.map(({ taskId }) => taskId);
    expect(taskIds(entry)).toEqual(["t-1", "t-2", "t-3"]);
    ended.add("t-1");
    expect(taskIds(entry)).toEqual(["t-2", "t-3"]);
    expect(taskIds(single)).toEqual(["t-1"]);
    ended.clear();
    expect(taskIds(entry)).toEqual(["t-1", "t-2", "t-3"]);
  });

  test("does not add an ended endpoint again when the last one ends", () => {
    const ended = new Set<string>();
    const builder = new ListenerBuilder({
      nodeId: "1",
      address: "10.0.0.1",
      addressOf: () => undefined,
      hasEnded: ({ taskId }) => ended.has(taskId),
    });
    const [first, last] = [on("1"), { ...on("1"), taskId: "t-last" }];
    const received = { ...entry, endpoints: [first, last] };
    const taskIds = (): unknown =>
      builder.buildAll([received])[0]?.entry?.endpoints.map(({ taskId }) => taskId);
    expect(taskIds()).toEqual(["t-1", "t-last"]);
    ended.add("t-1");
    expect(taskIds()).toEqual(["t-last"]);
    ended.add("t-last");
    expect(taskIds()).toEqual(["t-last"]);
    ended.delete("t-1");
    expect(taskIds()).toEqual(["t-1"]);
  });

  test("routes to containers on this node directly and to other nodes by their address", () => {
    let container: ContainerAddress | undefined;
    const builder = new ListenerBuilder({
      nodeId: "1",
      address: "10.0.0.1",
      addressOf: () => container,
      hasEnded: () => false,
    });
    const routes = (): unknown =>
      builder
        .buildAll([entry])
        .flatMap((each) => parseListener(each).endpoints.map(({ route }) => route?.kind));
    expect(routes()).toEqual([undefined, "forward", "forward"]);
    container = { address: "172.17.0.2", port: 8080, subnet: "172.17.0.0/16" };
    expect(routes()).toEqual(["direct", "forward", "forward"]);
  });

  test("omits endpoints of other nodes at a loopback address, unless this node has one too", () => {
    const at = (nodeId: string, address: string) => ({ ...on(nodeId), address });
    const misdirected = {
      ...entry,
      endpoints: [at("1", "127.0.0.1"), at("2", "127.0.0.1"), on("3"), at("4", "::1")],
      draining: [at("2", "127.0.0.2"), on("5")],
    };
    const build = (address: string) => {
      const local = { nodeId: "1", address, addressOf: () => undefined, hasEnded: () => false };
      const [listener] = new ListenerBuilder(local).buildAll([misdirected]);
      const { endpoints = [], draining = [] } = listener?.entry ?? {};
      return [...endpoints, ...draining].map(({ taskId }) => taskId);
    };
    expect(build("10.0.0.1")).toEqual(["t-1", "t-3", "t-5"]);
    expect(build("127.0.0.1")).toEqual(["t-1", "t-2", "t-3", "t-4", "t-2", "t-5"]);
  });

  test("omits an ended task of this node that the leader lists as draining", () => {
    const builder = new ListenerBuilder({
      nodeId: "1",
      address: "10.0.0.1",
      addressOf: () => undefined,
      hasEnded: () => true,
    });
    const draining = { ...entry, endpoints: [on("2")], draining: [on("1"), on("3")] };
    const [listener] = builder.buildAll([draining]);
    expect(listener?.entry).toEqual({ ...draining, draining: [on("3")] });
  });

  test("returns the same object while neither the entry nor the containers change", () => {
    const container = { address: "172.17.0.2", port: 8080, subnet: "" };
    const builder = new ListenerBuilder({
      nodeId: "1",
      address: "10.0.0.1",
      addressOf: () => ({ ...container }),
      hasEnded: () => false,
    });
    const [first] = builder.buildAll([entry]);
    expect(builder.buildAll([entry])[0]).toBe(first);
    container.port = 9090;
    expect(builder.buildAll([entry])[0]).not.toBe(first);
  });
});

describe("containerAddress", () => {
  const endpoint = { address: "10.0.0.1", port: 32_768 };
  const network = (name: string, address: string, gateway = "172.18.0.1") => ({
    name,
    address,
    subnet: address === "" ? "" : "172.18.0.0/16",
    gateway,
  });
  const container = {
    ports: [
      { protocol: PortSpec_Protocol.UDP, target: 53, hostPort: 32_768, hostIp: "10.0.0.1" },
      { protocol: TCP, target: 80, hostPort: 32_768, hostIp: "10.0.0.1" },
    ],
    networks: [network("b", "172.18.0.2"), network("a", "172.18.0.3", ""), network("c", "172.18.0.4")],
  };

  test("returns the container's own port in its default network", () => {
    expect(containerAddress(endpoint, TCP, container)).toEqual({
      address: "172.18.0.2",
      port: 80,
      subnet: "172.18.0.0/16",
    });
    expect(containerAddress(endpoint, PortSpec_Protocol.UDP, container)).toMatchObject({ port: 53 });
  });

  test("returns the endpoint's own address for a container on the host network", () => {
    const onHost = { ports: [], networks: [network("host", "", "")] };
    expect(containerAddress(endpoint, TCP, onHost)).toEqual({ ...endpoint, subnet: "" });
  });

  test("returns undefined for a container that does not run or is unknown", () => {
    expect(containerAddress(endpoint, TCP, undefined)).toBeUndefined();
    expect(containerAddress(endpoint, TCP, { ports: [], networks: [network("b", "", "")] })).toBeUndefined();
    expect(containerAddress({ ...endpoint, port: 1 }, TCP, container)).toBeUndefined();
  });
});
