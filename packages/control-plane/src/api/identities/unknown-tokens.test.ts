import { describe, expect, it } from "vitest";
import { MAX_UNKNOWN_TOKENS, UnknownTokens } from "./unknown-tokens.js";

const tooMany = expect.objectContaining({ code: "BERTH_LIMIT_EXCEEDED" });

function exhausted(client: string): UnknownTokens {
  const tokens = new UnknownTokens();
  for (let count = 0; count < MAX_UNKNOWN_TOKENS; count += 1) {
    tokens.requireAllowed(client, count);
    tokens.add(client, count);
  }
  return tokens;
}

describe("join-pin: UnknownTokens", () => {
  it("refuses a source, whatever its port, until a minute after its first unknown token", () => {
    const tokens = exhausted("10.0.0.9:1");
    expect(() => tokens.requireAllowed("10.0.0.9:2", 59_999)).toThrow(tooMany);
    tokens.requireAllowed("10.0.0.9:2", 60_000);
    tokens.add("10.0.0.9:2", 60_000);
    tokens.requireAllowed("10.0.0.9:3", 60_000);
  });

  it("counts all addresses of an IPv6 network as one source", () => {
    const tokens = exhausted("[2001:db8::1]:1");
    expect(() => tokens.requireAllowed("[2001:db8::2]:1", 100)).toThrow(tooMany);
    tokens.requireAllowed("[2001:db8:0:1::1]:1", 100);
  });

  it("leaves other sources alone, and forgets the source that has been quiet for longest", () => {
    const tokens = exhausted("10.0.0.9:1");
    tokens.requireAllowed("10.0.0.10:1", 100);
    for (let index = 0; index < 4_095; index += 1) tokens.add(`10.1.${index >> 8}.${index & 255}:1`, 100);
    expect(() => tokens.requireAllowed("10.0.0.9:1", 100)).toThrow(tooMany);
    tokens.add("10.2.0.1:1", 100);
    tokens.requireAllowed("10.0.0.9:1", 100);
  });
});
