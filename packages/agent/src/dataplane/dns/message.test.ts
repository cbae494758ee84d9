import { decode } from "dns-packet";
import { expect, it } from "vitest";
import { type Request, replyTo } from "./message.js";

const request: Request = {
  id: 7,
  flags: 0,
  maxUdpBytes: 512,
  hasEdns: false,
  question: { type: "A", name: "many" },
};

it("replyTo() fills a truncated reply with as many records as the limit allows", () => {
  for (let labelLength = 1; labelLength <= 63; labelLength += 1) {
    // With long names the question takes more room, and a compressed name less.
    const name = `${"a".repeat(labelLength)}.example`;
    const addresses = Array.from({ length: 200 }, (_, at) => `10.64.8.${at}`);
    const reply = replyTo(
      { ...request, question: { type: "A", name } },
      { kind: "addresses", ttlS: 1, addresses },
      { isOverTcp: false },
    );
    const { flag_tc: isCut, answers = [] } = decode(reply);
    expect(isCut).toBe(true);
    expect(reply.length).toBeLessThanOrEqual(512);
    // One more record would not fit.
    const recordBytes = replyTo(
      { ...request, maxUdpBytes: 10_000, question: { type: "A", name } },
      { kind: "addresses", ttlS: 1, addresses: addresses.slice(0, answers.length + 1) },
      { isOverTcp: true },
    ).length;
    expect(recordBytes).toBeGreaterThan(512);
  }
});
