import {
  ContainerSpec,
  type Mount,
  NetworkMode,
  PortSpec_Mode,
  PortSpec_Protocol,
  TaskSpec,
} from "@berth/proto";
import { expect, test } from "vitest";
import type { CreateBody } from "../docker/create-body.js";
import { NO_NETWORKS } from "../networks/task-networks.js";
import { type ContainerConfig, containerConfig } from "./container-config.js";
import { NO_FILES, NODE, type SpecParts, specWith, taskWith } from "./testing.js";

function configOf(parts: SpecParts): ContainerConfig {
  const spec = specWith(parts);
  const container = spec.task?.container ?? ContainerSpec.create();
  return containerConfig({
    task: taskWith(),
    spec,
    container,
    node: NODE,
    networks: NO_NETWORKS,
    files: NO_FILES,
    owners: [],
  });
}
const bodyOf = (parts: SpecParts): CreateBody => configOf(parts).body;

test("containerConfig sets no field that the spec does not set", () => {
  expect(configOf({})).toEqual({
    name: "shop_web.2.task1",
    platform: "",
    body: {
      Image: "web:1",
      Labels: {
        "berth.task.id": "task1",
        "berth.service.id": "service1",
        "berth.service.name": "shop_web",
        "berth.slot": "2",
        "berth.spec.version": "3",
        "berth.stack": "shop",
        "com.docker.stack.namespace": "shop",
      },
      StopTimeout: 10,
      HostConfig: { RestartPolicy: { Name: "no" }, NetworkMode: "default" },
    },
  });
});

