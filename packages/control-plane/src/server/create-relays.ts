import { NodeState, type RegistryLoginChecked, type VolumeReply } from "@berth/proto";
import { AgentReplies } from "../dispatcher/relays/agent-replies.js";
import { ExecRelay } from "../dispatcher/relays/exec-relay.js";
import { ImageInventories } from "../dispatcher/relays/image-inventories.js";
import { ImageResolver } from "../dispatcher/relays/image-resolver.js";
import { ImageUploadRelay } from "../dispatcher/relays/image-upload-relay.js";
import { LogRelay } from "../dispatcher/relays/log-relay.js";
import { StatsRelay } from "../dispatcher/relays/stats-relay.js";
import { TrafficCollector } from "../dispatcher/relays/traffic-collector.js";
import type { Session } from "../dispatcher/session.js";
import type { SessionRegistry } from "../dispatcher/session-registry.js";
import type { TermContext } from "./term-context.js";

/** The relays between the calls of clients and the agents. They serve one term. */
export interface Relays {
  readonly logs: LogRelay;
  readonly execs: ExecRelay;
  readonly stats: StatsRelay;
  readonly imageResolver: ImageResolver;
  readonly imageInventories: ImageInventories;
  readonly imageUploads: ImageUploadRelay;
  readonly trafficCollector: TrafficCollector;
  readonly loginChecks: AgentReplies<RegistryLoginChecked>;
  readonly volumes: AgentReplies<VolumeReply>;
}

export function createRelays({ state, runtime, signal }: TermContext, sessions: SessionRegistry): Relays {
  const connected = { runtime, sessionOf: (nodeId: string) => sessions.get(nodeId) };
  // The session of a dead host can stay open for minutes, so requests to down nodes fail at once.
  const sessionOf = (nodeId: string): Session | undefined =>
    state.nodes.get(nodeId)?.state === NodeState.READY ? sessions.get(nodeId) : undefined;
  const ready = { runtime, sessionOf };
  const nodeIds = (): Iterable<string> => [...sessions.all()].map(({ nodeId }) => nodeId);
  const logs = new LogRelay(ready);
  const execs = new ExecRelay(ready);
  const imageUploads = new ImageUploadRelay(ready);
  state.onChange(({ nodes }) => {
    for (const [nodeId, { after }] of nodes) {
      if (after?.state === NodeState.READY) continue;
      logs.onNodeDown(nodeId);
      execs.onNodeDown(nodeId);
      imageUploads.onNodeDown(nodeId);
    }
  });
  return {
    logs,
    execs,
    stats: new StatsRelay({ ...ready, signal }),
    imageResolver: new ImageResolver(ready),
    imageInventories: new ImageInventories({ ...ready, nodeIds }),
    imageUploads,
    trafficCollector: new TrafficCollector(connected),
    loginChecks: new AgentReplies(connected),
    volumes: new AgentReplies(connected),
  };
}
