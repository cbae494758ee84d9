import { compareVersions, credentialProblems } from "@berth/proto";
import { parseConfig } from "../../../packages/agent/src/config.js";
import {
  parseServerAddresses,
  socketPathOf,
  splitAddress,
} from "../../../packages/cli/src/client/addresses.js";
import {
  applyFlags,
  EDITS,
  hasFlags,
} from "../../../packages/cli/src/commands/service/update/apply-flags.js";
import { UPDATE_FLAGS } from "../../../packages/cli/src/commands/service/update/flags.js";
import { parseBytes, parseDurationMs, parseNanoCpus } from "../../../packages/cli/src/compose/text/units.js";
import { applyFilters, hasLabel } from "../../../packages/cli/src/options/filters.js";
import { parseLabels, parseTail, parseTimeMs } from "../../../packages/cli/src/options/parse-options.js";
import { styledTerminalText, terminalText } from "../../../packages/cli/src/output/terminal-text.js";
import {
  lookUpCredentials,
  parseDockerConfig,
  parseHelperOutput,
} from "../../../packages/cli/src/registry-auth/docker-config.js";
import { parseArguments } from "../../../packages/control-plane/src/config.js";
import { formatLabels } from "../../../packages/control-plane/src/http/metric-text.js";
import { check, checkEqual, unlessRejected } from "../engine/expect.js";
import type { Target } from "../engine/target.js";
import { SPEC } from "./samples.js";

const NOW_MS = Date.UTC(2026, 0, 1);
// biome-ignore lint/suspicious/noControlCharactersInRegex: the characters that control a terminal
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/;
/** Matches labels in Prometheus's text format, in which quotes, backslashes and newlines in values are escaped. */
const LABELS = /^\{name="(?:[^"\\\n]|\\["\\n])*"\}$/;