test("containerConfig maps every field of a container's spec", () => {
  const container = ContainerSpec.fromPartial({
    image: "web:1",
    entrypoint: { values: ["/init"] },
    command: { values: [] },
    env: ["A=1", "ON={{ .Node.Hostname }}/{{.Task.Slot}}/{{.Unknown}}"],
    workingDir: "/w",
    user: "1:2",
    labels: { a: "b", "berth.task.id": "forged" },
    hostname: "{{.Service.Name}}-{{.Task.Slot}}",
    domainname: "d",
    stopSignal: "SIGINT",
    stopGraceMs: 1_500,
    capAdd: ["NET_ADMIN"],
    capDrop: ["ALL"],
    privileged: true,
    devices: [{ hostPath: "/dev/a", containerPath: "", permissions: "" }],
    deviceCgroupRules: ["c 1:3 r"],
    shmSizeBytes: 64,
    sysctls: { "net.a": "1" },
    ulimits: [{ name: "nofile", soft: 1, hard: 2 }],
    extraHosts: ["a:1.2.3.4"],
    dns: ["1.1.1.1"],
    dnsSearch: ["s"],
    dnsOptions: ["o"],
    init: false,
    tty: true,
    stdinOpen: true,
    waitForAttach: true,
    readOnly: true,
    logDriver: { name: "json-file", options: { "max-size": "1m" } },
    securityOpt: ["no-new-privileges"],
    groupAdd: ["g"],
    pidMode: "host",
    ipcMode: "private",
    utsMode: "host",
    usernsMode: "host",
    cgroupParent: "/p",
    runtime: "runc",
    oomScoreAdj: 0,
    oomKillDisable: true,
    memorySwapBytes: -1,
    memorySwappiness: 0,
    cpuShares: 5,
    cpuset: "0",
    cpuPeriodUs: 50_000,
    cpuQuotaUs: 25_000,
    cpuRealtimePeriodUs: 1_000,
    cpuRealtimeRuntimeUs: 500,
    blockIo: {
      weight: 300,
      weightDevices: [{ path: "/dev/sda", weight: 400 }],
      readBytes: [{ path: "/dev/sdb", rate: 1 }],
      writeBytes: [{ path: "/dev/sdb", rate: 2 }],
      readOperations: [{ path: "/dev/sdb", rate: 3 }],
      writeOperations: [{ path: "/dev/sdb", rate: 4 }],
    },
    deviceRequests: [
      { count: -1, capabilities: ["gpu", "utility"], options: { a: "b" } },
      { driver: "cdi", deviceIds: ["nvidia.com/gpu=0"] },
    ],
    storageOpt: { size: "1G" },
    annotations: { x: "y" },
    cgroupnsMode: "private",
    platform: "linux/amd64",
    healthcheck: {
      test: ["CMD", "t"],
      intervalMs: 1,
      timeoutMs: 2,
      startPeriodMs: 3,
      retries: 4,
      startIntervalMs: 5,
    },
  });
  const task = TaskSpec.fromPartial({
    limits: { nanoCpus: 5e8, memoryBytes: 100, pids: 7 },
    reservations: { nanoCpus: 1e8, memoryBytes: 50 },
  });
  const config = configOf({ container, task });
  expect(config.platform).toBe("linux/amd64");
  expect(config.body).toMatchObject({
    Entrypoint: ["/init"],
    Cmd: [],
    Env: ["A=1", "ON=host1/2/{{.Unknown}}"],
    WorkingDir: "/w",
    User: "1:2",
    Labels: { a: "b", "berth.task.id": "task1" },
    Hostname: "shop_web-2",
    Domainname: "d",
    StopSignal: "SIGINT",
    StopTimeout: 2,
    Tty: true,
    OpenStdin: true,
    StdinOnce: true,
    Healthcheck: {
      Test: ["CMD", "t"],
      Interval: 1e6,
      Timeout: 2e6,
      StartPeriod: 3e6,
      Retries: 4,
      StartInterval: 5e6,
    },
  });
  expect(config.body.HostConfig).toEqual({
    RestartPolicy: { Name: "no" },
    NetworkMode: "default",
    NanoCpus: 5e8,
    Memory: 100,
    PidsLimit: 7,
    MemoryReservation: 50,
    MemorySwap: -1,
    CpuPeriod: 50_000,
    CpuQuota: 25_000,
    CpuRealtimePeriod: 1_000,
    CpuRealtimeRuntime: 500,
    BlkioWeight: 300,
    BlkioWeightDevice: [{ Path: "/dev/sda", Weight: 400 }],
    BlkioDeviceReadBps: [{ Path: "/dev/sdb", Rate: 1 }],
    BlkioDeviceWriteBps: [{ Path: "/dev/sdb", Rate: 2 }],
    BlkioDeviceReadIOps: [{ Path: "/dev/sdb", Rate: 3 }],
    BlkioDeviceWriteIOps: [{ Path: "/dev/sdb", Rate: 4 }],
    DeviceRequests: [
      { Driver: "", Count: -1, Capabilities: [["gpu", "utility"]], Options: { a: "b" } },
      { Driver: "cdi", Count: 0, DeviceIDs: ["nvidia.com/gpu=0"], Capabilities: [], Options: {} },
    ],
    MemorySwappiness: 0,
    CpuShares: 5,
    CpusetCpus: "0",
    ShmSize: 64,
    Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }],
    StorageOpt: { size: "1G" },
    CgroupParent: "/p",
    OomScoreAdj: 0,
    OomKillDisable: true,
    CapAdd: ["NET_ADMIN"],
    CapDrop: ["ALL"],
    Privileged: true,
    ReadonlyRootfs: true,
    Devices: [{ PathOnHost: "/dev/a", PathInContainer: "/dev/a", CgroupPermissions: "rwm" }],
    DeviceCgroupRules: ["c 1:3 r"],
    SecurityOpt: ["no-new-privileges"],
    GroupAdd: ["g"],
    PidMode: "host",
    IpcMode: "private",
    UTSMode: "host",
    UsernsMode: "host",
    CgroupnsMode: "private",
    Runtime: "runc",
    Sysctls: { "net.a": "1" },
    ExtraHosts: ["a:1.2.3.4"],
    Dns: ["1.1.1.1"],
    DnsSearch: ["s"],
    DnsOptions: ["o"],
    Annotations: { x: "y" },
    Init: false,
    LogConfig: { Type: "json-file", Config: { "max-size": "1m" } },
  });
});

