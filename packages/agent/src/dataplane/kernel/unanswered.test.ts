import { describe, expect, it } from "vitest";
import { parseUnanswered } from "./unanswered.js";

const REST = "src=10.0.0.2 dst=10.0.0.1 sport=32768 dport=41254 mark=2097152 use=1";

describe("clients that nobody has answered", () => {
  it("finds them in conntrack's list, each port once, and nobody whose connection stands", () => {
    const list = [
      `tcp      6 0 SYN_SENT src=10.0.0.9 dst=10.0.0.1 sport=41254 dport=80 [UNREPLIED] ${REST}`,
      `tcp      6 0 SYN_SENT src=10.0.0.9 dst=10.0.0.1 sport=41254 dport=80 [UNREPLIED] ${REST}`,
      `tcp      6 431999 ESTABLISHED src=10.0.0.9 dst=10.0.0.1 sport=41255 dport=80 ${REST} [ASSURED]`,
      `udp      17 29 src=10.0.0.9 dst=10.0.0.1 sport=41256 dport=53 [UNREPLIED] ${REST}`,
      "",
    ].join("\n");
    expect(parseUnanswered(list)).toEqual([
      { client: "10.0.0.9", clientPort: 41_254, address: "10.0.0.1", port: 80 },
    ]);
  });

  it("stops at a bound", () => {
    const line = (port: number): string =>
      `tcp      6 0 SYN_SENT src=10.0.0.9 dst=10.0.0.1 sport=${port} dport=80 [UNREPLIED] ${REST}`;
    const list = Array.from({ length: 2_000 }, (_, index) => line(20_000 + index)).join("\n");
    expect(parseUnanswered(list)).toHaveLength(512);
  });
});
