import { expect, test } from "vitest";
import {
  commonVersion,
  negotiateVersion,
  type ProtocolPeer,
  parseProtocolRange,
  parseRelease,
  protocolRange,
} from "./protocol.js";
import { PROTOCOL_VERSIONS } from "./version.js";

const peer = (program: string, oldest: number, newest: number): ProtocolPeer => ({
  program,
  release: `0.${newest}.0`,
  versions: { oldest, newest },
});

test("this release speaks its own protocol and the one before", () => {
  expect(PROTOCOL_VERSIONS.oldest).toBe(PROTOCOL_VERSIONS.newest - 1);
});

test("two programs use the newest protocol that both speak", () => {
  expect(negotiateVersion(peer("server", 2, 3), peer("agent", 1, 2))).toBe(2);
  expect(negotiateVersion(peer("server", 2, 3), peer("agent", 2, 3))).toBe(3);
  expect(negotiateVersion(peer("server", 2, 3), peer("agent", 3, 4))).toBe(3);
});

test("programs without a common protocol are refused with both versions and the program to upgrade", () => {
  expect(() => negotiateVersion(peer("server", 2, 3), peer("agent", 1, 1))).toThrow(
    "releases are too far apart: the agent (release 0.1.0) uses protocol 1, but the server (release 0.3.0) uses protocol 2 to 3; upgrade the agent, one release at a time",
  );
  expect(() => negotiateVersion(peer("server", 2, 3), peer("command line", 4, 5))).toThrow(
    "upgrade the server, one release at a time",
  );
});

test("a program that sends no version, or only one, speaks this version only", () => {
  expect(protocolRange(0, 0)).toEqual({ oldest: 1, newest: 1 });
  expect(protocolRange(1, 0)).toEqual({ oldest: 1, newest: 1 });
  expect(protocolRange(7, 2)).toEqual({ oldest: 7, newest: 7 });
  expect(parseProtocolRange(undefined)).toEqual({ oldest: 1, newest: 1 });
});

test.each(["", "1", "2-1", "0-1", "1-2-3", "1-", "-1-2", "1-9999999999", "1 - 2"])(
  "the malformed range %j is not accepted",
  (text) => expect(parseProtocolRange(text)).toBeUndefined(),
);

test("a release that could change what a terminal shows is left out", () => {
  expect(parseRelease("0.2.0-rc.1+abc")).toBe("0.2.0-rc.1+abc");
  expect(parseRelease("\u001b[31m0.2.0")).toBe("");
  expect(parseRelease("1".repeat(65))).toBe("");
});

test("commonVersion is the same for both sides", () => {
  expect(commonVersion({ oldest: 1, newest: 2 }, { oldest: 2, newest: 3 })).toBe(2);
  expect(commonVersion({ oldest: 2, newest: 3 }, { oldest: 1, newest: 2 })).toBe(2);
});
