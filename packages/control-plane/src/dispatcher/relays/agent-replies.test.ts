import { describe, expect, it } from "vitest";
import { ManualClock } from "../../testing/manual-clock.js";
import type { AgentCommand, Session } from "../session.js";
import { AgentReplies } from "./agent-replies.js";

const { signal } = new AbortController();
const UNREACHABLE = { code: "BERTH_NODE_UNREACHABLE" };

function repliesOf(nodeId: string, { reads = true } = {}) {
  const clock = new ManualClock();
  const commands: AgentCommand[] = [];
  const send = (command: AgentCommand): boolean => {
    commands.push(command);
    return reads;
  };
  let endSession = (): void => {};
  const onEnd = (listener: () => void) => {
    endSession = listener;
    return () => {};
  };
  const sessionOf = (id: string): Session | undefined =>
    id === nodeId ? ({ isEnded: false, send, onEnd } as unknown as Session) : undefined;
  const runtime = { clock, wallClockMs: () => 0, random: () => 0, newId: () => `r${commands.length}` };
  const replies = new AgentReplies<string>({ runtime, sessionOf });
  const ask = (target = nodeId, within = signal): Promise<string> => {
    const command = (requestId: string) =>
      ({ $case: "checkRegistryLogin", value: { requestId, credentials: undefined } }) as const;
    return replies.request({ nodeId: target, command, timeoutMs: 1_000 }, within);
  };
  return { clock, commands, replies, ask, endSession: () => endSession() };
}

describe("AgentReplies", () => {
  it("returns the reply of the node to its own request", async () => {
    const { replies, commands, ask } = repliesOf("a");
    const [first, second] = [ask(), ask()];
    expect(commands.map(({ value }) => value)).toEqual([{ requestId: "r0" }, { requestId: "r1" }]);
    replies.record("b", "r0", "from another node");
    replies.record("a", "r9", "unrequested");
    replies.record("a", "r1", "second");
    replies.record("a", "r0", "first");
    replies.record("a", "r0", "repeated");
    expect(await Promise.all([first, second])).toEqual(["first", "second"]);
  });

  it("fails when the node is not connected, reads no commands or does not reply in time", async () => {
    await expect(repliesOf("a").ask("b")).rejects.toMatchObject(UNREACHABLE);
    await expect(repliesOf("a", { reads: false }).ask()).rejects.toMatchObject(UNREACHABLE);
    const { clock, ask } = repliesOf("a");
    const late = ask();
    const failure = expect(late).rejects.toThrow("its agent did not reply within 1 s");
    await clock.advance(1_000);
    await failure;
  });

  it("fails at once when the session of the agent ends", async () => {
    const { ask, endSession } = repliesOf("a");
    const pending = ask();
    endSession();
    await expect(pending).rejects.toThrow("the connection to its agent was lost");
  });

  it("ends with the call", async () => {
    const { ask } = repliesOf("a");
    const caller = new AbortController();
    const asked = ask("a", caller.signal);
    caller.abort(new Error("the caller has left"));
    await expect(asked).rejects.toMatchObject(UNREACHABLE);
    await expect(ask("a", caller.signal)).rejects.toThrow("the caller has left");
  });
});
