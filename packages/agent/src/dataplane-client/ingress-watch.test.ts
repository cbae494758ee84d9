import { expect, test } from "vitest";
import type { DataPath, IngressStatus, ListenerError } from "../dataplane/table/ingress-table.js";
import { watchIngress } from "./ingress-watch.js";

const taken: ListenerError = {
  protocol: "tcp",
  address: "",
  port: 80,
  service: "web",
  code: "EADDRINUSE",
  message: "cannot publish 80/tcp",
};

const paths: DataPath[] = [];
const path: DataPath = { kernel: true, reason: "supported by the kernel" };

/** Returns the problems that the watch reports first. */
function firstProblems(status: () => Promise<IngressStatus>): Promise<readonly string[]> {
  const over = new AbortController();
  return new Promise((resolve) => {
    const onProblems = (problems: readonly string[]): void => {
      over.abort();
      resolve(problems);
    };
    void watchIngress({ status, onProblems, onDataPath: (found) => paths.push(found), signal: over.signal });
  });
}

test("watchIngress reports ports that are not open", async () => {
  expect(await firstProblems(async () => ({ errors: [taken], dnsProblems: [], path }))).toEqual([
    "cannot publish 80/tcp",
  ]);
  expect(await firstProblems(async () => ({ errors: [], dnsProblems: [], path }))).toEqual([]);
  expect(paths).toEqual([path, path]);
});

test("watchIngress reports addresses at which the DNS server cannot answer", async () => {
  const status = async () => ({ errors: [], dnsProblems: ["port 53 is taken"], path });
  expect(await firstProblems(status)).toEqual(["port 53 is taken"]);
});

test("watchIngress reports that file descriptors are exhausted", async () => {
  const status = async () => ({ errors: [], dnsProblems: [], fdProblem: "no more files", path });
  expect(await firstProblems(status)).toEqual(["no more files"]);
});

test("watchIngress reports a process that does not respond", async () => {
  const found = await firstProblems(() => Promise.reject(new Error("gone")));
  expect(found).toEqual([expect.stringMatching(/ingress process: gone/)]);
});
