import { type Authorities, assertNever } from "@berth/proto";
import type { NodeImages } from "../images/node-images.js";
import type { ProbeResponder } from "../node/probe/probe-responder.js";
import type { UsageMeter } from "../node/usage/usage-meter.js";
import type { ExecRelay } from "../streams/exec-relay.js";
import type { LogRelay } from "../streams/log-relay.js";
import type { LoginChecker } from "../streams/login-checker.js";
import type { StatsRelay } from "../streams/stats-relay.js";
import type { TrafficReporter } from "../streams/traffic-report.js";
import type { VolumeResponder } from "../streams/volume-responder.js";
import type { ImageDigestResponder } from "../tasks/image-digest-responder.js";
import type { AssignmentReceiver } from "./assignment-receiver.js";
import type { Fence } from "./fence.js";
import type { Reply, SendQueue } from "./send-queue.js";
import type { ActiveSession, LeaderMessage, SessionHandler } from "./session.js";

export interface LeaderMessageHandlerOptions {
  readonly assignments: AssignmentReceiver;
  readonly queue: SendQueue;
  readonly fence: Fence;
  readonly logs: LogRelay;
  readonly execs: ExecRelay;
  readonly stats: StatsRelay;
  readonly usage: Pick<UsageMeter, "watch" | "stop">;
  readonly probing: ProbeResponder;
  readonly traffic: TrafficReporter;
  readonly logins: LoginChecker;
  readonly imageDigests: ImageDigestResponder;
  readonly volumes: VolumeResponder;
  /** Undefined where nodes do not transfer images, as in the simulation. */
  readonly images: NodeImages | undefined;
  readonly onAuthorities: (message: Authorities) => void;
}

/** Dispatches each message of the leader session to the part of the agent that handles it. */
export class LeaderMessageHandler implements SessionHandler {
  readonly #options: LeaderMessageHandlerOptions;

  constructor(options: LeaderMessageHandlerOptions) {
    this.#options = options;
  }

  handle(message: LeaderMessage, session: ActiveSession): void | Promise<void> {
    const { assignments, queue, fence, logs, execs, stats, usage, probing, traffic, logins, images } =
      this.#options;
    switch (message.$case) {
      case "welcome":
        return assignments.onWelcome(message.value).then(() => {
          fence.recordAck(session.startedMs);
          session.join(message.value);
          this.#options.images?.setLeader(session.calls);
        });
      case "assignments":
        session.requireWelcome();
        assignments.onAssignments(message.value);
        if (message.value.ackRequested) session.reply(this.#tablesApplied(message.value.resultsIn));
        if (fence.needsAck) session.sendHeartbeat();
        return;
      case "servers":
        session.requireWelcome();
        return assignments.onServers(message.value);
      case "statusesAck":
        return queue.acknowledgeStatuses(message.value.batch);
      case "heartbeatAck":
        return fence.recordAck(message.value.number);
      case "heartbeatInterval":
        return session.setHeartbeatInterval(message.value.heartbeatMs);
      case "startLogs":
        return logs.start(session.calls, message.value);
      case "stopLogs":
        return logs.stop(message.value.requestId);
      case "startExec":
        return execs.start(session.calls, message.value);
      case "stopExec":
        return execs.stop(message.value.requestId);
      case "startStats":
        return stats.start(session.calls, message.value);
      case "stopStats":
        return stats.stop(message.value.requestId);
      case "measureUsage":
        return usage.watch(message.value);
      case "probe":
        return session.reply(
          probing.answer(message.value).then((value) => value && { $case: "probeResult", value }),
        );
      case "authorities":
        return this.#options.onAuthorities(message.value);
      case "trafficRequest":
        return session.reply(
          traffic.answer(message.value).then((value) => value && { $case: "traffic", value }),
        );
      case "checkRegistryLogin":
        return session.reply(
          logins.answer(message.value).then((value) => ({ $case: "registryLoginChecked", value })),
        );
      case "imageDigestRequest":
        return session.reply(
          this.#options.imageDigests
            .answer(message.value)
            .then((value) => value && { $case: "imageDigest", value }),
        );
      case "volumeRequest":
        return session.reply(
          this.#options.volumes
            .answer(message.value)
            .then((value) => value && { $case: "volumeReply", value }),
        );
      case "imageQuery":
        if (images === undefined) return;
        return session.reply(
          images.inventory.answer(message.value).then((value) => ({ $case: "imageInventory", value })),
        );
      case "removeImages":
        if (images === undefined) return;
        return session.reply(
          images.inventory.remove(message.value).then((value) => ({ $case: "imagesRemoved", value })),
        );
      case "fetchImage":
        if (images === undefined) return;
        return session.reply(
          images.prefetch(message.value).then((value) => ({ $case: "imageFetched", value })),
        );
      case "startImageUpload":
        return images?.uploads.start(session.calls, message.value);
      case "stopImageUpload":
        return images?.uploads.stop(message.value.requestId);
      default:
        return assertNever(message);
    }
  }

  onSessionEnd(): void {
    this.#options.assignments.onSessionEnd();
  }

  /** Stops the streams of the leader, except logs: a reader that reconnects continues them through the next leader. */
  onConnectionEnd(): void {
    const { execs, stats, usage, images } = this.#options;
    images?.setLeader(undefined);
    images?.uploads.stopAll();
    execs.stopAll();
    stats.stopAll();
    usage.stop();
  }

  async #tablesApplied(sequence: number): Promise<Reply | undefined> {
    const areApplied = await this.#options.assignments.whenTablesApplied(sequence);
    return areApplied ? { $case: "tablesApplied", value: { sequence } } : undefined;
  }
}
