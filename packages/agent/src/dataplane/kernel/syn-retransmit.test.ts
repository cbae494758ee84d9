import { describe, expect, it } from "vitest";
import type { RunProgram } from "../../runtime/run-program.js";
import { parseUnanswered, requestSynRetransmits } from "./syn-retransmit.js";

const REPLY = "src=10.0.0.2 dst=10.0.0.1 sport=32768 dport=41254 mark=2097152 use=1";
const CLIENT = { client: "10.0.0.9", clientPort: 41_254, address: "10.0.0.1", port: 80 };

describe("parseUnanswered()", () => {
  it("finds each client of an unanswered TCP connection once", () => {
    const list = [
      `tcp      6 0 SYN_SENT src=10.0.0.9 dst=10.0.0.1 sport=41254 dport=80 [UNREPLIED] ${REPLY}`,
      `tcp      6 0 SYN_SENT src=10.0.0.9 dst=10.0.0.1 sport=41254 dport=80 [UNREPLIED] ${REPLY}`,
      `tcp      6 431999 ESTABLISHED src=10.0.0.9 dst=10.0.0.1 sport=41255 dport=80 ${REPLY} [ASSURED]`,
      `udp      17 29 src=10.0.0.9 dst=10.0.0.1 sport=41256 dport=53 [UNREPLIED] ${REPLY}`,
      "",
    ].join("\n");
    expect(parseUnanswered(list)).toEqual([CLIENT]);
  });

  it("returns at most 512 clients", () => {
    const line = (port: number): string =>
      `tcp      6 0 SYN_SENT src=10.0.0.9 dst=10.0.0.1 sport=${port} dport=80 [UNREPLIED] ${REPLY}`;
    const list = Array.from({ length: 2_000 }, (_, index) => line(20_000 + index)).join("\n");
    expect(parseUnanswered(list)).toHaveLength(512);
  });
});

describe("requestSynRetransmits()", () => {
  it("sends each challenge ACK three times, because a packet may be lost", async () => {
    const sent: string[] = [];
    const scripts: string[] = [];
    const run: RunProgram = async (_program, { input = "" }) => {
      scripts.push(input);
      return { kind: "done", stdout: "" };
    };
    const sendSyn = (host: string, port: number): void => void sent.push(`${host} ${port}`);
    await requestSynRetransmits([CLIENT], {
      table: "ip berth",
      clientSet: "again",
      signal: new AbortController().signal,
      run,
      sendSyn,
    });
    expect(sent).toEqual(Array.from({ length: 3 }, () => "10.0.0.9 41254"));
    expect(scripts).toEqual([
      "add element ip berth challenge-ack-addresses { 10.0.0.9 . 41254 : 10.0.0.1 }\n" +
        "add element ip berth challenge-ack-ports { 10.0.0.9 . 41254 : 80 }\n" +
        "add element ip berth again { 10.0.0.9 . 41254 . 10.0.0.1 . 80 }\n",
    ]);
  });

  it("sends nothing when nft rejects the clients", async () => {
    const run: RunProgram = async () => ({ kind: "failed", reason: "no such table" });
    const sendSyn = (): never => {
      throw new Error("sent");
    };
    await requestSynRetransmits([CLIENT], {
      table: "ip berth",
      signal: new AbortController().signal,
      run,
      sendSyn,
    });
  });
});
