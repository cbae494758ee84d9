import { posix } from "node:path";
import {
  applySpecDefaults,
  ContainerSpec,
  DeployStackRequest,
  FileKind,
  PROTOCOL_FIELDS,
  type ServiceSpec,
  SessionRequest,
  SessionResponse,
  UpdateServiceRequest,
  validateNetworkSpec,
  validateServiceSpec,
} from "@berth/proto";
import { Metadata } from "@grpc/grpc-js";
import { networksView } from "../../../packages/agent/src/core/networks/task-networks.js";
import { containerConfig } from "../../../packages/agent/src/core/tasks/container-config.js";
import { fileRefusal, filesToWrite } from "../../../packages/agent/src/core/tasks/task-files.js";
import { viewWith } from "../../../packages/agent/src/core/tasks/testing.js";
import { AssignmentSet } from "../../../packages/agent/src/leader/assignment-set.js";
import { decideDeployment } from "../../../packages/control-plane/src/api/deploy/decide-deployment.js";
import { checkPlanRevision } from "../../../packages/control-plane/src/api/plan/plan-revision.js";
import { checkReportedStatus } from "../../../packages/control-plane/src/core/model/reported-status.js";
import { applyReport } from "../../../packages/control-plane/src/core/model/task-report.js";
import { descriptionProblem } from "../../../packages/control-plane/src/core/model/validate-description.js";
import { reconcile } from "../../../packages/control-plane/src/core/reconcile.js";
import {
  buildCluster,
  buildContext,
  buildNode,
  buildService,
  buildSnapshot,
  buildTask,
  idSequence,
} from "../../../packages/control-plane/src/core/testing/records.js";
import { requireWithinLimits } from "../../../packages/control-plane/src/dispatcher/message-limits.js";
import {
  readHello,
  registrationChanges,
} from "../../../packages/control-plane/src/dispatcher/registration.js";
import { createClusterKey } from "../../../packages/control-plane/src/identity/cluster-key.js";
import { createFileSealer } from "../../../packages/control-plane/src/identity/file-sealer.js";
import { UsageSamples } from "../../../packages/control-plane/src/reconciler/autoscale/usage-samples.js";
import { decodeEntry, encodeValue } from "../../../packages/control-plane/src/state/change.js";
import { ClusterState } from "../../../packages/control-plane/src/state/cluster-state.js";
import { ROOT } from "../../../packages/control-plane/src/store/keys.js";
import { ManualClock } from "../../../packages/control-plane/src/testing/manual-clock.js";
import { isBerthError } from "../../../proto/src/errors.js";
import { fromServiceError } from "../../../proto/src/rpc/status.js";

import { check, checkEqual, isTypedError, unlessRejected } from "../engine/expect.js";
import { streamOf } from "../engine/stream-input.js";
import type { Target } from "../engine/target.js";
import { ASSIGNMENTS, DESCRIPTION, JOB_SPEC, NETWORK_SPEC, SPEC, STATUS } from "./samples.js";

const SESSION_REQUESTS: readonly SessionRequest[] = [
  {
    message: {
      $case: "hello",
      value: {
        ...PROTOCOL_FIELDS,
        nodeId: "h1",
        bootId: "b",
        description: DESCRIPTION,
        resolvesImages: true,
        timingScale: 1,
        transfersImages: false,
        generation: 0,
      },
    },
  },
  SessionRequest.fromPartial({
    message: { $case: "statuses", value: { batch: 1, tasks: [{ taskId: "t1", status: STATUS }] } },
  }),
  { message: { $case: "description", value: DESCRIPTION } },
  SessionRequest.fromPartial({
    message: { $case: "unknownTasks", value: { tasks: [{ taskId: "t1", containerId: "c" }] } },
  }),
  SessionRequest.fromPartial({
    message: {
      $case: "usage",
      value: { tasks: [{ taskId: "t1", cpuPercent: 12.5 }], connections: [{ taskId: "t1", active: 3 }] },
    },
  }),
  {
    message: {
      $case: "imageDigest",
      value: { requestId: "r1", digest: `sha256:${"0".repeat(64)}`, isLocal: false, error: "" },
    },
  },
];
const NODE = {
  nodeId: "h1",
  hostname: "host1",
  advertiseAddress: "192.0.2.1",
  engineApiVersion: "1.51",
  isolation: "",
  containerRoot: { uid: 0, gid: 0 },
};
const filesDirectory = "/run/berth/secrets";
const TASK = buildTask({ nodeId: "h1" });
const CONTEXT = { nowMs: 1_000_000, newId: idSequence(), sealer: createFileSealer(createClusterKey()) };

