import { expect, test } from "vitest";
import type { HostFacts } from "./host-facts.js";
import { type AddRequest, describeAddStep, type Membership, planAdd } from "./plan-add.js";

const STOPPED = { isEnabled: false, isActive: false };
const RUNNING = { isEnabled: true, isActive: true };

const bareHost: HostFacts = {
  hostname: "host-2",
  os: "Debian GNU/Linux 12 (bookworm)",
  architecture: "amd64",
  hasSystemd: true,
  address: "10.0.0.2",
  clockMs: 0,
  docker: "missing",
  hasEtcd: false,
  berthVersion: "",
  hasLeftovers: false,
  agent: STOPPED,
  server: STOPPED,
  nodeCertificate: "",
  serverCertificate: "",
  reachableServers: ["10.0.0.1:7400"],
};

const request: AddRequest = {
  role: "node",
  servers: ["10.0.0.1:7400"],
  labels: {},
  address: "10.0.0.2",
  version: "0.2.0",
  clockAheadMs: 0,
};

const node: HostFacts = { ...bareHost, docker: "running", berthVersion: "0.2.0", agent: RUNNING };
const readyMember: Membership = { id: "n1", cluster: "c1", listed: { isReady: true, labels: { zone: "a" } } };

function stepsOf(facts: HostFacts, member?: Membership, change: Partial<AddRequest> = {}): readonly string[] {
  const wanted = { ...request, ...change };
  const plan = planAdd(facts, member, wanted);
  if (plan.kind === "unsuitable") throw new Error(plan.problems.join("\n"));
  return plan.steps.map((step) => describeAddStep(step, wanted));
}

function problemsOf(
  facts: HostFacts,
  member?: Membership,
  change: Partial<AddRequest> = {},
): readonly string[] {
  const plan = planAdd(facts, member, { ...request, ...change });
  return plan.kind === "unsuitable" ? plan.problems : [];
}

test("planAdd() makes a bare host a node, with labels before its agent starts", () => {
  expect(stepsOf(bareHost, undefined, { labels: { zone: "b" } })).toEqual([
    "install berth 0.2.0, docker.io, apparmor, ca-certificates, conntrack, wireguard-tools",
    "check the host with berth doctor",
    "join the cluster at 10.0.0.1:7400",
    "set the labels zone=b",
    "start berth-agent",
    "wait until it is ready",
  ]);
});

test("planAdd() makes a bare host a server", () => {
  expect(stepsOf(bareHost, undefined, { role: "server" })).toEqual([
    "install berth 0.2.0, etcd-server",
    "join the cluster at 10.0.0.1:7400",
    "start berth-server",
    "wait until it is ready",
  ]);
});

test("planAdd() changes nothing on a ready node of this release or a later one", () => {
  expect(stepsOf(node, readyMember, { labels: { zone: "a" } })).toEqual([]);
  expect(stepsOf({ ...node, berthVersion: "0.10.0" }, readyMember)).toEqual([]);
});

test.each<[string, Partial<HostFacts>, Partial<Membership>, readonly string[]]>([
  ["upgrades an older release", { berthVersion: "0.1.9" }, {}, ["install berth 0.2.0"]],
  ["starts Docker", { docker: "stopped" }, {}, ["start Docker"]],
  [
    "enables an agent that only runs",
    { agent: { isEnabled: false, isActive: true } },
    {},
    ["start berth-agent"],
  ],
  [
    "waits for a node that is down",
    {},
    { listed: { isReady: false, labels: {} } },
    ["wait until it is ready"],
  ],
])("planAdd() continues: %s", (_, facts, member, expected) => {
  expect(stepsOf({ ...node, ...facts }, { ...readyMember, ...member })).toEqual(expected);
});

test("planAdd() reports all problems of a host at once", () => {
  const host = {
    ...bareHost,
    os: "Fedora Linux 40",
    architecture: "",
    hasSystemd: false,
    reachableServers: [],
  };
  expect(
    problemsOf(host, undefined, { clockAheadMs: -7_200_000, address: "127.0.0.1" }),
  ).toMatchInlineSnapshot(`
    [
      "it runs Fedora Linux 40, which has no dpkg: berth is installed as a Debian package; docs/package.md describes archives for other systems",
      "systemd does not run there; start berth by hand, as docs/package.md describes",
      "its clock is 7200 s behind the cluster's; synchronize it, for example with "timedatectl set-ntp true"",
      "it cannot connect to 10.0.0.1:7400: the port is closed, or the address is not for other hosts; check firewalls, and --listen or --advertise of the servers",
      "other hosts cannot reach it at 127.0.0.1; set --advertise to its address",
    ]
  `);
});

test("planAdd() refuses a host of another cluster, and one that was removed", () => {
  expect(problemsOf(node, { ...readyMember, listed: undefined })).toMatchInlineSnapshot(`
    [
      "it has joined the cluster c1 as n1, which this cluster does not list; run "berth host rm" for it first",
    ]
  `);
});
