import {
  applySpecDefaults,
  FileKind,
  FileMount,
  isBerthError,
  RestartPolicy_Condition,
  ServiceSpec,
} from "@berth/proto";
import { describe, expect, test } from "vitest";
import { FLAGGED_SPEC, VALID_FLAGS } from "../../../testing/update-flags.js";
import { applyFlags, EDITS, hasFlags } from "./apply-flags.js";
import { UPDATE_FLAGS } from "./flags.js";

const edited = (flags: Record<string, unknown>): ServiceSpec => applyFlags(FLAGGED_SPEC, flags);
const container = (flags: Record<string, unknown>) => edited(flags).task?.container;

function problem(flags: Record<string, unknown>, spec = FLAGGED_SPEC): string {
  try {
    applyFlags(spec, flags);
  } catch (error) {
    if (isBerthError(error, "BERTH_INPUT_INVALID")) return error.message;
    throw error;
  }
  return "";
}

test("applyFlags() creates the parts of the task that the spec lacks", () => {
  const spec = ServiceSpec.fromPartial({ name: "web", task: { container: { image: "nginx" } } });
  const flags = {
    restartCondition: "on-failure",
    limitMemory: "64M",
    constraintAdd: ["node.labels.zone == a"],
  };
  const { task, placement } = applyFlags(spec, flags);
  expect([task?.restart?.condition, task?.limits?.memoryBytes, placement?.constraints]).toEqual([
    RestartPolicy_Condition.ON_FAILURE,
    64 * 1024 * 1024,
    ["node.labels.zone == a"],
  ]);
});

const attributeOf = (name: string): string =>
  name.replace(/^no-/, "").replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

