import {
  ControlServiceService,
  CreateServiceRequest,
  DeployStackRequest,
  DesiredState,
  ExecRequest,
  FileKind,
  FileVersion,
  Network,
  PutFileRequest,
  Service,
  ServiceSpec,
  Task,
  TaskState,
  User,
  UserRole,
} from "@berth/proto";
import { type Caller, PERMISSIONS } from "@berth/proto/rpc";
import { describe, expect, it } from "vitest";
import { ClusterState } from "../../state/cluster-state.js";
import { maySeeEnvironment, requireStackAccess } from "./stack-access.js";

type Method = keyof typeof ControlServiceService;

const OWN = "shop-a";
const OTHER = "bank";
const DORA: Caller = { kind: "user", name: "dora.aaaaaa" };

function user(name: string, role: UserRole, stacks: string): User {
  return User.fromPartial({ name, role, stacks, certificateName: `${name}.aaaaaa` });
}

/** The secret of a stack. */
const passwordOf = (stack: string) => ({ kind: FileKind.SECRET, name: `${stack || "alone"}_password` });

const state = createState();

/** A state with a service, a running task and a network in each stack, and a service without a stack. */
function createState(): ClusterState {
  const created = new ClusterState();
  for (const stack of [OWN, OTHER, ""]) {
    const id = `s${stack}`;
    const name = stack === "" ? "alone" : `${stack}_web`;
    created.services.put(Service.fromPartial({ id, spec: { name, stack } }));
    created.tasks.put(
      Task.fromPartial({
        ...{ id: `t${stack}`, serviceId: id, serviceName: name, nodeId: "n1", slot: 1 },
        desiredState: DesiredState.RUNNING,
        status: { state: TaskState.RUNNING, containerId: "c" },
      }),
    );
    created.files.put(FileVersion.fromPartial({ ...passwordOf(stack), id: `f${stack}`, version: 1, stack }));
    created.networks.put(Network.fromPartial({ id: `w${stack}`, spec: { name: `${name}-net`, stack } }));
  }
  for (const each of [
    user("dora", UserRole.DEPLOYER, "shop-*"),
    user("star", UserRole.DEPLOYER, "*"),
    user("free", UserRole.DEPLOYER, ""),
    user("vera", UserRole.VIEWER, ""),
    user("adam", UserRole.ADMIN, ""),
  ]) {
    created.users.set(each.name, each);
  }
  return created;
}

const callerOf = (name: string): Caller => ({ kind: "user", name: `${name}.aaaaaa` });

/** The request of each limited method that touches one stack. */
const REQUESTS: Readonly<Partial<Record<Method, (stack: string) => unknown>>> = {
  deployStack: (stack) => DeployStackRequest.fromPartial({ stack }),
  createService: (stack) => CreateServiceRequest.fromPartial({ spec: { name: `${stack}_new`, stack } }),
  scaleServices: (stack) => ({ services: [{ service: `s${stack}`, replicas: 2 }] }),
  updateService: (stack) => ({ service: `${stack}_web` }),
  rollbackService: (stack) => ({ service: `${stack}_web` }),
  removeServices: (stack) => ({ services: [`${stack}_web`], stack: "" }),
  streamLogs: (stack) => ({ target: `${stack}_web.1` }),
  exec: (stack) =>
    ExecRequest.fromPartial({ message: { $case: "start", value: { target: `t${stack}`, command: {} } } }),
  removeNetworks: (stack) => ({ networks: [`${stack}_web-net`] }),
  putFile: (stack) => PutFileRequest.fromPartial({ file: passwordOf(stack) }),
  locateImages: (stack) => ({ images: [], credentials: [], stack }),
  removeFiles: (stack) => ({ kind: FileKind.SECRET, names: [passwordOf(stack).name] }),
};

const methods = Object.keys(REQUESTS) as Method[];

const check = (method: Method, stack: string, caller: Caller = DORA): void =>
  requireStackAccess(method, REQUESTS[method]?.(stack), caller, state);