/** grpc-js returns protobuf's decoding errors to the sender. */
const isDecodeError = (error: unknown): boolean => error instanceof Error;

export const MESSAGE_TARGETS: readonly Target[] = [
  {
    name: "session-request",
    seeds: SESSION_REQUESTS.map((request) => SessionRequest.encode(request).finish()),
    run: async (bytes) => {
      const request = unlessRejected(() => SessionRequest.decode(bytes), isDecodeError);
      if (request === undefined || !isWithinLimits(request)) return;
      await handleSessionRequest(request);
    },
  },
  {
    name: "session-response",
    seeds: [SessionResponse.encode({ message: { $case: "assignments", value: ASSIGNMENTS } }).finish()],
    run: (bytes) => {
      const message = unlessRejected(() => SessionResponse.decode(bytes), isDecodeError)?.message;
      if (message?.$case !== "assignments") return;
      const applied = new AssignmentSet().apply(message.value, 0);
      if (applied.kind === "gap") return;
      const networks = networksView(applied.networks ?? [], new Map());
      const { contents = new Map() } = applied.files;
      const files = { contents, directory: filesDirectory, shippedDirectory: "/shipped" };
      for (const { task, spec } of applied.change.assigned) {
        const container = spec.task?.container ?? ContainerSpec.fromPartial({});
        unlessRejected(() =>
          containerConfig({ task, spec, container, node: NODE, networks, files, owners: [] }),
        );
        if (fileRefusal({ task, spec }, { node: NODE, files }) !== undefined) continue;
        const view = viewWith({ files });
        for (const { name } of filesToWrite(view, { task, spec })?.files ?? []) {
          checkEqual(
            posix.join(filesDirectory, task.id, name).split("/").length,
            6,
            "a file is in its directory",
          );
        }
      }
    },
  },
  {
    name: "deploy-request",
    seeds: [
      DeployStackRequest.encode(
        DeployStackRequest.fromPartial({
          stack: "shop",
          services: [SPEC],
          networks: [NETWORK_SPEC],
          files: [{ kind: FileKind.SECRET, name: "shop_key", content: Buffer.from("k") }],
          planRev: "ab-cd",
        }),
      ).finish(),
      DeployStackRequest.encode(
        DeployStackRequest.fromPartial({ stack: "shop", services: [JOB_SPEC] }),
      ).finish(),
    ],
    tokens: ["node.labels.", "@every 1s", "{{.Task.Slot}}"],
    run: (bytes) => {
      const request = unlessRejected(() => DeployStackRequest.decode(bytes), isDecodeError);
      if (request === undefined) return;
      const { stack, planRev, prune, files } = request;
      const networks = request.networks.filter((network) => validateNetworkSpec(network).length === 0);
      const specs = request.services
        .map(applySpecDefaults)
        .filter((spec) => validateServiceSpec(spec).length === 0);
      for (const spec of specs) checkAcceptedSpec(spec);
      unlessRejected(() => checkPlanRevision(planRev, { services: [], networks: [], files: [] }, stack));
      unlessRejected(() =>
        decideDeployment({ stack, specs, networks, files, prune }, new ClusterState(), CONTEXT),
      );
    },
  },
  {
    name: "update-request",
    seeds: [
      UpdateServiceRequest.encode(UpdateServiceRequest.fromPartial({ spec: SPEC })).finish(),
      UpdateServiceRequest.encode(UpdateServiceRequest.fromPartial({ spec: JOB_SPEC })).finish(),
    ],
    run: (bytes) => {
      const spec = unlessRejected(() => UpdateServiceRequest.decode(bytes), isDecodeError)?.spec;
      const complete = spec && applySpecDefaults(spec);
      if (complete !== undefined && validateServiceSpec(complete).length === 0) checkAcceptedSpec(complete);
    },
  },
  {
    name: "grpc-status",
    format: "json",
    seeds: ['{"service":"web","node":"h1"}'],
    run: (bytes) => {
      for (const code of ["BERTH_CONFLICT", "constructor", ""]) {
        const metadata = new Metadata();
        metadata.set("berth-code", code);
        metadata.set("berth-details-bin", bytes);
        metadata.set("berth-message-bin", bytes);
        const details = bytes.toString("latin1");
        const error = Object.assign(new Error("14 UNAVAILABLE"), { code: 14, details, metadata });
        const received = fromServiceError(error, "10.0.0.1:7400");
        check(isBerthError(received), "each status has a code");
        for (const value of Object.values(received.details))
          check(typeof value === "string", "details are texts");
      }
    },
  },
];

