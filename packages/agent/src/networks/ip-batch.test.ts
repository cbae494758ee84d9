import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { parseBridgePorts } from "../core/networks/observed-state.js";
import { IpBatch } from "./ip-batch.js";

const { signal } = new AbortController();

/** Answers each line with a JSON list of the line and the number of the process's start. */
const ECHO =
  'while read -r line; do [ "$line" = die ] && exit; [ "$line" = quiet ] || echo "[\\"$line\\", $$]"; done';

function batchOf(...command: readonly [string, ...string[]]): IpBatch {
  const batch = new IpBatch({ command: () => command });
  onTestFinished(() => batch.close());
  return batch;
}

describe("IpBatch", () => {
  it("answers queries in order from one process", async () => {
    const batch = batchOf("sh", "-c", ECHO);
    const answers = await Promise.all(["a", "b", "c"].map((command) => batch.query(command, signal)));
    expect(answers.map((answer) => (answer as string[])[0])).toEqual(["a", "b", "c"]);
    expect(new Set(answers.map((answer) => (answer as string[])[1])).size).toBe(1);
  });

  it("rejects a query when the process ends, and starts another one for the next", async () => {
    const batch = batchOf("sh", "-c", ECHO);
    const [, firstPid] = (await batch.query("a", signal)) as [string, number];
    await expect(batch.query("die", signal)).rejects.toThrow("sh -batch has ended");
    const [answer, secondPid] = (await batch.query("b", signal)) as [string, number];
    expect([answer, secondPid !== firstPid]).toEqual(["b", true]);
  });

  it("rejects a query without an answer when its signal fires, and does not confuse later answers", async () => {
    const batch = batchOf("sh", "-c", ECHO);
    const stopping = new AbortController();
    const silent = batch.query("quiet", stopping.signal);
    const next = batch.query("b", signal);
    await sleep(10);
    stopping.abort(new Error("stopping"));
    await expect(silent).rejects.toThrow("stopping");
    expect(((await next) as string[])[0]).toBe("b");
  });

  it("rejects when the program is missing or prints no JSON", async () => {
    await expect(batchOf("berth-no-such-program").query("a", signal)).rejects.toThrow(
      "berth-no-such-program is not installed",
    );
    await expect(batchOf("sh", "-c", "read x; echo no").query("a", signal)).rejects.toThrow(
      "ip a: the output is not JSON: no",
    );
  });

  it.skipIf(process.getuid?.() !== 0)(
    "sets hairpin mode in the kernel and continues after a failure",
    async () => {
      const setUp =
        "ip link add br9 type bridge; ip link add v1 type veth peer name v2; ip link set v1 master br9";
      const batch = batchOf("unshare", "--net", "sh", "-ec", `${setUp}; exec ip "$@"`, "sh");
      const hairpin = async (): Promise<boolean | undefined> => {
        const ports = parseBridgePorts(await batch.query("link show type bridge_slave", signal));
        return ports.find(({ name, master }) => name === "v1" && master === "br9")?.isHairpin;
      };
      expect(await hairpin()).toBe(false);
      batch.send([
        "link set dev gone type bridge_slave hairpin on",
        "link set dev v1 type bridge_slave hairpin on",
      ]);
      expect(await hairpin()).toBe(true);
    },
  );
});
