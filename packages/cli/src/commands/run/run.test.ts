import { type CreateServiceRequest, ServiceOutcome_Kind as Kind, type ServiceSpec } from "@berth/proto";
import { expect, test } from "vitest";
import { berth } from "../../testing/run-berth.js";
import { RUN_OPTIONS } from "./run-flags.js";

/** Returns the spec that `berth run -d` sends. */
async function specOf(line: string): Promise<ServiceSpec | undefined> {
  const requests: CreateServiceRequest[] = [];
  const { code, err } = await berth(`run -d ${line}`, {
    createService: async (request) => {
      requests.push(request);
      const name = request.spec?.name ?? "";
      return { service: { serviceId: "s1", name, kind: Kind.CREATED, version: 1 }, warnings: [] };
    },
  });
  expect([code, err]).toEqual([0, ""]);
  return requests[0]?.spec;
}

test("berth run sends the limits, devices and namespaces of docker run", async () => {
  const isolation = "--privileged --device /dev/fuse --gpus 1 --pid host --security-opt no-new-privileges";
  const limits = "--shm-size 64m -m 1g --memory-swap 2g -c 512 --cpuset-cpus 0-1 --storage-opt size=5G";
  const spec = await specOf(`${isolation} ${limits} --platform linux/amd64 --annotation a=b nginx`);
  expect(spec?.task).toMatchObject({
    limits: { memoryBytes: 1024 ** 3 },
    container: {
      privileged: true,
      devices: [{ hostPath: "/dev/fuse", containerPath: "/dev/fuse", permissions: "rwm" }],
      deviceRequests: [{ count: 1, capabilities: ["gpu"] }],
      pidMode: "host",
      securityOpt: ["no-new-privileges"],
      shmSizeBytes: 64 * 1024 ** 2,
      memorySwapBytes: 2 * 1024 ** 3,
      cpuShares: 512,
      cpuset: "0-1",
      storageOpt: { size: "5G" },
      platform: "linux/amd64",
      annotations: { a: "b" },
    },
  });
});

test("berth run mounts a tmpfs with Docker's options", async () => {
  const spec = await specOf("--tmpfs /run:size=64m,mode=755,uid=5,ro --tmpfs /tmp -v data:/data nginx");
  expect(spec?.task?.container?.mounts).toMatchObject([
    {
      target: "/run",
      readOnly: true,
      kind: { $case: "tmpfs", value: { sizeBytes: 64 * 1024 ** 2, mode: 0o755, options: ["uid=5"] } },
    },
    { target: "/tmp", readOnly: false, kind: { $case: "tmpfs", value: { sizeBytes: 0 } } },
    { target: "/data", kind: { $case: "volume", value: { name: "data" } } },
  ]);
  const { code, err } = await berth("run --tmpfs /run:mode=9 nginx");
  expect([code, err]).toEqual([125, expect.stringContaining('--tmpfs: "9" is not an octal number')]);
});

test("berth run has each of its options once", () => {
  const names = RUN_OPTIONS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});
