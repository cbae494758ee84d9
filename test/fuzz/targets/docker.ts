import { parseInspect, parseSummary } from "../../../packages/agent/src/core/docker/observed-container.js";
import { parseNetworks } from "../../../packages/agent/src/core/networks/docker-network.js";
import type { EngineClient } from "../../../packages/agent/src/engine/dockerode/client.js";
import { negotiateVersion, parseInfo } from "../../../packages/agent/src/engine/dockerode/daemon-info.js";
import { demux } from "../../../packages/agent/src/engine/dockerode/demux.js";
import { toEngineError } from "../../../packages/agent/src/engine/dockerode/errors.js";
import { parseEvent } from "../../../packages/agent/src/engine/dockerode/events.js";
import { logLines } from "../../../packages/agent/src/engine/dockerode/logs.js";
import { readNdjson } from "../../../packages/agent/src/engine/dockerode/ndjson.js";
import { pullImage } from "../../../packages/agent/src/engine/dockerode/pull.js";
import { EngineError } from "../../../packages/agent/src/engine/engine-error.js";
import { check, checkEqual, unlessRejected } from "../engine/expect.js";
import { chunksOf, collect, streamOf } from "../engine/stream-input.js";
import type { Target } from "../engine/target.js";
import { readFixtures } from "./fixtures.js";

const OWNER = {
  sign: <T>(config: T): T => config,
  taskIdOf: (labels: unknown): string => (labels === undefined ? "" : "t1"),
};
const taskIdOf = (): string => "t1";
const isEngineError = (error: unknown): boolean => error instanceof EngineError;
const isSyntaxError = (error: unknown): boolean => error instanceof SyntaxError;

/** Maximum length of a log line with its timestamp and the largest chunk. */
const MAX_LINE_BYTES = 64 * 1024 * 2;

const LISTINGS = JSON.stringify({
  Names: ["/shop_web.1.t1", "/other/alias"],
  Labels: { "berth.task.id": "t1", "berth.network.id": "n1", "berth.network.mtu": "1450" },
  State: "running",
  Status: "Up 5 minutes (healthy)",
  Version: "28.5.1",
  ApiVersion: "1.51",
  MinAPIVersion: "1.24",
  NCPU: 4,
  MemTotal: 8_589_934_592,
  SecurityOptions: ["name=rootless"],
});
const EVENTS = [
  { Action: "health_status: healthy", Actor: { ID: "c1", Attributes: { name: "a", "berth.task.id": "t1" } } },
  { Action: "kill", Actor: { ID: "c1", Attributes: { signal: "15" } } },
];
const PROGRESS = [
  { status: "Downloading", id: "a1", progressDetail: { current: 5, total: 10 } },
  { status: "Pull complete", id: "a1" },
  { error: "manifest unknown" },
];

export const DOCKER_TARGETS: readonly Target[] = [
  {
    name: "docker-inspect",
    format: "json",
    seeds: [...readFixtures("inspect"), LISTINGS],
    run: (bytes) => {
      const json = unlessRejected((): unknown => JSON.parse(bytes.toString()), isSyntaxError);
      const { ports, networks, exitCode, stopGraceMs, processId } = parseInspect(json, taskIdOf);
      for (const number of [exitCode, stopGraceMs, processId]) {
        check(Number.isFinite(number), "numbers of a container are finite");
      }
      for (const { target, hostPort } of ports) {
        check(isPort(target) && isPort(hostPort), "a published port is a port");
      }
      for (const { subnet = "" } of networks) {
        check(subnet === "" || /^(\d{1,3}\.){3}\d{1,3}\/\d{1,2}$/.test(subnet), "a subnet is an IPv4 subnet");
      }
      parseSummary(json, taskIdOf);
      for (const { mtu } of parseNetworks([json])) check(Number.isFinite(mtu), "an MTU is finite");
      const daemon = unlessRejected(() => negotiateVersion(json), isEngineError);
      if (daemon !== undefined) parseInfo(json, daemon);
    },
  },
  {
    name: "docker-events",
    seeds: [EVENTS.map((event) => `${JSON.stringify(event)}\n`).join("")],
    maxBytes: 64 * 1024,
    run: async (bytes) => {
      const whole = await collect(readNdjson(streamOf([bytes])));
      checkEqual(await collect(readNdjson(streamOf(chunksOf(bytes)))), whole, "chunks do not matter");
      for (const json of whole) parseEvent(json, OWNER);
    },
  },
  {
    name: "docker-pull",
    seeds: [PROGRESS.map((line) => `${JSON.stringify(line)}\n`).join("")],
    tokens: ['{"status":"Downloading"', '"progressDetail":{"total":1}', '"error":'],
    run: async (bytes) => {
      const client = { stream: async () => streamOf([bytes]) } as unknown as EngineClient;
      const onProgress = ({
        receivedBytes,
        totalBytes,
      }: {
        receivedBytes: number;
        totalBytes: number;
      }): void => {
        check(receivedBytes >= 0 && receivedBytes <= totalBytes, "progress is between nothing and all");
        check(Number.isSafeInteger(totalBytes), "the size fits into a message");
      };
      const { signal } = new AbortController();
      try {
        await pullImage(client, "nginx:1", { signal, platform: "", onProgress });
      } catch (error) {
        // A violated property looks like a lost connection.
        if (!isEngineError(error) || `${error}`.includes("property violated")) throw error;
      }
    },
  },
  {
    name: "docker-logs",
    seeds: [
      Buffer.concat([
        logFrame(1, "2026-01-02T03:04:05.678901234Z first\n2026-01-02T03:04:05Z sec"),
        logFrame(2, "2026-01-02T03:04:06.1+02:00 error\r\nno time\n"),
        logFrame(1, "ond\n"),
      ]),
    ],
    maxBytes: 64 * 1024,
    run: async (bytes) => {
      const whole = await collect(logLines(demux(streamOf([bytes]))));
      for (const { line, timeNs } of whole) {
        check(line.length <= Math.max(MAX_LINE_BYTES, bytes.length), "a line is bounded");
        check(/^\d{1,24}$/.test(timeNs), "a time is a number of nanoseconds");
      }
      const chunked = await collect(logLines(demux(streamOf(chunksOf(bytes)))));
      check(totalBytes(chunked) <= bytes.length && totalBytes(whole) <= bytes.length, "output is bounded");
    },
  },
  {
    name: "docker-error",
    seeds: [
      "(HTTP code 500) server error - driver failed programming external connectivity: port is already allocated",
      "(HTTP code 404) no such container - network shop_default not found",
      "iptables failed: iptables -t nat: No chain/target/match by that name",
    ],
    tokens: [
      "programming external connectivity",
      "ip6tables failed:",
      "could not process rule",
      "already exists",
    ],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      for (const statusCode of [0, 404, 500]) {
        const error = Object.assign(new Error(bytes.toString()), { statusCode });
        check(toEngineError(error, "/run/docker.sock") instanceof EngineError, "each error has a kind");
      }
    },
  },
];

function isPort(number: number): boolean {
  return Number.isInteger(number) && number >= 0 && number <= 65_535;
}

function logFrame(stream: number, text: string): Buffer {
  const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

function totalBytes(records: readonly { readonly line: Uint8Array }[]): number {
  return records.reduce((sum, { line }) => sum + line.length, 0);
}
