import { VXLAN_PORT } from "./devices.js";
import type { LinkStep } from "./network-step.js";

/** A program of iproute2 and its words. */
export type LinkCommand = readonly [program: "ip" | "bridge", ...words: string[]];

const EVERYBODY = "00:00:00:00:00:00";

/** The commands that do a step, in this order. */
export function linkCommands(step: LinkStep): readonly LinkCommand[] {
  switch (step.kind) {
    case "add-tunnel": {
      const { device, vni, local, mtu, bridge } = step;
      const vxlan = ["id", String(vni), "local", local, "dstport", String(VXLAN_PORT)];
      return [
        ["ip", "link", "add", device, "mtu", String(mtu), "type", "vxlan", ...vxlan],
        ["ip", "link", "set", device, "master", bridge, "up"],
      ];
    }
    case "set-tunnel": {
      const { device, bridge, mtu } = step;
      return [["ip", "link", "set", device, "mtu", String(mtu), "master", bridge, "up"]];
    }
    case "filter-bridge":
      return [["ip", "link", "set", step.bridge, "type", "bridge", "nf_call_iptables", "1"]];
    case "set-hairpin":
      return [["bridge", "link", "set", "dev", step.device, "hairpin", "on"]];
    case "delete-link":
      return [["ip", "link", "delete", step.device]];
    case "add-peer":
      return [["bridge", "fdb", "append", EVERYBODY, "dev", step.device, "dst", step.peer]];
    case "remove-peer":
      return [["bridge", "fdb", "delete", EVERYBODY, "dev", step.device, "dst", step.peer]];
  }
}
