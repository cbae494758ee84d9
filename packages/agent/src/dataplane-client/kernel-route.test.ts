import { PortSpec_Protocol } from "@berth/proto";
import { expect, test } from "vitest";
import { localRoute } from "./kernel-route.js";

const TCP = PortSpec_Protocol.TCP;
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

test("localRoute leads to the container's own port, in the network by which it answers", () => {
  expect(localRoute(endpoint, TCP, container)).toEqual({
    kind: "direct",
    address: "172.18.0.2",
    port: 80,
    subnet: "172.18.0.0/16",
  });
  expect(localRoute(endpoint, PortSpec_Protocol.UDP, container)).toMatchObject({ port: 53 });
});

test("localRoute leads to the host itself for a container on its network", () => {
  const onHost = { ports: [], networks: [network("host", "", "")] };
  expect(localRoute(endpoint, TCP, onHost)).toEqual({ kind: "direct", ...endpoint, subnet: "" });
});

test("localRoute knows no way to a container that does not run, or is not known", () => {
  expect(localRoute(endpoint, TCP, undefined)).toBeUndefined();
  expect(localRoute(endpoint, TCP, { ports: [], networks: [network("b", "", "")] })).toBeUndefined();
  expect(localRoute({ ...endpoint, port: 1 }, TCP, container)).toBeUndefined();
});
