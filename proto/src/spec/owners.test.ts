import { describe, expect, it } from "vitest";
import { NetworkMode, ServiceSpec } from "../../gen/berth/v1/spec.js";
import { applySpecDefaults } from "./apply-spec-defaults.js";
import { ownerCycleViolations, ownerNames, ownerViolations, sharesOnlyMounts } from "./owners.js";
import { validateServiceSpec } from "./validate-service-spec.js";

type Part = Parameters<typeof ServiceSpec.fromPartial>[0];

const specOf = (name: string, part: Part = {}): ServiceSpec =>
  applySpecDefaults(
    ServiceSpec.fromPartial({
      name: `shop_${name}`,
      stack: "shop",
      mode: { $case: "replicated", value: { replicas: 2 } },
      ...part,
      task: { ...part.task, container: { image: "app:1", ...part.task?.container } },
    }),
  );

const sharing = (part: Parameters<typeof specOf>[1] & object, shared: object): Part => ({
  ...part,
  task: { ...part.task, container: { ...part.task?.container, sharing: shared } },
});

const problems = (spec: ServiceSpec): readonly string[] =>
  validateServiceSpec(spec).map(({ path, message }) => `${path}: ${message}`);

const lookupIn =
  (...specs: readonly ServiceSpec[]) =>
  (name: string): ServiceSpec | undefined =>
    specs.find((spec) => spec.name === name);

describe("ownerNames", () => {
  it("lists each owner once, and none for a service that shares nothing", () => {
    const spec = specOf("app", {
      placement: { beside: "shop_db" },
      task: {
        container: {
          sharing: { network: "shop_web", pid: "shop_web", mounts: [{ service: "shop_data" }] },
        },
      },
    });
    expect(ownerNames(spec)).toEqual(["shop_web", "shop_data", "shop_db"]);
    expect(ownerNames(specOf("app"))).toEqual([]);
    expect(sharesOnlyMounts(spec, "shop_data")).toBe(true);
    expect(sharesOnlyMounts(spec, "shop_web")).toBe(false);
  });
});

describe("validateSharing", () => {
  it("accepts a container that shares what another service has", () => {
    const shared = {
      network: "shop_web",
      pid: "shop_web",
      mounts: [{ service: "shop_web", readOnly: true }],
    };
    expect(problems(specOf("app", sharing({}, shared)))).toEqual([]);
  });

  it("rejects services of other stacks, the service itself, and too many references", () => {
    expect(problems(specOf("app", { placement: { beside: "other_web" } }))).toEqual([
      "placement.beside: service other_web is not in the same stack: a service can only run beside a service of its own stack",
    ]);
    expect(problems(specOf("app", sharing({}, { pid: "shop_app" })))).toEqual([
      "task.container.sharing.pid: a service cannot run beside itself",
    ]);
    const mounts = Array.from({ length: 17 }, (_, index) => ({ service: `shop_${index}` }));
    expect(problems(specOf("app", sharing({}, { mounts })))).toEqual([
      "task.container.sharing: too many references to other services (17, maximum 16)",
    ]);
  });

  it("rejects what Docker refuses in a container with the network of another one", () => {
    const container = {
      networkMode: NetworkMode.HOST,
      hostname: "a",
      dns: ["192.0.2.1"],
      extraHosts: ["a:192.0.2.1"],
      pidMode: "host",
    };
    const shared = { network: "shop_web", pid: "shop_web" };
    expect(
      problems(specOf("app", sharing({ task: { container }, ports: [{ target: 80 }] }, shared))),
    ).toEqual(
      expect.arrayContaining([
        "task.container.pid_mode: the container already shares the PID namespace of another container",
        ...["task.container.network_mode", "ports[0]", "task.container.hostname", "task.container.dns"].map(
          (path) => `${path}: the container uses the network of service web; set this there instead`,
        ),
      ]),
    );
  });

  it("rejects autoscaling of a companion", () => {
    const spec = specOf(
      "app",
      sharing({ autoscale: { min: 1, max: 3, targetConnections: 5 } }, { network: "shop_web" }),
    );
    expect(problems(spec)).toContain(
      "autoscale: the service has as many replicas as service web; scale that service instead",
    );
  });
});

describe("ownerViolations", () => {
  const web = specOf("web");
  const beside = (name: string, part: Part = {}): ServiceSpec =>
    specOf(name, { ...part, placement: { beside: "shop_web" } });
  const messages = (spec: ServiceSpec, ...others: readonly ServiceSpec[]): readonly string[] =>
    ownerViolations(spec, lookupIn(spec, ...others)).map(({ message }) => message);

  it("accepts the same replicas, a job with no more tasks, and two global services", () => {
    expect(messages(beside("app"), web)).toEqual([]);
    const job: Part = { mode: { $case: "replicatedJob", value: { totalCompletions: 1, maxConcurrent: 1 } } };
    expect(messages(beside("app", job), web)).toEqual([]);
    const global: Part = { mode: { $case: "global", value: {} } };
    expect(messages(beside("app", global), specOf("web", global))).toEqual([]);
  });

  it("rejects a missing owner, other replicas, another mode, and a job", () => {
    expect(messages(beside("app"))).toEqual(["no such service: web"]);
    const three: Part = { mode: { $case: "replicated", value: { replicas: 3 } } };
    expect(messages(beside("app", three), web)).toEqual([
      "the service has 3 replicas, but service web has 2: each task runs beside one of them",
    ]);
    const global: Part = { mode: { $case: "global", value: {} } };
    expect(messages(beside("app"), specOf("web", global))).toEqual([
      "service web is global, but this service is not; use the same mode",
    ]);
    const job: Part = { mode: { $case: "replicatedJob", value: { totalCompletions: 3, maxConcurrent: 1 } } };
    expect(messages(beside("app", job), web)).toEqual([
      "the job has 3 tasks, but service web has only 2: each task runs beside one of them",
    ]);
    expect(messages(beside("app"), specOf("web", job))).toEqual([
      "service web is a job, whose tasks end: a service can only run beside a service",
    ]);
  });

  it("rejects an IPC namespace that its owner does not share", () => {
    const app = specOf("app", sharing({}, { ipc: "shop_web" }));
    expect(messages(app, web)).toEqual([
      "service web does not share its IPC namespace; set its IPC mode to shareable",
    ]);
    expect(messages(app, specOf("web", { task: { container: { ipcMode: "shareable" } } }))).toEqual([]);
  });

  it("finds cycles over several services", () => {
    const a = specOf("a", { placement: { beside: "shop_b" } });
    const b = specOf("b", { placement: { beside: "shop_c" } });
    const c = specOf("c", { placement: { beside: "shop_a" } });
    expect(ownerCycleViolations(a, lookupIn(a, b, c)).map(({ message }) => message)).toEqual([
      "services run beside each other in a cycle: a → b → c → a",
    ]);
    const outside = specOf("d", { placement: { beside: "shop_a" } });
    expect(ownerCycleViolations(outside, lookupIn(a, b, c, outside))).toEqual([]);
  });
});
