import { Welcome } from "@berth/proto";
import type { Clock } from "../../runtime/clock.js";
import { type AgentCommand, Session, type SessionOptions } from "../session.js";
import { NO_ASSIGNMENTS } from "./no-assignments.js";

/** The session of node `n1`, which has no tasks. Records the commands for the agent instead of sending them. */
export class RecordingSession extends Session {
  readonly commands: AgentCommand[] = [];

  constructor(clock: Clock, options: Pick<SessionOptions, "resolvesImages"> = {}) {
    super({
      nodeId: "n1",
      bootId: "boot",
      peer: "peer",
      welcome: Welcome.fromPartial({ epoch: 1, heartbeatMs: 500 }),
      clock,
      source: NO_ASSIGNMENTS,
      tableVersion: () => 1,
      ...options,
    });
  }

  override send(command: AgentCommand): boolean {
    this.commands.push(command);
    return true;
  }
}