describe("applyFlags", () => {
  test("supports every flag without modifying the given spec", () => {
    const before = structuredClone(FLAGGED_SPEC);
    for (const [name, given] of Object.entries(VALID_FLAGS)) {
      const flags = { [attributeOf(name)]: given };
      expect([name, hasFlags(flags)]).toEqual([name, true]);
      if (name === "max-concurrent") continue;
      expect([name, problem(flags)]).toEqual([name, ""]);
    }
    expect(FLAGGED_SPEC).toEqual(before);
    expect(Object.keys(EDITS).toSorted()).toEqual(Object.keys(UPDATE_FLAGS).toSorted());
  });

  test("matches entries to remove or replace by their keys", () => {
    expect(container({ envRm: ["A"], envAdd: ["AB=9", "C=3"] })?.env).toEqual(["AB=9", "C=3"]);
    expect(edited({ labelRm: ["team"], labelAdd: ["x"] }).labels).toEqual({ x: "" });
    expect(container({ mountRm: ["/data/"], mountAdd: ["source=db,dst=/db"] })?.mounts).toMatchObject([
      { target: "/db", readOnly: false, kind: { $case: "volume", value: { name: "db" } } },
    ]);
    expect(container({ mountAdd: ["type=bind,src=/x,target=/data,ro"] })?.mounts).toMatchObject([
      { target: "/data", readOnly: true, kind: { $case: "bind", value: { source: "/x" } } },
    ]);
    expect(container({ capAdd: ["cap_net_raw"] })).toMatchObject({ capAdd: ["cap_net_raw"], capDrop: [] });
    expect(container({ hostRm: ["db"], hostAdd: ["db:10.0.0.9"] })?.extraHosts).toEqual(["db:10.0.0.9"]);
    expect(container({ ulimitAdd: ["nofile=2:3"] })?.ulimits).toEqual([{ name: "nofile", soft: 2, hard: 3 }]);
    expect(edited({ constraintRm: ["node.labels.zone==a"] }).placement?.constraints).toEqual([]);
    const generic = { genericResourceRm: ["gpu"], genericResourceAdd: ["fpga=2"] };
    expect(edited(generic).task?.reservations?.generic).toEqual({ fpga: 2 });
  });

  test("adds, replaces and removes devices of the host", () => {
    const added = {
      deviceAdd: ["/dev/fuse", "/dev/a:/dev/fuse:r", "/dev/b:rw", "nvidia.com/gpu=0"],
      gpus: '"device=0,2"',
    };
    const one = applyFlags(FLAGGED_SPEC, added);
    expect(one.task?.container).toMatchObject({
      devices: [
        { hostPath: "/dev/a", containerPath: "/dev/fuse", permissions: "r" },
        { hostPath: "/dev/b", containerPath: "/dev/b", permissions: "rw" },
      ],
      deviceRequests: [
        { driver: "cdi", deviceIds: ["nvidia.com/gpu=0"], capabilities: [] },
        { driver: "", count: 0, deviceIds: ["0", "2"], capabilities: ["gpu"] },
      ],
    });
    const none = applyFlags(one, { deviceRm: ["/dev/fuse", "/dev/b", "nvidia.com/gpu=0"], gpus: "" });
    expect(none.task?.container).toMatchObject({ devices: [], deviceRequests: [] });
    expect(problem({ deviceAdd: ["fuse"] })).toContain('"fuse" is not a device; use SOURCE');
  });

  test.each([
    ["all", { count: -1 }],
    ["2", { count: 2 }],
    ["count=1,driver=nvidia", { count: 1, driver: "nvidia" }],
    ["capabilities=utility,compute", { count: 1, capabilities: ["gpu", "utility", "compute"] }],
    ["device=GPU-1,capabilities=gpu", { deviceIds: ["GPU-1"], capabilities: ["gpu"], count: 0 }],
  ])("requests GPUs as docker run --gpus %s does", (gpus, expected) => {
    expect(container({ gpus })?.deviceRequests).toMatchObject([expected]);
  });

  test.each([
    ["0", '"0" is not a number of GPUs; use all, a number, or device=ID'],
    ["many", '"many" is not a number of GPUs'],
    ["2,device=0", "a number and devices are mutually exclusive"],
    ["color=red", 'unknown key "color"; use count, driver, device or capabilities'],
  ])("rejects --gpus %s", (gpus, expected) => {
    expect(problem({ gpus })).toContain(expected);
  });

  test("sets limits that the scheduler does not consider, and the namespaces of the host", () => {
    const flags = { memorySwap: "1G", cpuQuota: "-1", storageOptAdd: ["size=1G"], platform: "arm64" };
    expect(container(flags)).toMatchObject({
      memorySwapBytes: 1024 ** 3,
      cpuQuotaUs: -1,
      storageOpt: { size: "1G" },
      platform: "linux/arm64",
    });
    expect(problem({ cpuQuota: "-2" })).toContain('"-2" is not a whole number of at least -1');
    expect(problem({ pid: "container:x" })).toContain("the mode cannot name another container");
  });

  test("adds, replaces and removes networks", () => {
    const networks = (flags: Record<string, unknown>, spec = FLAGGED_SPEC) =>
      applyFlags(spec, flags).task?.networks;
    const ifname = "driver-opt=com.docker.network.endpoint.ifname=eth9";
    const added = `name=back,alias=a,alias=b,ip=10.0.0.9,mac-address=02:42:ac:11:00:09,link-local-ip=169.254.8.8,${ifname}`;
    const one = applyFlags(FLAGGED_SPEC, { replicas: "1", networkAdd: ["front", added] });
    expect(one.task?.networks).toMatchObject([
      { network: "front", aliases: [] },
      {
        network: "back",
        aliases: ["a", "b"],
        ipv4Address: "10.0.0.9",
        interfaceName: "eth9",
        macAddress: "02:42:ac:11:00:09",
        linkLocalIps: ["169.254.8.8"],
      },
    ]);
    expect(networks({ networkRm: ["front"], networkAdd: ["name=back,alias=c"] }, one)).toMatchObject([
      { network: "back", aliases: ["c"], ipv4Address: "", macAddress: "" },
    ]);
    expect(problem({ networkAdd: ["alias=a"] })).toContain("the network has no name; set name=NETWORK");
    expect(problem({ networkAdd: ["name=a,gw=1"] })).toContain('unknown key "gw"; use name, alias, ip');
    expect(problem({ networkAdd: ["name=a,driver-opt=mtu=9"] })).toContain('unknown driver option "mtu"');
  });

  test("sets all kinds of mounts with Docker's options", () => {
    const mount = (text: string) => container({ mountAdd: [text] })?.mounts.at(-1);
    expect(mount("type=image,src=tools:1,dst=/tools,image-subpath=bin,ro")).toMatchObject({
      readOnly: true,
      kind: { $case: "image", value: { image: "tools:1", subpath: "bin" } },
    });
    const volume =
      "src=data,dst=/d,volume-subpath=a,volume-driver=local,volume-opt=type=nfs,volume-opt=o=addr=h,volume-label=x=1";
    expect(mount(volume)?.kind?.value).toMatchObject({
      name: "data",
      driver: "local",
      subpath: "a",
      driverOpts: { type: "nfs", o: "addr=h" },
      labels: { x: "1" },
    });
    expect(
      mount("type=bind,src=/a,dst=/a,bind-recursive=readonly,ro,bind-propagation=rprivate")?.kind,
    ).toMatchObject({
      value: { source: "/a", recursive: "readonly" },
    });
    expect(problem({ mountAdd: ["type=image,dst=/a"] })).toContain("the image mount has no source");
    expect(problem({ mountAdd: ["type=bind,src=/a,dst=/b,volume-opt=a=b"] })).toContain(
      "volume-opt cannot be combined with type=bind",
    );
  });

  test("adds and removes published ports", () => {
    const ports = (flags: Record<string, unknown>) =>
      edited(flags).ports.map(({ published, target, protocol, mode }) => [published, target, protocol, mode]);
    expect(ports({ publishRm: ["80"], publishAdd: ["9090:90/udp"] })).toEqual([[9090, 90, 2, 1]]);
    expect(ports({ publishRm: ["80/udp"] })).toEqual([[8080, 80, 1, 1]]);
    expect(ports({ publishAdd: ["published=8080,target=80,mode=host"] })).toEqual([[8080, 80, 1, 2]]);
    expect(ports({ publishAdd: ["81-82:81-82"] })).toHaveLength(3);
  });

  test("adds secrets and configs by their target, and removes them by their name", () => {
    const { SECRET, CONFIG } = FileKind;
    const files = (flags: Record<string, unknown>) => container(flags)?.files;
    expect(files({ secretRm: ["shop_key"], configAdd: ["nginx_conf"] })).toEqual([
      {
        kind: CONFIG,
        name: "nginx_conf",
        versionId: "",
        target: "/nginx_conf",
        uid: "0",
        gid: "0",
        mode: 0o444,
        env: "",
      },
    ]);
    expect(files({ configRm: ["shop_key"], secretAdd: ["src=new,target=key,uid=7,gid=8,mode=400"] })).toEqual(
      [
        {
          kind: SECRET,
          name: "new",
          versionId: "",
          target: "/run/secrets/key",
          uid: "7",
          gid: "8",
          mode: 0o400,
          env: "",
        },
      ],
    );
    expect(files({ secretAdd: ["source=a,env=PGPASSWORD", "src=b,env=PGPASSWORD"] })?.slice(1)).toEqual([
      FileMount.fromPartial({ kind: SECRET, name: "b", env: "PGPASSWORD", uid: "", gid: "" }),
    ]);
    expect(
      files({ secretAdd: ["other", "source=shop_key,target=/etc/key"] })?.map(({ target }) => target),
    ).toEqual(["/run/secrets/key", "/run/secrets/other", "/etc/key"]);
    expect(
      problem({ secretAdd: ["source=a b"], configAdd: ["source=c,target=/data"] }),
    ).toMatchInlineSnapshot(`
      "service shop_web was not updated:
        task.container.files[1].name: invalid secret name "a b"; use ASCII letters, digits, -, _ and ., starting with a letter or digit
        task.container.files[2].target: task.container.mounts[0] has the same target /data"
    `);
  });

  test("splits command lines as a shell would, and resets empty ones to the default of the image", () => {
    expect(container({ args: "serve --name 'a b'" })?.command?.values).toEqual(["serve", "--name", "a b"]);
    expect(container({ entrypoint: "" })?.entrypoint).toBeUndefined();
  });

  test("changes parts of a health check, or disables it", () => {
    const check = container({ healthCmd: "true", healthRetries: "4" })?.healthcheck;
    expect(check).toMatchObject({ test: ["CMD-SHELL", "true"], retries: 4, intervalMs: 0 });
    expect(container({ healthcheck: false })?.healthcheck?.test).toEqual(["NONE"]);
    expect(hasFlags({ healthcheck: true })).toBe(false);
  });

  test("resets the options with the log driver", () => {
    const flags = { logDriver: "json-file", logOpt: ["max-size=10m", "max-file=3"] };
    expect(container(flags)?.logDriver).toEqual({
      name: "json-file",
      options: { "max-size": "10m", "max-file": "3" },
    });
  });

  test("sets the progress deadline of the rollback policy, too", () => {
    expect(edited({ progressDeadline: "2m" })).toMatchObject({
      update: { progressDeadlineMs: 120_000 },
      rollback: undefined,
    });
    const both = edited({ progressDeadline: "2m", rollbackParallelism: "2" });
    expect(both.rollback).toMatchObject({ parallelism: 2, progressDeadlineMs: 120_000 });
  });

  test("sets completions and concurrency of jobs, and rejects replicas of global services", () => {
    const mode = { $case: "replicatedJob", value: { totalCompletions: 4, maxConcurrent: 4 } } as const;
    const { task } = ServiceSpec.fromPartial({ task: { container: { image: "a" } } });
    const job = applySpecDefaults({ ...FLAGGED_SPEC, mode, task, ports: [] });
    expect(applyFlags(job, { replicas: "9", maxConcurrent: "2" }).mode?.value).toEqual({
      totalCompletions: 9,
      maxConcurrent: 2,
    });
    const global = { ...FLAGGED_SPEC, mode: { $case: "global", value: {} } } as const;
    expect(problem({ replicas: "2" }, global)).toContain("has no replicas");
  });

  test("reports the problems of all flags at once", () => {
    const flags = {
      replicas: "many",
      updateDelay: "5",
      updateMaxFailureRatio: "2",
      envAdd: ["A"],
      mountAdd: [
        "type=blob,target=/x",
        "source=a",
        "soruce=a,target=/a",
        "source=a,target=/a,readonly=ture",
        "source=a,target=/a,ro=",
        "type=bind,source=/a,target=/a,bind-propagation=rslav",
        "type=bind,source=/a,target=/a,volume-nocopy",
        "type=tmpfs,target=/a,tmpfs-mode=9",
      ],
      secretAdd: ["", "target=a", "source=a,mode=9", "source=a,file=b"],
      configAdd: ["source=a,uid=root,sources=b"],
      publishAdd: ["99999:80", "published=80-90,target=80", "target=80,mode=hots"],
      ulimitAdd: ["nofile"],
      limitMemory: "64Mi",
      healthcheck: false,
      healthCmd: "true",
      args: "a | b",
    };
    expect(problem(flags)).toMatchInlineSnapshot(`
      "service shop_web was not updated:
        --no-healthcheck and --health-cmd are mutually exclusive
        --args: "| b" needs a shell
        --env-add: "A" is not KEY=VALUE
        --mount-add: type: "blob" is invalid; use volume, bind, tmpfs, image
        --mount-add: the mount has no target; set target=/PATH
        --mount-add: soruce: unknown key "soruce"; did you mean "source"?
        --mount-add: readonly: must be true or false, not the text "ture"; did you mean "true"?
        --mount-add: ro: must be true or false, not the text ""
        --mount-add: bind-propagation: "rslav" is invalid; use shared, slave, private, rshared, rslave, rprivate; did you mean "rslave"?
        --mount-add: volume-nocopy cannot be combined with type=bind
        --mount-add: tmpfs-mode: "9" is not an octal number such as 1777
        --secret-add: the secret has no source; set source=NAME
        --secret-add: the secret has no source; set source=NAME
        --secret-add: mode: must be permission bits such as 0440, not the text "9"
        --secret-add: file: unknown key "file"
        --config-add: sources: unknown key "sources"; did you mean "source"?
        --publish-add: "99999:80" is not a port: published port "99999" is not between 1 and 65535
        --publish-add: published: must be a whole number, not the text "80-90"
        --publish-add: mode: "hots" is invalid; use ingress, host; did you mean "host"?
        --replicas: "many" is not a whole number from 0 to 2147483647
        --limit-memory: "64Mi" is not a size; use 64M
        --update-delay: the duration "5" has no unit; did you mean "5s"?
        --update-max-failure-ratio: "2" is not a number from 0 to 1
        --ulimit-add: "nofile" is not a ulimit; use the form nofile=1024:2048"
    `);
  });

  test("reports violations of the resulting spec by their path", () => {
    expect(problem({ image: "Nginx", constraintAdd: ["zone = a"] })).toMatchInlineSnapshot(`
      "service shop_web was not updated:
        task.container.image: "Nginx" is not an image name: repository names must be lower case
        placement.constraints[1]: "zone = a" is not a valid constraint; use a form such as "node.labels.zone == a""
    `);
  });
});