function isWithinLimits(request: SessionRequest): boolean {
  try {
    requireWithinLimits("h1", request);
    return true;
  } catch (error) {
    if (isTypedError(error)) return false;
    throw error;
  }
}

async function handleSessionRequest(request: SessionRequest): Promise<void> {
  const { message } = request;
  switch (message?.$case) {
    case "hello": {
      const { signal } = new AbortController();
      const hello = await readHello(streamOf([request]), new ManualClock(), signal).catch((error) => {
        if (!isTypedError(error)) throw error;
        return undefined;
      });
      const { nodeId, description } = hello ?? {};
      if (nodeId === undefined || description === undefined || descriptionProblem(description) !== undefined)
        return;
      const state = new ClusterState();
      for (const change of registrationChanges({ nodeId, description }, state, 1)) {
        const value = encodeValue(change) ?? "";
        const entry = { key: `${ROOT}nodes/${nodeId}`, value, createRevision: 1n, modRevision: 1n };
        checkEqual(
          decodeEntry(entry),
          { kind: "put", put: change },
          "a registered node can be read from etcd",
        );
        state.apply([{ change, revision: 1n }]);
      }
      return;
    }
    case "statuses":
      for (const { status, removed } of message.value.tasks) {
        const leases = { leaseIn: () => undefined, staticAddress: () => undefined };
        const checked = status && checkReportedStatus(status, leases).status;
        const report = { nodeId: "h1", status: checked, removed };
        const transition = applyReport(TASK, report, 1);
        if (transition.kind === "updated")
          check(transition.task.id === TASK.id, "a report changes its own task");
      }
      return;
    case "usage": {
      const samples = new UsageSamples({ findTask: () => TASK, monotonicMs: () => 1 });
      samples.recordReport("h1", message.value);
      const usage = samples.usageOf([TASK], {
        serviceId: TASK.serviceId,
        cpuShare: 1,
        nodeIds: ["h1"],
        wallClockMs: 1_000_000,
      });
      for (const percent of usage.cpuPercents) check(percent >= 0, "usage is not negative");
      check((usage.connections ?? 0) >= 0, "connections are not negative");
      return;
    }
    case "description":
      return void descriptionProblem(message.value);
    default:
  }
}

/** Checks that a valid spec can be stored, scheduled and converted to a container. */
function checkAcceptedSpec(spec: ServiceSpec): void {
  const change = { kind: "put-revision", serviceId: "s1", version: 1, spec } as const;
  const key = `${ROOT}revisions/s1/000000000001`;
  const entry = { key, value: encodeValue(change) ?? "", createRevision: 1n, modRevision: 1n };
  checkEqual(decodeEntry(entry), { kind: "put", put: change }, "an accepted spec can be read from etcd");
  const node = buildNode({ id: "h1" });
  const service = buildService({ spec, version: 1 });
  reconcile(buildSnapshot({ service, spec, tasks: [] }), buildCluster([node]), buildContext());
  const container = spec.task?.container;
  if (container === undefined) return;
  const assigned = { serviceId: "s1", version: 1, task: spec.task, ports: spec.ports };
  const [task] = ASSIGNMENTS.tasks;
  if (task === undefined) return;
  const networks = networksView([], new Map());
  const files = { contents: new Map(), directory: filesDirectory, shippedDirectory: "/shipped" };
  containerConfig({ task, spec: assigned, container, node: NODE, networks, files, owners: [] });
}
