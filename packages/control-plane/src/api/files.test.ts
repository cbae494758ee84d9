import {
  FileContent,
  FileKind,
  type FileMount,
  FileOutcome_Kind,
  type PutFileResponse,
  Service,
  User,
  UserRole,
} from "@berth/proto";
import type { Caller } from "@berth/proto/rpc";
import { beforeEach, describe, expect, it } from "vitest";
import { buildSpec, buildTask, idSequence } from "../core/testing/records.js";
import { createClusterKey } from "../identity/cluster-key.js";
import { createFileSealer } from "../identity/file-sealer.js";
import type { Decide } from "../reconciler/writer.js";
import { systemRuntime } from "../runtime/runtime.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { getFile, putFile } from "./files.js";

const FILE_NAME = "shared";
const ADMIN: Caller = { kind: "user", name: "adam.aaaaaa" };
const DORA: Caller = { kind: "user", name: "dora.aaaaaa" };
const { signal } = new AbortController();

let state: ClusterState;
let revision: bigint;
let api: ApiContext;

function apply(changes: readonly Change[]): void {
  revision += 1n;
  state.apply(changes.map((change) => ({ change, revision })));
}

beforeEach(() => {
  state = new ClusterState();
  revision = 0n;
  const submit = async <T>(decide: Decide<T>): Promise<T> => {
    const { changes, result } = decide(state);
    apply(changes);
    return result;
  };
  api = {
    state,
    writer: { submit },
    sealer: createFileSealer(createClusterKey()),
    runtime: { ...systemRuntime, newId: idSequence() },
  } as Partial<ApiContext> as ApiContext;
  const users: User[] = [
    User.fromPartial({ name: "adam", role: UserRole.ADMIN, certificateName: ADMIN.name }),
    User.fromPartial({ name: "dora", role: UserRole.DEPLOYER, stacks: "shop", certificateName: DORA.name }),
  ];
  apply(users.map((user) => ({ kind: "put-user", user })));
});

function put(content: string, caller = ADMIN): Promise<PutFileResponse> {
  const file = FileContent.fromPartial({
    kind: FileKind.SECRET,
    name: FILE_NAME,
    content: Buffer.from(content),
  });
  return putFile({ file, createOnly: false, updateOnly: false }, api, caller, signal);
}

/** Adds a service that mounts the newest version, or gets it as an environment variable. */
function addService(
  stack: string,
  place: Pick<FileMount, "target"> | Pick<FileMount, "env"> = { target: "/s" },
): void {
  const versionId = state.files.newest(FileKind.SECRET, FILE_NAME)?.id ?? "";
  const files = [{ kind: FileKind.SECRET, name: FILE_NAME, versionId, ...place }];
  const spec = buildSpec({ name: `${stack}_web`, stack, task: { container: { image: "web:1", files } } });
  const service = Service.fromPartial({ id: stack, spec, version: 1, templateVersion: 1 });
  apply([
    { kind: "put-revision", serviceId: stack, version: 1, spec },
    { kind: "put-service", service },
    { kind: "put-task", task: buildTask({ id: `t-${stack}`, serviceId: stack, specVersion: 1 }) },
  ]);
}

describe("putFile()", () => {
  it("updates the services that the caller may change, and getFile() shows the others", async () => {
    await put("a");
    for (const stack of ["shop", "bank"]) addService(stack);
    const { services } = await put("b", DORA);
    expect(services).toMatchObject([{ name: "shop_web", version: 2 }]);
    expect(getFile({ kind: FileKind.SECRET, name: FILE_NAME }, api).uses).toEqual([
      { service: "bank_web", version: 1, tasksWithOtherVersions: 0 },
      { service: "shop_web", version: 2, tasksWithOtherVersions: 1 },
    ]);
  });

  it("updates services that an earlier call left at another version, also when the content is unchanged", async () => {
    await put("a");
    for (const stack of ["shop", "bank"]) addService(stack);
    await put("b", DORA);
    const { outcome, services } = await put("b");
    expect(outcome).toMatchObject({ kind: FileOutcome_Kind.UNCHANGED, version: 2 });
    expect(services).toMatchObject([{ name: "bank_web", version: 2 }]);
  });

  it("stores no content that cannot be the environment variable of a service, and names the service", async () => {
    await put("hunter2");
    addService("shop", { env: "PGPASSWORD" });
    await expect(put("hunter3\0")).rejects.toMatchObject({
      code: "BERTH_SPEC_INVALID",
      message:
        "secret shared was not stored: shop_web: task.container.files[0]: secret shared: the content contains a NUL byte, which an environment variable cannot hold",
    });
    expect(state.files.newest(FileKind.SECRET, FILE_NAME)?.version).toBe(1);
    expect(await put("hunter3")).toMatchObject({ services: [{ name: "shop_web", version: 2 }] });
  });
});
