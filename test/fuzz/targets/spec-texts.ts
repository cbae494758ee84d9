import {
  canonicalIp,
  hostAddressProblem,
  imageProblem,
  ipv4Text,
  networkNameProblem,
  parseAddressRange,
  parseConstraint,
  parseIpv4,
  parseSchedule,
  parseSubnet,
  serviceNameProblem,
  stackNameProblem,
  subnetText,
  volumeNameProblem,
} from "@berth/proto";
import { parseNodeConstraint } from "../../../packages/control-plane/src/core/scheduler/node-constraint.js";
import { buildNode } from "../../../packages/control-plane/src/core/testing/records.js";
import { check } from "../engine/expect.js";
import type { Target } from "../engine/target.js";

const NODE = buildNode({ labels: { zone: "a".repeat(100), disk: "ssd" } });
const FROM_MS = Date.UTC(2026, 0, 1);

export const SPEC_TEXT_TARGETS: readonly Target[] = [
  {
    name: "constraint",
    seeds: [
      "node.labels.zone == a*b?",
      "engine.labels.disk not in (ssd, hdd)",
      "!node.labels.zone",
      "node.ip == 192.0.2.0/24",
      "node.platform.arch != amd64",
    ],
    tokens: ["*", "?", "==", "!=", " in (", "not in", "node.ip", "::/0"],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      const text = bytes.toString();
      const parsed = parseConstraint(text);
      const { isMetBy, parseError } = parseNodeConstraint(text);
      isMetBy(NODE);
      check(
        (parsed.kind === "invalid") === (parseError !== undefined),
        "the leader accepts what validation accepts",
      );
    },
  },
  {
    name: "schedule",
    seeds: ["30 2 * * *", "*/15 0-5,12 1 JAN MON#1", "0 0 29 2 *", "0 0 L * 5L", "@daily", "@every 1h30m"],
    tokens: ["*/", "#", "L", "W", "?", "JAN-DEC", "MON", "@every 1s", "1-59/7", "31 2", "30 2"],
    maxBytes: 4_096,
    run: (bytes) => {
      const parsed = parseSchedule(bytes.toString(), "Europe/Berlin");
      if (parsed.kind === "invalid") return;
      const next = parsed.next(FROM_MS);
      check(next === undefined || (Number.isSafeInteger(next) && next > FROM_MS), "the next time is later");
    },
  },
  {
    name: "time-zone",
    seeds: ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires"],
    maxBytes: 256,
    run: (bytes) => void parseSchedule("@daily", bytes.toString()),
  },
  {
    name: "address",
    seeds: ["10.64.0.0/18", "192.0.2.1", "2001:db8::/32", "::ffff:10.0.0.1", "fe80::1%eth0"],
    maxBytes: 1_024,
    run: (bytes) => {
      const text = bytes.toString();
      const address = parseIpv4(text);
      check(address === undefined || ipv4Text(address) === text, "an address has one spelling");
      const subnet = parseSubnet(text);
      check(subnet === undefined || Number(text.split("/")[1]) === subnet.prefix, "a subnet has its prefix");
      check(
        subnet === undefined || parseSubnet(subnetText(subnet)) !== undefined,
        "a subnet can be formatted",
      );
      parseAddressRange(text)?.("10.64.0.1");
      hostAddressProblem(text);
      const canonical = canonicalIp(text);
      check(canonical === undefined || canonicalIp(canonical) === canonical, "the canonical form is final");
    },
  },
  {
    name: "image-reference",
    seeds: [
      "nginx",
      "registry.example.com:5000/team/app:1.2.3",
      `ghcr.io/a/b@sha256:${"0a".repeat(32)}`,
      "[::1]:5000/a_b/c__d/e---f",
    ],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      const text = bytes.toString();
      if (imageProblem(text) === undefined) check(!/[\s?#%]|\.\./.test(text), "an image is safe in a path");
    },
  },
  {
    name: "names",
    seeds: ["shop_web", "data-1", "A.b"],
    maxBytes: 4_096,
    run: (bytes) => {
      const text = bytes.toString();
      for (const problem of [stackNameProblem, serviceNameProblem, networkNameProblem, volumeNameProblem]) {
        if (problem(text) === undefined)
          check(/^[\w.-]{1,255}$/.test(text), "a name has safe characters only");
      }
    },
  },
];