test("containerConfig uses every field that a container's spec has", () => {
  // Fails when a new field of the spec is not mapped: every field has to be read.
  const read = new Set<string>();
  const watched = new Proxy(ContainerSpec.create({ image: "i" }), {
    get: (target, key, receiver) => {
      read.add(String(key));
      return Reflect.get(target, key, receiver);
    },
  });
  containerConfig({
    task: taskWith(),
    spec: specWith(),
    container: watched,
    node: NODE,
    networks: NO_NETWORKS,
    files: NO_FILES,
    owners: [],
  });
  const elsewhere = ["pullPolicy", "postStart", "preStop", "links"];
  const unread = Object.keys(ContainerSpec.create()).filter(
    (key) => !read.has(key) && !elsewhere.includes(key),
  );
  expect(unread).toEqual([]);
});

test("containerConfig publishes an ingress target once on the advertised address, and host ports as specified", () => {
  const { TCP, UDP } = PortSpec_Protocol;
  const { INGRESS, HOST } = PortSpec_Mode;
  const ports = [
    { target: 80, published: 8080, protocol: TCP, mode: INGRESS },
    { target: 80, published: 8081, protocol: TCP, mode: INGRESS },
    { target: 53, published: 53, protocol: UDP, mode: HOST, hostIp: "127.0.0.1" },
    { target: 9, published: 0, protocol: TCP, mode: HOST },
  ];
  const body = bodyOf({ ports });
  expect(body.HostConfig.PortBindings).toEqual({
    "80/tcp": [{ HostIp: "10.0.0.1", HostPort: "" }],
    "53/udp": [{ HostIp: "127.0.0.1", HostPort: "53" }],
    "9/tcp": [{ HostIp: "", HostPort: "" }],
  });
  expect(body.ExposedPorts).toEqual({ "80/tcp": {}, "53/udp": {}, "9/tcp": {} });
  const onHost = bodyOf({ ports, container: { networkMode: NetworkMode.HOST } });
  expect(onHost.HostConfig.PortBindings).toBeUndefined();
  expect(onHost.HostConfig.NetworkMode).toBe("host");
});

test("containerConfig maps bind, volume and tmpfs mounts", () => {
  const mounts = [
    {
      kind: {
        $case: "bind",
        value: { source: "/a", propagation: "", createHostPath: true, selinux: "z", recursive: "" },
      },
      target: "/x",
      readOnly: true,
    },
    {
      kind: {
        $case: "bind",
        value: { source: "/a:b", propagation: "rslave", createHostPath: false, selinux: "", recursive: "" },
      },
      target: "/y",
      readOnly: false,
    },
    {
      kind: {
        $case: "volume",
        value: {
          name: "v-{{.Task.Slot}}",
          driver: "local",
          driverOpts: { o: "1" },
          labels: { l: "m" },
          noCopy: true,
          subpath: "",
        },
      },
      target: "/z",
      readOnly: false,
    },
    {
      kind: { $case: "tmpfs", value: { sizeBytes: 10, mode: 0o700, options: [] } },
      target: "/t",
      readOnly: false,
    },
  ] satisfies Mount[];
  const { HostConfig } = bodyOf({ container: { mounts } });
  expect(HostConfig.Binds).toEqual(["/a:/x:ro,z"]);
  expect(HostConfig.Mounts).toEqual([
    { Type: "bind", Source: "/a:b", Target: "/y", ReadOnly: false, BindOptions: { Propagation: "rslave" } },
    {
      Type: "volume",
      Source: "v-2",
      Target: "/z",
      ReadOnly: false,
      VolumeOptions: {
        NoCopy: true,
        Labels: { l: "m" },
        DriverConfig: { Name: "local", Options: { o: "1" } },
      },
    },
    { Type: "tmpfs", Target: "/t", ReadOnly: false, TmpfsOptions: { SizeBytes: 10, Mode: 0o700 } },
  ]);
});
