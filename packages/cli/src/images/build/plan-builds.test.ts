import { describe, expect, test } from "vitest";
import { Diagnostics } from "../../compose/text/diagnostics.js";
import { formatDiagnostic } from "../../compose/text/format-diagnostics.js";
import { loadText } from "../../testing/load-text.js";
import type { Builder, BuilderKind } from "./builder.js";
import { planBuilds } from "./plan-builds.js";

function plan(text: string, kind: BuilderKind = "legacy", push = false) {
  return planWith(text, { kind, platform: "linux/amd64", hasNamedContexts: kind === "buildkit" }, push);
}

function planWith(text: string, builder: Builder, push = false) {
  const { builds, messages } = loadText(text);
  expect(messages).toEqual([]);
  const diagnostics = new Diagnostics();
  const planned = planBuilds(builds, { builder, push }, diagnostics);
  return { planned, messages: diagnostics.sorted().map((found) => formatDiagnostic(found)) };
}

describe("planBuilds", () => {
  test("builds the image of services with the same settings once, under all of their names", () => {
    const { planned, messages } = plan(`services:
  web: { build: { context: ., tags: ["web:2"] } }
  worker: { build: ., image: "worker:1" }
  db: { build: ./db }
`);
    expect(messages).toEqual([]);
    expect(planned.map(({ services, names }) => ({ services, names }))).toEqual([
      { services: ["web", "worker"], names: ["t-web", "web:2", "worker:1"] },
      { services: ["db"], names: ["t-db"] },
    ]);
  });

  test("rejects one name for images with different settings", () => {
    const { messages } = plan(`services:
  web: { build: ., image: "app:1" }
  db: { build: ./db, image: "app:1" }
`);
    expect(messages).toEqual([
      "c.yaml:3:9: services.db.build: service web builds the image app:1 with different settings; set a different image",
    ]);
  });

  test("rejects additional contexts that an older BuildKit would ignore", () => {
    const file = `services:
  web: { build: { context: ., additional_contexts: { docs: ./docs } } }
  db: { build: ./db }
`;
    const builder = { kind: "buildkit", platform: "linux/amd64", hasNamedContexts: false } as const;
    expect(planWith(file, builder).messages).toEqual([
      "c.yaml:2:31: services.web.build.additional_contexts: the local Docker daemon cannot build with additional_contexts, which requires BuildKit 0.10; upgrade Docker to 23.0 or later, or remove the key",
    ]);
    expect(plan(file, "buildkit").messages).toEqual([]);
  });

  test("names every key that needs BuildKit, and warns about caches and attestations", () => {
    const { messages } = plan(`services:
  web:
    build:
      context: .
      secrets: [key]
      ssh: [default]
      additional_contexts: { docs: ./docs }
      entitlements: [network.host]
      privileged: true
      no_cache_filter: deps
      cache_to: ["type=inline"]
      cache_from: ["type=gha"]
      sbom: true
      provenance: false
secrets: { key: { file: key.txt } }
`);
    const needs = (key: string): string =>
      `the local Docker daemon cannot build with ${key}, which requires BuildKit; install the Docker Buildx plugin, or remove the key`;
    const cache =
      "ignored: this type of cache requires BuildKit, which the local Docker daemon does not have";
    expect(messages).toEqual([
      `c.yaml:5:7: services.web.build.secrets: ${needs("secrets")}`,
      `c.yaml:6:7: services.web.build.ssh: ${needs("ssh")}`,
      `c.yaml:7:7: services.web.build.additional_contexts: ${needs("additional_contexts")}`,
      `c.yaml:8:7: services.web.build.entitlements: ${needs("entitlements")}`,
      `c.yaml:9:7: services.web.build.privileged: ${needs("privileged")}`,
      `c.yaml:10:7: services.web.build.no_cache_filter: ${needs("no_cache_filter")}`,
      `c.yaml:11:7: warning: services.web.build.cache_to: ${cache}`,
      `c.yaml:12:7: warning: services.web.build.cache_from: ${cache}`,
      "c.yaml:13:7: warning: services.web.build.sbom: ignored: only registries keep attestations",
    ]);
  });

  test("builds the image of a service before those that use it as a context", () => {
    const text = `services:
  web: { build: { context: ., additional_contexts: { base: "service:base" } } }
  base: { build: ./base }
`;
    const { planned, messages } = plan(text, "buildkit");
    expect(messages).toEqual([]);
    expect(planned.map(({ services }) => services)).toEqual([["base"], ["web"]]);
    expect(planned[1]?.settings.additionalContexts).toEqual({ base: "docker-image://t-base" });
  });

  test("rejects services that use each other's images", () => {
    const { messages } = plan(
      `services:
  a: { build: { context: ., additional_contexts: { b: "service:b" } } }
  b: { build: { context: ., additional_contexts: { a: "service:a" } } }
`,
      "buildkit",
    );
    expect(messages).toEqual([
      "c.yaml:3:29: services.b.build.additional_contexts: the image of service a is itself built from this image; remove the context",
    ]);
  });

  test("builds for the platform of the service, and for several platforms only with a registry", () => {
    const platforms = (service: string, kind: BuilderKind, push: boolean) => {
      const { planned, messages } = plan(`services: { web: ${service} }\n`, kind, push);
      return [planned[0]?.platforms, messages];
    };
    const both = 'build: { context: ., platforms: [linux/amd64, linux/arm64] }, image: "r.example/web"';
    expect(platforms("{ build: ., platform: linux/arm64 }", "legacy", false)).toEqual([["linux/arm64"], []]);
    expect(platforms(`{ ${both} }`, "buildkit", true)).toEqual([["linux/amd64", "linux/arm64"], []]);
    expect(platforms(`{ ${both} }`, "buildkit", false)).toEqual([
      [],
      [expect.stringContaining("the image is built for linux/amd64 only; use --push to build for all")],
    ]);
    expect(
      platforms("{ build: { context: ., platforms: [linux/arm64, linux/s390x] } }", "legacy", false),
    ).toEqual([
      [],
      [
        expect.stringContaining(
          "the local Docker daemon builds for linux/amd64, which is not one of the platforms",
        ),
      ],
    ]);
  });

  test("rejects a push of an image without a name", () => {
    expect(plan("services: { web: { build: . } }\n", "buildkit", true).messages).toEqual([
      "c.yaml:1:20: services.web.build: --push requires the name of the image in its registry; set image",
    ]);
  });
});