describe("rpc-matrix: requireStackAccess()", () => {
  it("limits every method that deployers may call and viewers may not", () => {
    const changing = Object.entries(ControlServiceService)
      .filter(([, { path }]) => PERMISSIONS[path].includes("deployer"))
      .filter(([, { path }]) => !PERMISSIONS[path].includes("viewer"))
      .map(([method]) => method);
    // What belongs to no stack is denied below. A pushed image changes no stack until a deployment names its ID.
    const others = ["createNetwork", "removeImages", "pushImage"];
    expect(
      changing.filter((method) => !others.includes(method) && !methods.includes(method as Method)),
    ).toEqual([]);
  });

  it.each(methods)("lets a deployer call %s for the stacks of the user's pattern only", (method) => {
    check(method, OWN);
    expect(() => check(method, OTHER)).toThrow(
      expect.objectContaining({
        code: "BERTH_PERMISSION_DENIED",
        message: expect.stringContaining('limited to the stacks "shop-*"'),
      }),
    );
  });

  it.each(methods)(
    "does not limit %s for other users, servers, and callers without a certificate",
    (method) => {
      const callers: Caller[] = [
        ...["free", "adam"].map(callerOf),
        { kind: "anonymous" },
        { kind: "user", name: "root" },
      ];
      for (const caller of callers) check(method, OTHER, caller);
    },
  );

  it("denies every stack to a user who was removed since the call arrived", () => {
    expect(() => check("updateService", OWN, callerOf("gone"))).toThrow(/shop-a/);
  });

  it("denies a request that also touches another stack", () => {
    const services = [`s${OWN}`, `s${OTHER}`].map((service) => ({ service, replicas: 1 }));
    expect(() => requireStackAccess("scaleServices", { services }, DORA, state)).toThrow(/bank/);
    const removal = { services: [], stack: OTHER };
    expect(() => requireStackAccess("removeServices", removal, DORA, state)).toThrow(/bank/);
  });

  it("denies to create a service with the name of one in another stack", () => {
    const request = CreateServiceRequest.fromPartial({ spec: { name: `${OTHER}_web`, stack: OWN } });
    expect(() => requireStackAccess("createService", request, DORA, state)).toThrow(/bank/);
  });

  it("denies a deployment that would take a service or network of another stack", () => {
    const takeService = DeployStackRequest.fromPartial({
      ...{ stack: OWN, services: [{ name: `${OTHER}_web`, stack: OWN }] },
    });
    const takeNetwork = DeployStackRequest.fromPartial({
      ...{ stack: OWN, networks: [{ name: `${OTHER}_web-net`, stack: OWN }] },
    });
    for (const request of [takeService, takeNetwork]) {
      expect(() => requireStackAccess("deployStack", request, DORA, state)).toThrow(/bank/);
    }
  });

  it("denies a deployment that declares or mounts a secret of another stack", () => {
    const files = [passwordOf(OTHER)];
    const declared = DeployStackRequest.fromPartial({ stack: OWN, files });
    const mounted = DeployStackRequest.fromPartial({
      ...{ stack: OWN, services: [{ name: `${OWN}_api`, stack: OWN, task: { container: { files } } }] },
    });
    for (const request of [declared, mounted]) {
      expect(() => requireStackAccess("deployStack", request, DORA, state)).toThrow(/bank/);
    }
    const spec = { ...mounted.services[0], name: `${OWN}_web` };
    expect(() => requireStackAccess("updateService", { service: `${OWN}_web`, spec }, DORA, state)).toThrow(
      /bank/,
    );
  });

  it("lets a deployer keep a secret of another stack that an administrator has given to a service", () => {
    const files = [passwordOf(OTHER)];
    const spec = { name: `${OWN}_given`, stack: OWN, task: { container: { files } } };
    state.services.put(Service.fromPartial({ id: "given", spec }));
    requireStackAccess("updateService", { service: "given", spec }, DORA, state);
    requireStackAccess(
      "deployStack",
      DeployStackRequest.fromPartial({ stack: OWN, services: [spec] }),
      DORA,
      state,
    );
    state.services.delete("given");
  });

  it("denies a rollback that restores a secret of another stack which an administrator has removed", () => {
    const mounting = (stack: string) =>
      ServiceSpec.fromPartial({
        ...{ name: `${OWN}_given`, stack: OWN },
        task: { container: { files: [passwordOf(stack)] } },
      });
    const without = ServiceSpec.fromPartial({ name: `${OWN}_given`, stack: OWN });
    const versions = [mounting(OTHER), mounting(OWN), without];
    for (const [index, spec] of versions.entries()) state.services.versions.put("given", index + 1, spec);
    const rollback = (toVersion: number, fields: Partial<Service>): void => {
      state.services.put(Service.fromPartial({ id: "given", ...fields }));
      requireStackAccess("rollbackService", { service: "given", toVersion }, DORA, state);
    };
    expect(() => rollback(1, { spec: without, version: 3 })).toThrow(/may not change bank/);
    expect(() => rollback(0, { spec: without, version: 3, healthyVersion: 1 })).toThrow(
      /may not change bank/,
    );
    rollback(2, { spec: without, version: 3 });
    // The service still has it.
    rollback(1, { spec: mounting(OTHER), version: 4 });
    // There is no such version, which the handler reports.
    rollback(9, { spec: without, version: 3 });
    state.services.delete("given");
  });

  it("denies a new secret in another stack, or in no stack", () => {
    for (const stack of [OTHER, ""]) {
      const request = PutFileRequest.fromPartial({ file: { kind: FileKind.SECRET, name: "new", stack } });
      expect(() => requireStackAccess("putFile", request, DORA, state)).toThrow(/may not change/);
    }
    const own = PutFileRequest.fromPartial({ file: { kind: FileKind.SECRET, name: "new", stack: OWN } });
    requireStackAccess("putFile", own, DORA, state);
  });

  it("denies services and networks without a stack, whatever the pattern", () => {
    for (const name of ["dora", "star"]) {
      const request = { services: ["alone"], stack: "" };
      expect(() => requireStackAccess("removeServices", request, callerOf(name), state)).toThrow(
        /services without a stack/,
      );
      expect(() => requireStackAccess("createNetwork", {}, callerOf(name), state)).toThrow(/without a stack/);
    }
  });

  it("reports a reference to nothing as such", () => {
    expect(() => requireStackAccess("updateService", { service: "nope" }, DORA, state)).toThrow(
      expect.objectContaining({ code: "BERTH_NOT_FOUND" }),
    );
  });
});

describe("maySeeEnvironment()", () => {
  it.each([
    ["dora", OWN, true],
    ["dora", OTHER, false],
    ["dora", "", false],
    ["free", OTHER, true],
    ["vera", OWN, false],
    ["adam", OTHER, true],
    ["gone", OWN, false],
  ])("answers for %s and the stack %j: %s", (name, stack, expected) => {
    expect(maySeeEnvironment(callerOf(name), stack, state)).toBe(expected);
  });
});
