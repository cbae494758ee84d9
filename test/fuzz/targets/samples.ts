// Valid messages that several targets use as seeds.
import {
  Assignments,
  applySpecDefaults,
  DnsConfig,
  HandoverSnapshot,
  NetworkSpec,
  NodeDescription,
  PublishedListener,
  ServiceSpec,
  TaskStatus,
} from "@berth/proto";

export const DNS_CONFIG = DnsConfig.fromPartial({
  networks: [
    {
      id: "n1",
      name: "shop_default",
      stack: "shop",
      subnet: "10.64.0.0/18",
      gateway: "10.64.0.1",
      bridge: "bth1",
    },
  ],
  entries: [
    {
      key: "n1/s1",
      networkId: "n1",
      serviceName: "shop_api",
      stack: "shop",
      names: ["api", "backend"],
      vip: "10.64.0.2",
      affinity: 2,
      endpoints: [
        { taskId: "t1", nodeId: "h1", address: "10.64.0.3", slot: 1, macAddress: "02:42:0a:40:00:03" },
      ],
      draining: [{ taskId: "t2", nodeId: "h2", address: "10.64.0.4", slot: 2 }],
    },
  ],
  clients: [{ address: "10.64.0.9", networkIds: ["n1"], dns: ["10.0.0.2"] }],
});

export const LISTENER = PublishedListener.fromPartial({
  entry: {
    key: "tcp/:80",
    protocol: 1,
    published: 80,
    serviceName: "shop_web",
    stack: "shop",
    endpoints: [{ taskId: "t1", nodeId: "h1", address: "10.0.0.2", port: 32_768 }],
    draining: [{ taskId: "t2", nodeId: "h2", address: "10.0.0.3", port: 32_769 }],
    traffic: { proxyProtocol: true, affinity: 2, balance: 2 },
  },
  local: [{ taskId: "t1", container: { address: "172.17.0.2", port: 8_080, subnet: "172.17.0.0/16" } }],
});

export const SNAPSHOT = HandoverSnapshot.fromPartial({
  listeners: { version: 7, listeners: [LISTENER] },
  suspectNodes: ["h2"],
  dns: DNS_CONFIG,
  activeVips: ["10.64.0.2"],
});

export const DESCRIPTION = NodeDescription.fromPartial({
  hostname: "host1",
  address: "192.0.2.1",
  os: "linux",
  architecture: "x86_64",
  engineVersion: "28.5.1",
  nanoCpus: 4e9,
  memoryBytes: 2 ** 33,
  engineReady: true,
  engineLabels: { disk: "ssd" },
  generic: { gpu: 2 },
  volumes: ["data"],
});

/** A spec in which every part is set. */
export const SPEC = applySpecDefaults(
  ServiceSpec.fromPartial({
    name: "shop_web",
    stack: "shop",
    labels: { team: "a" },
    mode: { $case: "replicated", value: { replicas: 2 } },
    ports: [{ target: 80, published: 8_080, protocol: 1, mode: 1 }],
    placement: {
      constraints: ["node.labels.zone == a"],
      spread: ["node.labels.rack"],
      maxReplicasPerNode: 2,
    },
    update: { parallelism: 2, delayMs: 1_000, order: 1, maxFailureRatio: 0.5 },
    autoscale: { min: 1, max: 5, targetCpuPercent: 70 },
    dependsOn: [{ service: "shop_db", condition: 1 }],
    traffic: { affinity: 2, balance: 2 },
    task: {
      limits: { nanoCpus: 5e8, memoryBytes: 2 ** 28 },
      reservations: { nanoCpus: 1e8, generic: { gpu: 1 } },
      restart: { condition: 1, delayMs: 500, maxAttempts: 3, windowMs: 60_000 },
      networks: [{ network: "shop_default", aliases: ["web"] }],
      container: {
        image: "nginx:1.27",
        env: ["A=1", "B={{.Task.Slot}}"],
        capDrop: ["NET_RAW"],
        dns: ["10.0.0.1"],
        extraHosts: ["db:10.0.0.5"],
        command: { values: ["sh", "-c", "true"] },
        healthcheck: { test: ["CMD", "true"], intervalMs: 1_000, retries: 3 },
        mounts: [
          { target: "/data", kind: { $case: "volume", value: { name: "data" } } },
          { target: "/etc/app", readOnly: true, kind: { $case: "bind", value: { source: "/etc/app" } } },
          { target: "/tmp", kind: { $case: "tmpfs", value: { sizeBytes: 1_024, mode: 511 } } },
        ],
        ulimits: [{ name: "nofile", soft: 1, hard: 1 }],
      },
    },
  }),
);

export const JOB_SPEC = applySpecDefaults(
  ServiceSpec.fromPartial({
    name: "shop_backup",
    stack: "shop",
    mode: { $case: "replicatedJob", value: { totalCompletions: 2, maxConcurrent: 1 } },
    cron: { schedule: "30 2 * * *", timeZone: "Europe/Berlin" },
    task: { container: { image: "backup:1" } },
  }),
);

export const NETWORK_SPEC = NetworkSpec.fromPartial({
  name: "shop_default",
  stack: "shop",
  subnet: "10.64.0.0/18",
  labels: { a: "b" },
  mtu: 1_450,
});

export const STATUS = TaskStatus.fromPartial({
  state: 7,
  message: "started",
  containerId: "c1",
  health: 2,
  sinceMs: 1_700_000_000_000,
  ports: [{ target: 80, hostPort: 32_768, protocol: 1 }],
  addresses: [{ networkId: "n1", address: "10.64.0.3", macAddress: "02:42:0a:40:00:03" }],
});

const FILES = [
  {
    kind: 1,
    name: "shop_password",
    versionId: "v1",
    target: "/run/secrets/password",
    uid: "7",
    gid: "8",
    mode: 0o400,
  },
  { kind: 2, name: "shop_settings", versionId: "v2", target: "/etc/app.conf" },
] as const;

export const ASSIGNMENTS = Assignments.fromPartial({
  kind: 1,
  resultsIn: 1,
  specs: [
    {
      serviceId: "s1",
      version: 1,
      task: { ...SPEC.task, container: { ...SPEC.task?.container, files: [...FILES] } },
      ports: SPEC.ports,
    },
  ],
  tasks: [
    {
      id: "t1",
      serviceId: "s1",
      serviceName: "shop_web",
      stack: "shop",
      slot: 1,
      specVersion: 1,
      desiredState: 2,
    },
  ],
  files: [
    { id: "v1", content: Buffer.from("password") },
    { id: "v2", content: Buffer.from("{{.Node.Hostname}}"), isTemplate: true },
  ],
  ingress: LISTENER.entry === undefined ? [] : [LISTENER.entry],
  networks: [
    {
      id: "n1",
      spec: NETWORK_SPEC,
      subnet: "10.64.0.0/18",
      range: "10.64.1.0/24",
      gateway: "10.64.1.1",
      vni: 4_097,
    },
  ],
  dnsEntries: DNS_CONFIG.entries,
});
