import { parseRoutes } from "../../../packages/agent/src/core/networks/host-routes.js";
import { parseLinks } from "../../../packages/agent/src/core/networks/observed-state.js";
import {
  countConnections,
  parseCounters,
} from "../../../packages/agent/src/dataplane/kernel/kernel-statistics.js";
import { parseUnanswered } from "../../../packages/agent/src/dataplane/kernel/syn-retransmit.js";
import { parseMonitorLine } from "../../../packages/agent/src/dataplane/kernel/table-watch.js";
import { parseAssignedVips } from "../../../packages/agent/src/dataplane/vips/vip-addresses.js";
import { parseSocketLine } from "../../../packages/agent/src/node/host/listening-sockets.js";
import { cgroupDirectory, parseCgroupMounts } from "../../../packages/agent/src/node/usage/cgroup.js";
import { parseNetwork, statValue } from "../../../packages/agent/src/node/usage/container-usage.js";
import { busyTicks, memInfoBytes } from "../../../packages/agent/src/node/usage/host-usage.js";
import { check, unlessRejected } from "../engine/expect.js";
import type { Target } from "../engine/target.js";

const LISTINGS = JSON.stringify({
  addresses: [
    {
      ifname: "eth0",
      flags: ["UP"],
      mtu: 1_500,
      linkinfo: { info_kind: "veth" },
      addr_info: [{ family: "inet", local: "10.0.0.1", prefixlen: 24 }],
    },
    {
      ifname: "bth4097",
      mtu: 1_450,
      linkinfo: {
        info_kind: "bridge",
        info_data: { nf_call_iptables: 1 },
        info_slave_data: { hairpin: true },
      },
      addr_info: [{ local: "10.64.0.2", prefixlen: 32 }],
    },
    {
      ifname: "btv4097",
      master: "bth4097",
      linkinfo: {
        info_kind: "vxlan",
        info_data: { id: 4_097, local: "10.0.0.1", port: 4_789, learning: true },
      },
    },
  ],
  routes: [
    { type: "unicast", dst: "default", gateway: "10.0.0.254", dev: "eth0" },
    { dst: "172.17.0.0/16", dev: "docker0" },
    { dst: "10.1.2.3", nexthops: [] },
  ],
  fdb: [
    { mac: "00:00:00:00:00:00", ifname: "btv4097", dst: "10.0.0.2", state: "permanent" },
    { mac: "02:42:0a:40:03:02", ifname: "btv4097", dst: "10.0.0.3", state: "static" },
    { mac: "02:42:0a:40:03:02", ifname: "btv4097", state: "static" },
  ],
  neighbors: [{ dst: "10.64.3.2", dev: "bth4097", lladdr: "02:42:0a:40:03:02" }],
  wireguard: "private\tpublic\t51820\toff\npeer\t(none)\t10.0.0.2:51820\t10.64.1.0/24\t0\t0\t0\toff\n",
});
const COUNTERS = JSON.stringify({
  nftables: [
    { metainfo: {} },
    {
      set: {
        elem: [{ elem: { val: { concat: ["10.0.0.2", "tcp", 80] }, counter: { packets: 7, bytes: 1 } } }],
      },
    },
    { map: { elem: [[{ elem: { val: "10.64.0.2", counter: { packets: 3 } } }, { jump: { target: "a" } }]] } },
  ],
});
const CONNTRACK = `tcp      6 431999 ESTABLISHED src=10.0.0.9 dst=10.0.0.1 sport=40000 dport=80 src=10.0.0.2 dst=10.0.0.1 sport=8001 dport=40000 [ASSURED] mark=2097152 use=1
tcp      6 0 SYN_SENT src=10.0.0.9 dst=10.0.0.1 sport=41254 dport=80 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=8001 dport=41254
udp      17 27 src=10.0.0.9 dst=10.0.0.1 sport=6000 dport=53 [UNREPLIED] src=172.30.0.2 dst=10.0.0.9 sport=53 dport=6000
`;
const MAX_UNANSWERED = 512;

const isSyntaxError = (error: unknown): boolean => error instanceof SyntaxError;

export const HOST_TARGETS: readonly Target[] = [
  {
    name: "ip-links",
    format: "json",
    seeds: [LISTINGS],
    run: (bytes) => {
      const json = unlessRejected((): unknown => JSON.parse(bytes.toString()), isSyntaxError);
      const listing = (key: string): unknown => Reflect.get(Object(json), key);
      const [addresses, routes, fdb, neighbors] = ["addresses", "routes", "fdb", "neighbors"].map(listing);
      const wireguard = listing("wireguard");
      const text = typeof wireguard === "string" ? wireguard : "";
      const listings = { addresses, routes, fdb, neighbors, vxlanFilter: "", wireguard: text };
      for (const { mtu, vni, port } of parseLinks(listings, "10.0.0.1").links.values()) {
        check([mtu, vni, port].every(Number.isFinite), "numbers of a link are finite");
      }
      parseRoutes(routes, addresses);
      parseAssignedVips(addresses);
    },
  },
  {
    name: "nft-counters",
    format: "json",
    seeds: [COUNTERS],
    run: (bytes) => {
      for (const count of parseCounters(bytes.toString()).values()) {
        check(Number.isFinite(count), "a counter is finite");
      }
    },
  },
  {
    name: "nft-monitor",
    seeds: ["delete chain ip berth port-tcp-80", "add chain ip nat DOCKER", "add chain ip berth-vips a"],
    run: (bytes) => void parseMonitorLine(bytes.toString(), "ip berth"),
  },
  {
    name: "conntrack",
    seeds: [CONNTRACK],
    maxBytes: 256 * 1024,
    run: (bytes) => {
      const text = bytes.toString();
      check(parseUnanswered(text).length <= MAX_UNANSWERED, "the number of clients is bounded");
      for (const count of countConnections(text).values()) check(count > 0, "a count is positive");
    },
  },
  {
    name: "proc-sockets",
    seeds: [
      "   0: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 1 1",
      "   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000",
      "   2: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 07 00000000:00000000",
    ],
    run: (bytes) => {
      for (const file of ["tcp", "tcp6", "udp", "udp6"] as const) {
        for (const line of bytes.toString("latin1").split("\n")) {
          const socket = parseSocketLine(line, file);
          if (typeof socket === "object") check(socket.port <= 65_535, "a port is a port");
        }
      }
    },
  },
  {
    name: "proc-usage",
    seeds: [
      "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n",
      "MemTotal:       16384 kB\nMemAvailable:    8192 kB\n",
      "Inter-| Receive\n face |bytes\n  lo: 1 1 0 0 0 0 0 0 1 1\n eth0: 5 1 0 0 0 0 0 0 7 1\n",
      "usage_usec 123\ninactive_file 5\n",
      "29 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n30 1 0:27 /a /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
      "0::/system.slice\n4:cpu,cpuacct:/docker/1\n",
    ],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      const text = bytes.toString();
      busyTicks(text);
      for (const name of ["MemTotal", "MemAvailable"])
        check(memInfoBytes(text, name) >= 0, "memory is not negative");
      parseNetwork(text);
      statValue(text, "usage_usec");
      cgroupDirectory(text, "cpu", parseCgroupMounts(text));
    },
  },
];
