import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { assignDataDir, commandAs, type IngressUser } from "../dataplane/ingress-privileges.js";
import { type IngressProgram, spawnAdoptingSuccessor } from "../dataplane/spawn-ingress.js";
import { type IngressSession, isRejection } from "./ingress-session.js";

/**
 * Timeout until the predecessor has started the process that holds the channel. It takes milliseconds, or seconds on a
 * busy host.
 */
const HOLDER_TIMEOUT_MS = 5_000;
const HOLDER_POLL_MS = 5;
/** Lifetime of the process that holds the channel. Longer than a handover takes: see HANDOVER_TIMEOUT_MS. */
const HOLD_S = 60;

export interface HandoverRequest {
  readonly dataDir: string;
  /** The successor. */
  readonly program: IngressProgram;
  /** The user of the successor. Undefined if it keeps the user of the predecessor. */
  readonly user: IngressUser | undefined;
  /** User ID of the predecessor. */
  readonly currentUid: number;
}

/**
 * Makes an ingress process, possibly of another release, hand over its sockets to a successor. Resolves when the
 * successor serves.
 *
 * The predecessor starts the successor, which inherits the predecessor's user. As root, the predecessor starts the
 * successor through `setpriv`. A predecessor with an unprivileged user cannot start a process of another user, so the
 * agent starts the successor.
 *
 * @throws BerthError BERTH_INGRESS_FAILED if the predecessor rejects the request and continues
 */
export async function requestHandover(session: IngressSession, request: HandoverRequest): Promise<void> {
  const { dataDir, program, user, currentUid } = request;
  if (user === undefined || user.uid === currentUid) return handOverTo(session, program);
  if (user.uid !== 0) assignDataDir(dataDir, user);
  if (currentUid === 0) {
    const command = commandAs(user, [program.executable, program.entryPath]);
    await handOverTo(session, envProgram(["--chdir", dataDir, ...command], program.args));
  } else {
    await handOverByAdoption(session, { ...request, user });
  }
  if (user.uid === 0) assignDataDir(dataDir, user);
}

async function handOverTo(session: IngressSession, program: IngressProgram): Promise<void> {
  const value = { ...program, args: [...program.args] };
  await session.request({ $case: "handOver", value }, "done");
}

/** Lets the predecessor start a process that only holds the channel, and starts the successor with that channel. */
async function handOverByAdoption(
  session: IngressSession,
  { dataDir, program, user }: HandoverRequest & { readonly user: IngressUser },
): Promise<void> {
  const holder = new ChannelHolder();
  const adopting = new AbortController();
  const successor = holder.find(session.hello.processId, adopting.signal).then((holderId) => {
    const child = spawnAdoptingSuccessor(dataDir, program, { user, holderId });
    // The predecessor takes the end of the holder for the end of its successor, and continues.
    child.once("error", holder.kill).once("exit", holder.kill);
    child.unref();
    return child;
  });
  successor.catch(holder.kill);
  try {
    await handOverTo(session, holder.program);
    (await successor).off("exit", holder.kill);
  } catch (error) {
    adopting.abort();
    // After a lost reply, the successor may serve. Otherwise it exits by itself.
    if (isRejection(error)) await successor.then((child) => child.kill("SIGKILL")).catch(() => {});
    throw error;
  } finally {
    holder.kill();
  }
}

/** A process that a predecessor starts in place of its successor. It only keeps the channel open. */
class ChannelHolder {
  /** An argument of the process, which identifies it. */
  readonly #name = randomUUID();
  #processId: number | undefined;
  readonly program = envProgram(["perl", "-e", `sleep ${HOLD_S}`, this.#name], []);

  /**
   * Returns the ID of the process once the predecessor has started it. Rejects after 5 s, and when the signal is
   * aborted.
   */
  async find(predecessorId: number, signal: AbortSignal): Promise<number> {
    const endMs = performance.now() + HOLDER_TIMEOUT_MS;
    while (performance.now() < endMs) {
      for (const processId of await childrenOf(predecessorId)) {
        if (!this.#isRunningAs(processId)) continue;
        this.#processId = processId;
        return processId;
      }
      await sleep(HOLDER_POLL_MS, undefined, { signal });
    }
    throw new Error(`ingress process ${predecessorId} has not started the holder of its channel`);
  }

  /** Ends the process if it is still running. */
  readonly kill = (): void => {
    const processId = this.#processId;
    if (processId !== undefined && this.#isRunningAs(processId)) process.kill(processId, "SIGKILL");
  };

  #isRunningAs(processId: number): boolean {
    try {
      return readFileSync(`/proc/${processId}/cmdline`, "utf8").includes(this.#name);
    } catch {
      return false;
    }
  }
}

async function childrenOf(processId: number): Promise<readonly number[]> {
  const tasks = await readdir(`/proc/${processId}/task`).catch(() => []);
  const lists = tasks.map((task) =>
    readFile(`/proc/${processId}/task/${task}/children`, "utf8").catch(() => ""),
  );
  return (await Promise.all(lists)).join(" ").split(" ").filter(Boolean).map(Number);
}

/**
 * Returns a program that runs a command with the arguments of an ingress process. The predecessor appends these to two
 * arguments, so `env -S` gets the whole command as one.
 */
function envProgram(command: readonly string[], args: readonly string[]): IngressProgram {
  // In single quotes, env(1) interprets only these two characters.
  const quoted = command.map((word) => `'${word.replace(/[\\']/g, "\\$&")}'`);
  return { executable: "env", entryPath: `-S${quoted.join(" ")}`, args };
}
