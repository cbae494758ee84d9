import { FileKind, FileMount } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { loadText } from "../testing/load-text.js";

describe("x-berth.env_secrets", () => {
  test("sets environment variables, with a warning of who can see them", () => {
    const { messages, specs, files } = loadText(
      `services:
  web:
    image: a
    environment: { A: b }
    x-berth:
      env_secrets: { PGPASSWORD: key, API_KEY: shared }
secrets: { key: { environment: KEY }, shared: { external: true } }
`,
      { env: { KEY: "hunter2" } },
    );
    expect(messages).toEqual([
      "c.yaml:6:7: warning: services.web.x-berth.env_secrets: docker inspect shows these secrets, and Docker stores them on the hosts' disks; use secrets if the program can read files",
    ]);
    expect(specs[0]?.task?.container?.files).toEqual(
      [
        { name: "t_key", env: "PGPASSWORD" },
        { name: "shared", env: "API_KEY" },
      ].map((mount) => FileMount.fromPartial({ kind: FileKind.SECRET, ...mount })),
    );
    expect(files.map(({ name }) => name)).toEqual(["t_key"]);
  });

  test("reports unknown secrets and variables that cannot be at their places", () => {
    const { messages } = loadText(`services:
  web:
    image: a
    environment: { A: b }
    x-berth:
      env_secrets:
        PGPASSWORD: kye
        A: key
        B-C: key
        D: [key]
secrets: { key: { external: true } }
`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:6:7: warning: services.web.x-berth.env_secrets: docker inspect shows these secrets, and Docker stores them on the hosts' disks; use secrets if the program can read files",
        "c.yaml:7:21: services.web.x-berth.env_secrets.PGPASSWORD: undefined secret "kye"; did you mean "key"?",
        "c.yaml:8:12: services.web.x-berth.env_secrets.A: task.container.env[0] has the same env A",
        "c.yaml:9:14: services.web.x-berth.env_secrets.B-C: "B-C" is not the name of an environment variable; use up to 255 letters, digits and underscores, and no digit first",
        "c.yaml:10:12: services.web.x-berth.env_secrets.D: must be text, not a list",
      ]
    `);
  });

  test("causes no warning without secrets", () => {
    const { messages } = loadText("services: { web: { image: a, x-berth: { env_secrets: {} } } }");
    expect(messages).toEqual([]);
  });
});
