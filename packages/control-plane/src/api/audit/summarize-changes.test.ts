import { Availability, FileKind, FileVersion, Server, Server_State, type Service } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildNode, buildService, buildSpec } from "../../core/testing/records.js";
import type { Change } from "../../state/change.js";
import { ClusterState } from "../../state/cluster-state.js";
import { summarizeChanges } from "./summarize-changes.js";

function stateWith(...changes: readonly Change[]): ClusterState {
  const state = new ClusterState();
  state.apply(changes.map((change) => ({ change, revision: 1n })));
  return state;
}

function service(image: string, replicas: number, version = 1): Service {
  const task = { container: { image, env: ["PASSWORD=hunter2"] } };
  const mode = { $case: "replicated" as const, value: { replicas } };
  return buildService({ version, spec: { ...buildSpec({ task }), mode } });
}

describe("summarizeChanges", () => {
  it("shows the version, image and replicas of services, and no environment variables", () => {
    const state = stateWith({ kind: "put-service", service: service("app:1", 3) });
    const changes: readonly Change[] = [{ kind: "put-service", service: service("app:2", 5, 2) }];
    expect(summarizeChanges(changes, state)).toBe(
      "shop_web: version 1 -> 2, image app:1 -> app:2, replicas 3 -> 5",
    );
    expect(summarizeChanges(changes, new ClusterState())).toBe(
      "shop_web created: version 2, image app:2, replicas 5",
    );
    const removed = { ...service("app:1", 3), removing: true };
    expect(summarizeChanges([{ kind: "put-service", service: removed }], state)).toBe("shop_web removed");
  });

  it("shows the digests of an image whose tag has moved", () => {
    const withDigest = (digit: string, version: number): Service => {
      const container = { image: "app:1", imageDigest: `sha256:${digit.repeat(64)}` };
      return buildService({ version, spec: buildSpec({ task: { container } }) });
    };
    const state = stateWith({ kind: "put-service", service: withDigest("a", 1) });
    expect(summarizeChanges([{ kind: "put-service", service: withDigest("b", 2) }], state)).toBe(
      "shop_web: version 1 -> 2, digest sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb",
    );
  });

  it("shows the availability of nodes and the names of labels, but not their values", () => {
    const before = buildNode({ labels: { zone: "a", old: "1" } });
    const after = { ...before, availability: Availability.DRAIN, labels: { zone: "secret" } };
    const state = stateWith({ kind: "put-node", node: before });
    expect(summarizeChanges([{ kind: "put-node", node: after }], state)).toBe(
      "node n1: availability active -> drain, label zone set, label old removed",
    );
  });

  it("names the servers and nodes that were removed", () => {
    const description = { hostname: "host-1" };
    const state = stateWith({ kind: "put-node", node: buildNode({ id: "n1", description }) });
    const server = Server.fromPartial({ hostname: "server-2", state: Server_State.REMOVED });
    const changes: readonly Change[] = [
      { kind: "delete-node", nodeId: "n1" },
      { kind: "put-server", server },
    ];
    expect(summarizeChanges(changes, state)).toBe("node host-1 removed; server server-2 removed");
  });

  it("says that other fields changed when none of the shown ones did", () => {
    const state = stateWith({ kind: "put-service", service: service("app:1", 3) });
    const changes: readonly Change[] = [{ kind: "put-service", service: service("app:1", 3) }];
    expect(summarizeChanges(changes, state)).toBe("shop_web: other fields changed");
  });

  it("names secrets and their versions, but not their contents", () => {
    const file = FileVersion.fromPartial({
      id: "f1",
      kind: FileKind.SECRET,
      name: "shop_password",
      version: 2,
      labels: { a: "hunter2" },
      sealedContent: Buffer.from("hunter2"),
    });
    const changes: Change[] = [
      { kind: "put-file", file },
      { kind: "put-file", file: { ...file, removing: true } },
    ];
    expect(summarizeChanges(changes, new ClusterState())).toBe(
      "secret shop_password version 2; secret shop_password removed",
    );
  });

  it("counts the changes that do not fit", () => {
    const changes = Array.from({ length: 1_000 }, (_, i): Change => {
      const one = service("app:1", 1);
      return { kind: "put-service", service: { ...one, id: `s${i}`, removing: true } };
    });
    const text = summarizeChanges(changes, new ClusterState());
    expect(text.length).toBeLessThanOrEqual(400);
    expect(text).toMatch(/and \d+ more$/);
    expect(summarizeChanges([], new ClusterState())).toBe("no changes");
  });
});
