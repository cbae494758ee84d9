import { type CreateNetworkRequest, Network, NetworkOutcome_Kind, NetworkSummary } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { type FakeControlHandlers, readyNode, webService } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const summary = NetworkSummary.fromPartial({
  network: {
    id: "netshopbackxxxxxxxxx",
    spec: { name: "shop_back", stack: "shop", internal: true, labels: { tier: "back" } },
    subnet: "10.64.0.0/18",
    vni: 4_711,
    createdAtMs: 1,
    mtu: 1_450,
  },
  problems: ["node h3 takes packets of 1350 bytes"],
  services: ["shop_web"],
  ranges: [
    { networkId: "n", nodeId: readyNode().node?.id ?? "", range: "10.64.8.0/25", gateway: "10.64.8.1" },
    { networkId: "n", nodeId: "gone", range: "10.64.8.128/25", gateway: "10.64.8.129" },
  ],
  vips: [
    { networkId: "n", serviceId: "svcwebxxxxxxxxxxxx", address: "10.64.7.255" },
    { networkId: "n", serviceId: "old", address: "10.64.7.254", releasedAtMs: 5 },
  ],
});
const proxy = NetworkSummary.fromPartial({
  network: { id: "netproxyxxxxxxxxxxxx", spec: { name: "proxy" }, subnet: "10.64.64.0/18" },
});

const handlers: FakeControlHandlers = {
  listNetworks: async () => ({ networks: [proxy, summary] }),
  getNetwork: async () => ({ network: summary }),
  listNodes: async () => ({ nodes: [readyNode()] }),
  listServices: async () => ({ services: [webService()] }),
};

describe("network", () => {
  test("network ls lists networks", async () => {
    expect((await berth("network ls", handlers)).out).toMatchInlineSnapshot(`
      "NETWORK ID     NAME        DRIVER    SCOPE     SUBNET          NODES   SERVICES
      netproxyxxxx   proxy       overlay   cluster   10.64.64.0/18   0       0
      netshopbackx   shop_back   overlay   cluster   10.64.0.0/18    2       1
      "
    `);
    expect((await berth("network ls -q --filter stack=shop", handlers)).out).toBe("netshopbackxxxxxxxxx\n");
  });

  test("network inspect prints JSON, or text with --pretty", async () => {
    expect((await berth("network inspect shop_back", handlers)).out).toMatchInlineSnapshot(`
      "[
        {
          "id": "netshopbackxxxxxxxxx",
          "name": "shop_back",
          "stack": "shop",
          "driver": "overlay",
          "scope": "cluster",
          "subnet": "10.64.0.0/18",
          "vni": 4711,
          "internal": true,
          "attachable": false,
          "encrypted": false,
          "mtu": 1450,
          "labels": {
            "tier": "back"
          },
          "removing": false,
          "createdAtMs": 1,
          "services": [
            "shop_web"
          ],
          "nodes": [
            {
              "nodeId": "node1",
              "range": "10.64.8.0/25",
              "gateway": "10.64.8.1"
            },
            {
              "nodeId": "gone",
              "range": "10.64.8.128/25",
              "gateway": "10.64.8.129"
            }
          ],
          "virtualIps": [
            {
              "serviceId": "svcwebxxxxxxxxxxxx",
              "address": "10.64.7.255"
            }
          ],
          "problems": [
            "node h3 takes packets of 1350 bytes"
          ]
        }
      ]
      "
    `);
    expect((await berth("network inspect --pretty shop_back", handlers)).out).toMatchInlineSnapshot(`
      "ID:           netshopbackxxxxxxxxx
      Name:         shop_back
      Stack:        shop
      Subnet:       10.64.0.0/18
      VNI:          4711
      MTU:          1450
      Problems:     node h3 takes packets of 1350 bytes
      Flags:        internal
      Labels:       tier=back
      Nodes:        gone  10.64.8.128/25
                    host-1  10.64.8.0/25
      Services:     shop_web
      Virtual IPs:  shop_web  10.64.7.255
      "
    `);
  });

  test("network create sends its options and prints the ID", async () => {
    const requests: CreateNetworkRequest[] = [];
    const createNetwork: NonNullable<FakeControlHandlers["createNetwork"]> = async (request) => {
      requests.push(request);
      return { network: Network.fromPartial({ id: "netnew", subnet: "10.20.0.0/16" }) };
    };
    const argv =
      "network create -d overlay --attachable --internal --subnet 10.20.0.0/16 --label a=b --opt encrypted --opt com.docker.network.driver.mtu=1400 back";
    const { code, out } = await berth(argv, { createNetwork });
    expect([code, out]).toEqual([0, "netnew\n"]);
    expect(requests.map(({ spec }) => spec)).toEqual([
      {
        name: "back",
        stack: "",
        labels: { a: "b" },
        internal: true,
        attachable: true,
        encrypted: true,
        subnet: "10.20.0.0/16",
        mtu: 1_400,
      },
    ]);
  });

  test.each([
    ["network create -d macvlan x", '--driver: "macvlan" is not a supported driver; use overlay or bridge'],
    ["network create --opt x=y x", '--opt: "x=y" is not encrypted=true'],
    [
      "network create --opt encrypted=ture x",
      '--opt: "encrypted=ture" is not encrypted=true or encrypted=false',
    ],
    ["network create --label =x x", "--label: "],
    ["network create --subnet 10.0.0.1/8 x", '"10.0.0.1/8" is not an IPv4 subnet'],
  ])("%s is refused", async (argv, message) => {
    const { code, err } = await berth(argv, {});
    expect(code).toBe(2);
    expect(err).toContain(message);
  });

  test("rm prints the names of the removed networks", async () => {
    const removeNetworks: NonNullable<FakeControlHandlers["removeNetworks"]> = async () => ({
      networks: [{ networkId: "n1", name: "proxy", kind: NetworkOutcome_Kind.REMOVED }],
    });
    expect((await berth("network rm proxy", { removeNetworks })).out).toBe("proxy\n");
  });
});
