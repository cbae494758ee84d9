import { describe, expect, test } from "vitest";
import type { BuildSettings } from "../../compose/keys/service-build.js";
import { loadText } from "../../testing/load-text.js";
import { buildArguments, type ImageBuild } from "./build-arguments.js";

function imageBuild(lines: string, change: Partial<ImageBuild> = {}): ImageBuild {
  const indented = lines.split("\n").map((line) => `      ${line}`);
  const text = `services:\n  web:\n    build:\n${indented.join("\n")}\nsecrets: { key: { file: key.txt }, token: { environment: TOKEN } }\n`;
  const { builds, messages } = loadText(text);
  expect(messages).toEqual([]);
  const settings = builds[0]?.settings as BuildSettings;
  return { settings, names: ["t-web"], platforms: [], push: false, idFile: "/tmp/id", ...change };
}

const COMMON = `context: app
dockerfile: web.Dockerfile
args: { VERSION: "1", UNSET: }
labels: { team: shop }
target: prod
network: none
shm_size: 64m
extra_hosts: ["db=10.0.0.5"]
ulimits: { nofile: { soft: 10, hard: 20 }, nproc: 5 }
no_cache: true
pull: true`;

describe("buildArguments", () => {
  test("passes each setting to the legacy builder", () => {
    const build = imageBuild(`${COMMON}\ncache_from: ["web:old", "type=gha"]`);
    expect(buildArguments("legacy", { ...build, names: ["t-web", "web:2"] }).join(" ")).toBe(
      "image build --tag t-web --tag web:2 --iidfile /tmp/id --file /project/app/web.Dockerfile --build-arg VERSION=1 " +
        "--label team=shop --target prod --network none --shm-size 67108864 --add-host db:10.0.0.5 " +
        "--ulimit nofile=10:20 --ulimit nproc=5:5 --no-cache --pull --cache-from web:old -- /project/app",
    );
  });

  test("passes the settings that only BuildKit has to buildx, and loads the image", () => {
    const build = imageBuild(`context: .
cache_from: ["type=gha"]
cache_to: ["type=inline"]
no_cache_filter: [deps, test]
additional_contexts: { docs: ./docs, base: "docker-image://alpine" }
secrets: [key, { source: token, target: renamed }]
ssh: [default, "other=/keys/id"]
privileged: true
entitlements: [network.host]
provenance: mode=max
sbom: true`);
    expect(buildArguments("buildkit", { ...build, platforms: ["linux/arm64"] }).join(" ")).toBe(
      "buildx build --tag t-web --iidfile /tmp/id --file /project/Dockerfile --platform linux/arm64 " +
        "--cache-from type=gha --cache-to type=inline --no-cache-filter deps,test " +
        "--build-context docs=/project/docs --build-context base=docker-image://alpine " +
        "--secret id=key,src=/project/key.txt --secret id=renamed,type=env,env=TOKEN " +
        "--ssh default --ssh other=/keys/id --allow network.host --allow security.insecure " +
        "--provenance=false --load -- /project",
    );
  });

  test("sends attestations and all platforms to a registry", () => {
    const build = imageBuild("context: .\nprovenance: mode=max\nsbom: true");
    const args = buildArguments("buildkit", {
      ...build,
      platforms: ["linux/amd64", "linux/arm64"],
      push: true,
    });
    expect(args.join(" ")).toContain(
      "--platform linux/amd64,linux/arm64 --provenance=mode=max --sbom=true --push --",
    );
  });

  test("reads an inline Dockerfile from standard input", () => {
    const build = imageBuild("context: .\ndockerfile_inline: FROM scratch");
    expect(buildArguments("legacy", build)).toContain("-");
    expect(build.settings.dockerfileInline).toBe("FROM scratch");
  });

  test("leaves the Dockerfile of a Git repository relative to the repository", () => {
    const build = imageBuild("context: https://example.com/app.git#main\ndockerfile: docker/Dockerfile");
    expect(buildArguments("legacy", build).join(" ")).toBe(
      "image build --tag t-web --iidfile /tmp/id --file docker/Dockerfile -- https://example.com/app.git#main",
    );
  });

  test("quotes the path of a secret that contains a comma", () => {
    const build = imageBuild("context: .\nsecrets: [key]");
    const secrets = [{ id: "key", source: { kind: "path" as const, value: "/a,b" } }];
    const args = buildArguments("buildkit", { ...build, settings: { ...build.settings, secrets } });
    expect(args).toContain('id=key,"src=/a,b"');
  });
});
