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
const path: DataPath = { kernel: true, reason: "the kernel can do it" };

/** What the watch finds first. */
function firstFinding(condition: () => Promise<IngressStatus>): Promise<readonly string[]> {
  const over = new AbortController();
  return new Promise((resolve) => {
    const onProblems = (problems: readonly string[]): void => {
      over.abort();
      resolve(problems);
    };
    void watchIngress({ condition, onProblems, onPath: (found) => paths.push(found), signal: over.signal });
  });
}

test("watchIngress finds ports that do not answer, in the words of the ingress process", async () => {
  expect(await firstFinding(async () => ({ errors: [taken], dnsProblems: [], path }))).toEqual([
    "cannot publish 80/tcp",
  ]);
  expect(await firstFinding(async () => ({ errors: [], dnsProblems: [], path }))).toEqual([]);
  expect(paths).toEqual([path, path]);
});

test("watchIngress finds addresses at which names are not answered", async () => {
  const condition = async () => ({ errors: [], dnsProblems: ["port 53 is taken"], path });
  expect(await firstFinding(condition)).toEqual(["port 53 is taken"]);
});

test("watchIngress finds that connections have to wait", async () => {
  const condition = async () => ({ errors: [], dnsProblems: [], fdProblem: "no more files", path });
  expect(await firstFinding(condition)).toEqual(["no more files"]);
});

test("watchIngress takes a process that does not answer for a problem", async () => {
  const found = await firstFinding(() => Promise.reject(new Error("gone")));
  expect(found).toEqual([expect.stringMatching(/ingress process is in trouble: gone/)]);
});