export const OPTION_TARGETS: readonly Target[] = [
  {
    name: "units",
    seeds: ["1m30s", "1.5h", "500ms", "2w", "512M", "1.5g", "64KiB", "0.5", "500m", "1.41"],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      const text = bytes.toString();
      for (const parse of [parseDurationMs, parseBytes, parseNanoCpus]) {
        const parsed = parse(text);
        if (parsed.kind === "value") {
          check(Number.isSafeInteger(parsed.value) && parsed.value >= 0, "a quantity is a whole number");
        }
      }
      compareVersions(text, "1.41");
    },
  },
  {
    name: "docker-config",
    format: "json",
    seeds: [
      '{"auths":{"ghcr.io":{"auth":"YTpi"},"https://index.docker.io/v1/":{"identitytoken":"t"}}}',
      '{"auths":{"docker.io":{"username":"ci","password":"pass"}},"credsStore":"desktop"}',
      '{"auths":{},"credHelpers":{"ghcr.io":"ecr-login"}}',
      '{"ServerURL":"ghcr.io","Username":"<token>","Secret":"t"}',
    ],
    run: (bytes) => {
      const text = bytes.toString();
      const config = unlessRejected(() => parseDockerConfig(text, "config.json"));
      for (const server of ["docker.io", "ghcr.io"]) {
        for (const source of [config && lookUpCredentials(server, config), parseHelperOutput(text, server)]) {
          if (source?.kind === "credentials") {
            check(source.credentials.server === server, "credentials belong to their registry");
            checkEqual(credentialProblems(source.credentials), [], "credentials are valid");
          }
          if (source?.kind === "helper") check(!/[/\s]/.test(source.name), "a helper is not a path");
        }
      }
    },
  },
  {
    name: "list-options",
    seeds: ["team=a", "2026-01-02T13:23:37Z", "42m", "1700000000.5", "all", "100", "state=running"],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      const text = bytes.toString();
      const labels = unlessRejected(() => parseLabels("--label", [text]));
      if (labels !== undefined) {
        const [key = ""] = text.split("=");
        check(Object.hasOwn(labels, key), "a label is not lost");
        check(hasLabel(labels, text.includes("=") ? text : key), "a filter finds the label");
      }
      const timeMs = unlessRejected(() => parseTimeMs(text, { option: "--since", nowMs: NOW_MS }));
      check(timeMs === undefined || Number.isSafeInteger(timeMs), "a time is a number of ms");
      unlessRejected(() => parseTail(text));
      unlessRejected(() =>
        applyFilters(["a"], [text], { state: { values: ["running"], matches: () => true } }),
      );
    },
  },
  {
    name: "update-flags",
    seeds: [
      "image=nginx:1.28",
      "args=a 'b c'",
      "env-add=C=3",
      "mount-add=type=volume,source=data,target=/data,readonly",
      "secret-add=source=key,target=k,uid=1,gid=2,mode=0400",
      "config-add=nginx_conf",
      "publish-add=published=8080,target=80,mode=host",
      "publish-add=8000-8010:80-90/tcp",
      "ulimit-add=nofile=1:2",
      "limit-memory=1g",
      "constraint-add=node.labels.a == b",
      "generic-resource-add=gpu=1",
      "host-add=db:10.0.0.1",
      "update-max-failure-ratio=0.5",
    ],
    tokens: [...Object.keys(UPDATE_FLAGS).map((name) => `${name}=`), "1-65535:1-65535", "__proto__=1"],
    maxBytes: 4_096,
    run: (bytes) => {
      const text = bytes.toString();
      const name = Object.keys(EDITS).find((flag) => text.startsWith(`${flag}=`));
      if (name === undefined) return;
      const property = name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
      const flags = { [property]: [text.slice(name.length + 1)] };
      if (hasFlags(flags)) unlessRejected(() => applyFlags(SPEC, flags));
    },
  },
  {
    name: "server-options",
    seeds: [
      "--listen\n0.0.0.0:7400\n--advertise\n10.0.0.1:7400",
      "--etcd\nhttp://10.0.0.5:2379/\n--network-pool\n10.64.0.0/10\n--network-prefix\n18",
      "--etcd\nhttps://10.0.0.5:2379,https://etcd:2379\n--etcd-ca\nca.pem\n--etcd-cert=cert.pem\n--etcd-key=key.pem",
      "--auto-rebalance=10m\n--network-flood-limit=10\n--log-level\nwarn\n--help",
    ],
    maxBytes: 4_096,
    run: (bytes) => void unlessRejected(() => parseArguments(bytes.toString().split("\n"), {})),
  },
  {
    name: "agent-options",
    seeds: [
      "--server\n10.0.0.1:7400,10.0.0.2:7400\n--advertise\n10.0.0.9\n--resource\ngpu=2\n--ingress\nkernel",
      "--advertise=::ffff:10.0.0.1\n--metrics\n127.0.0.1:9100\n--log-level=debug",
    ],
    maxBytes: 4_096,
    run: (bytes) => {
      const parsed = parseConfig(bytes.toString().split("\n"), {});
      if (parsed.kind !== "config") return;
      for (const count of Object.values(parsed.config.resources)) {
        check(Number.isSafeInteger(count), "a count of resources is a whole number");
      }
    },
  },
  {
    name: "server-list",
    seeds: ["10.0.0.1:7400, [::1]:7400", "host:80", "unix:/run/berth/server.sock"],
    maxBytes: 4_096,
    run: (bytes) => {
      const list = unlessRejected(() => parseServerAddresses(bytes.toString()));
      for (const address of list?.split(",") ?? []) {
        const path = socketPathOf(address);
        if (path !== undefined) {
          check(path.startsWith("/"), "a socket has an absolute path");
          continue;
        }
        const { host, port } = splitAddress(address);
        check(host !== "" && port >= 1 && port <= 65_535, "a server has a host and a port");
      }
    },
  },
  {
    name: "output-text",
    seeds: ["name \u001b[31m red\u001b[39m \u202eabc\n\ttab", 'a"b\\c'],
    tokens: ["\u001b[1m", "\u001b[2J", "\u009b", "\u2066", "\u007f"],
    maxBytes: 64 * 1024,
    run: (bytes) => {
      const text = bytes.toString();
      const safe = terminalText(text);
      check(!CONTROL.test(safe), "text controls no terminal");
      check(terminalText(safe) === safe, "safe text stays as it is");
      styledTerminalText(text);
      const labels = formatLabels({ name: text });
      check(text === "" || LABELS.test(labels), "a label is valid for Prometheus");
      checkEqual(JSON.parse(terminalText(JSON.stringify(text))), text, "JSON keeps its value");
    },
  },
];
